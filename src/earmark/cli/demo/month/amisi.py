"""AMISI: tiers whose unused credits go on to the next cycle, up to a cap."""

from __future__ import annotations

from datetime import datetime, timedelta

from earmark.cli.demo.month.book import Rules, never
from earmark.cli.demo.month.player import Account, Job, Player

__all__ = ["Amisi"]

_RESOLUTIONS = (("720p", "1"), ("1080p", "2"), ("4K", "3"), ("8K", "4"))
_BEST = {"kim": 2, "lena": 2, "ravi": 2, "atlas": 4, "orbit": 4}
"""How many of the resolutions each plan includes."""


class Amisi:
    """All five tiers: free, Basic for months, an upgrade to Pro in mid-cycle, a team, an enterprise."""

    title = "AMISI: monthly credits that roll over up to 40, 100, 300; packs and the free 5 stay beside them"
    rules = Rules()
    lead = timedelta(days=86)

    def before(self, player: Player, first: datetime) -> None:
        """Let one be subscribed for months, and use little: what exceeds the cap will expire."""
        lena = self._join(player, "lena", "Europe/Berlin")
        lena.subscribe("basic", 20, never, cap=40)
        for ago in (60, 30):
            player.move(first - timedelta(days=ago))
            lena.generate(Job("chat.message", "1"), must_succeed=True)

    def day(self, player: Player, day: int) -> None:
        """Somebody joins, and everybody works."""
        match day:
            case 1:
                self._join(player, "kim", "Africa/Nairobi").warn_at(3, 1)
                self._join(player, "ravi", "Asia/Kolkata").subscribe("basic", 20, never, cap=40)
                atlas = self._join(player, "atlas", "America/Chicago")
                atlas.subscribe("business", 150, never, cap=300)
                atlas.add_members("ann", "ben", "cat", "dov")
                orbit = self._join(player, "orbit", "Australia/Sydney")
                orbit.subscribe("enterprise", 400, never, custom=True)
            case 12:
                player.accounts["ravi"].upgrade("pro", 50, never, cap=100)
            case _:
                pass
        for account in player.accounts.values():
            lazy = account.account_id == "lena" and day % 8
            for _ in range(0 if lazy else player.chance.randint(1, 2 if account.account_id == "kim" else 4)):
                self._work(player, account)

    @staticmethod
    def _join(player: Player, account_id: str, zone: str) -> Account:
        account = player.join(account_id, zone)
        account.begin_plan(5, "free", never, once=True)
        return account

    @staticmethod
    def _work(player: Player, account: Account) -> None:
        chance = player.chance
        if chance.random() < 0.3:
            job = Job("chat.message", "1")
        elif chance.random() < 0.3:
            detail, price = chance.choice((("basic", "1"), ("detailed", "2")))
            job = Job("image.analyze", price, attributes={"detail": detail})
        else:
            resolution, price = chance.choice(_RESOLUTIONS[: _BEST[account.account_id]])
            job = Job("image.generate", price, attributes={"resolution": resolution})
        # Who has no more waits until tomorrow, the renewal, or buys.
        if not account.generate(job) and chance.random() < 0.5:
            account.buy("small", 10, never)
            account.generate(job)
