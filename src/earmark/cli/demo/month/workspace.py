"""A campaign platform: a workspace shares one balance, and what a price range takes is known afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta

from earmark.cli.demo.month.book import Rules, months
from earmark.cli.demo.month.player import Account, Job, Player

__all__ = ["Workspace"]

_LIVES = months(12)
_PACKS = {"starter": 100, "basic": 250, "popular": 550}
# Name, least and most credits of a unit, units at most; with the complexity that makes it so.
_WORK = (
    ("campaign.create", 6, 12, 1, "standard"),
    ("campaign.create", 10, 30, 1, "complex"),
    ("content.generate", 1, 2, 8, "standard"),
    ("content.generate", 1, 3, 5, "complex"),
    ("content.regenerate", 1, 3, 3, ""),
    ("strategy.analyze", 2, 5, 1, ""),
    ("assistant.question", 0, 1, 1, ""),
    ("assistant.suggestion", 1, 2, 1, ""),
    ("post.generate_multi", 1, 2, 4, ""),
    ("rss.process", 1, 1, 10, ""),
)


class Workspace:
    """A team with thresholds of its own, and two who work alone."""

    title = "A campaign platform: purchased credits live 12 months; of a price range it takes what it really took"
    rules = Rules(low=99_999_999, critical=10_000_000)
    lead = timedelta()

    def before(self, player: Player, first: datetime) -> None:
        """Begin with the month."""

    def day(self, player: Player, day: int) -> None:
        """Somebody joins, and everybody works."""
        match day:
            case 1:
                team = player.join("northwind", "America/New_York", "ada", "bo", "cy")
                team.subscribe("team", 0, once=True)
                team.warn_at(300, 50)
                team.buy("popular", _PACKS["popular"], _LIVES)
                player.join("quill", "Europe/Paris", "quinn").buy("starter", _PACKS["starter"], _LIVES)
            case 8:
                player.join("lumen", "Asia/Tokyo", "lou", "lee").buy("basic", _PACKS["basic"], _LIVES)
            case 20:
                player.accounts["lumen"].buy("max", 2_350, _LIVES, fails=True)
            case _:
                pass
        for account in player.accounts.values():
            account.look("campaign.view", recorded=False)
            for _ in range(player.chance.randint(2, 5) if account.account_id == "northwind" else 2):
                self._work(player, account)
            account.look(player.chance.choice(("post.schedule", "post.publish", "content.edit")), recorded=True)

    @staticmethod
    def _work(player: Player, account: Account) -> None:
        chance = player.chance
        operation, least, most, units, complexity = chance.choice(_WORK)
        quantity = chance.randint(1, units)
        job = Job(
            operation,
            str(most),
            actual=str(sum(chance.randint(least, most) for _ in range(quantity))),
            quantity=quantity,
            attributes={"complexity": complexity} if complexity else {},
        )
        if not account.generate(job):
            pack_id = "popular" if account.account_id == "northwind" else "starter"
            account.buy(pack_id, _PACKS[pack_id], _LIVES)
            account.generate(job)
