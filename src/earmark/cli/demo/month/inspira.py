"""Inspira: creators whose credits live 30 days, during the spring event with its fifth more."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from earmark.cli.demo.month.book import Rules, days
from earmark.cli.demo.month.player import Account, Job, Player
from earmark.credits import MICROS_PER_CREDIT

__all__ = ["Inspira"]

_LIVES = days(30)
_IMAGES = (
    ("256x256", "draft", "0.38"),
    ("256x256", "high", "0.48"),
    ("512x512", "draft", "0.96"),
    ("1024x1024", "standard", "1.44"),
    ("1024x1024", "high", "1.92"),
)
_VIDEOS = (("short", "standard", "8"), ("standard", "standard", "16"), ("long", "high", "48"))
_PACKS = {"starter": 100, "creator": 300}
_EVENT = date(2030, 3, 1), date(2030, 3, 31)
"""When packs come with a fifth more."""


class Inspira:
    """Three with packs or the free plan, two who subscribe."""

    title = "Inspira: every credit lives 30 days, what ends first is used first; the spring event gives a fifth more"
    rules = Rules(
        low=20 * MICROS_PER_CREDIT,
        critical=5 * MICROS_PER_CREDIT,
        day_goal=100 * MICROS_PER_CREDIT,
    )
    lead = timedelta()

    def before(self, player: Player, first: datetime) -> None:
        """Begin with the month."""

    def day(self, player: Player, day: int) -> None:
        """Somebody joins, and everybody works."""
        match day:
            case 1:
                player.join("mira", "Europe/Lisbon").claim("0xA1b2C3", 20, _LIVES)
                player.join("theo", "Europe/Athens").claim("theo@example.com", 20, _LIVES)
                player.join("studio-noor", "Asia/Kolkata").subscribe("pro", 500, _LIVES)
            case 2:
                again = player.join("mira-again")
                again.cannot_claim(" 0XA1B2C3 ")
                self._buy(player, again, "starter", "USDT")
            case 3:
                player.join("dex-lab", "America/Sao_Paulo").subscribe("ultra", 2_000, _LIVES)
            case 9:
                noor, bonus = player.accounts["studio-noor"], self._bonus(player, 150)
                noor.buy("custom", 150, _LIVES, method="USDT", custom=True, bonus=bonus)
            case 14:
                player.accounts["mira"].buy("creator", 300, _LIVES, method="USDT", fails=True)
            case _:
                pass
        for account in player.accounts.values():
            if account.account_id == "theo":
                # Plays a little, and lets the rest expire.
                if day in {2, 11}:
                    account.generate(Job("chat.message", "1"), must_succeed=True)
                continue
            for _ in range(player.chance.randint(1, 4)):
                self._work(player, account)

    def _work(self, player: Player, account: Account) -> None:
        job = self._job(player, account.account_id)
        if not account.generate(job):
            # Out in mid-task: what covers it is bought, and the task goes on.
            self._buy(player, account, "creator" if account.has(20) else "starter", "INSPI")
            account.generate(job)

    def _buy(self, player: Player, account: Account, pack_id: str, method: str) -> None:
        credits = _PACKS[pack_id]
        account.buy(pack_id, credits, _LIVES, method=method, bonus=self._bonus(player, credits))

    @staticmethod
    def _bonus(player: Player, credits: int) -> int:
        return credits // 5 if _EVENT[0] <= player.now.date() <= _EVENT[1] else 0

    @staticmethod
    def _job(player: Player, account_id: str) -> Job:
        chance = player.chance
        if account_id == "dex-lab" and chance.random() < 0.6:
            if chance.random() < 0.4:
                return Job("book.grade", "100")
            return Job("contract.audit", "160", actual=str(chance.randint(40, 160)))
        if account_id == "studio-noor" and chance.random() < 0.4:
            if chance.random() < 0.3:
                return Job("style.train", "25")
            length, quality, price = chance.choice(_VIDEOS)
            return Job("video.generate", price, attributes={"length": length, "quality": quality})
        if chance.random() < 0.3:
            return Job("chat.message", "1")
        size, quality, price = chance.choice(_IMAGES)
        variations = chance.randint(1, 12)
        made = variations if chance.random() < 0.6 else chance.randint(0, variations)
        look = {"size": size, "quality": quality}
        return Job("image.generate", price, quantity=variations, made=made, attributes=look)
