"""1,500 free credits in each month of the calendar, and packs that stay."""

from __future__ import annotations

from datetime import datetime, timedelta

from earmark.cli.demo.month.book import Rules, month_end, never
from earmark.cli.demo.month.player import Account, Job, Player
from earmark.credits import MICROS_PER_CREDIT

__all__ = ["Monthly"]

_MATRIX = {
    "text-to-image": "8",
    "erase": "7",
    "upscale": "0",
    "background-removal": "5",
    "enhancement": "4",
    "translation": "2",
}


class Monthly:
    """One who needs more than the free credits, one who does not, one who joins in mid-month."""

    title = "1,500 free credits in every month of the calendar, used first, never carried forward; packs that stay"
    rules = Rules(low=150 * MICROS_PER_CREDIT, priorities=(("free", 10),))
    lead = timedelta()

    def before(self, player: Player, first: datetime) -> None:
        """Begin with the month."""

    def day(self, player: Player, day: int) -> None:
        """Somebody joins, and everybody works."""
        match day:
            case 1:
                self._join(player, "atelier", "Europe/Paris")
                self._join(player, "harbor", "America/New_York")
            case 14:
                self._join(player, "pixel", "Asia/Tokyo")
            case _:
                pass
        for account in player.accounts.values():
            busy = account.account_id != "harbor"
            for _ in range(player.chance.randint(2, 5) if busy else 1):
                self._work(player, account)

    @staticmethod
    def _join(player: Player, account_id: str, zone: str) -> None:
        # In full, whatever the day of the month.
        player.join(account_id, zone).begin_calendar_plan(1_500, "free", month_end)

    @staticmethod
    def _work(player: Player, account: Account) -> None:
        chance = player.chance
        operation = chance.choice(tuple(_MATRIX))
        quantity = chance.randint(1, 12)
        made = quantity if chance.random() < 0.8 else chance.randint(0, quantity)
        job = Job(operation, _MATRIX[operation], quantity=quantity, made=made)
        if not account.generate(job):
            account.buy("pack-2500", 2_500, never)
            account.generate(job)
