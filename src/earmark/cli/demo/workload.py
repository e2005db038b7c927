"""What the demo does: accounts, and generations with their fates, from a seed. Pure; its sums are the demo's own."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, unique

from earmark.credits import MICROS_PER_CREDIT

__all__ = ["AccountPlan", "Fate", "Generation", "GrantPlan", "Workload", "plan_workload"]

PROMOTION_SECONDS = 5.0
"""How long the promotion lives: some of it is used, the rest expires before the demo ends."""
CRASHED_TTL_SECONDS = 1.0


@unique
class Fate(Enum):
    """How a generation ends."""

    SUCCEEDS = "succeeds"
    FAILS = "fails"
    CRASHES = "crashes"
    """Its worker dies and never answers: the hold expires."""


@dataclass(frozen=True, slots=True)
class GrantPlan:
    """Credits that an account starts with, in microcredits."""

    kind: str
    amount: int
    seconds: float | None = None
    """How long they are good; None for ever."""


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """An account of the demo."""

    account_id: str
    grants: tuple[GrantPlan, ...]

    @property
    def granted(self) -> int:
        """What it is granted altogether, in microcredits."""
        return sum(grant.amount for grant in self.grants)


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation: what it reserves, and what becomes of it. Amounts in microcredits."""

    account_id: str
    user_id: str
    operation: str
    reserved: int
    actual: int
    """What it really uses; counts only if it succeeds."""
    fate: Fate
    seconds: float


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything that the demo will do."""

    accounts: tuple[AccountPlan, ...]
    generations: tuple[Generation, ...]


# Name, price of a unit in microcredits, and how many units there are at least and at most.
_OPERATIONS = (
    ("image.generate", 40_000, 1, 8),
    ("chat.completion", 3, 400, 16_000),
    ("video.render", 125_000, 2, 8),
    ("speech.synthesize", 15, 1_000, 20_000),
)
_RICH = ("studio", "newsroom", "agency", "lab")
_POOR = "hobby"
_USERS = ("ada", "grace", "linus", "mary", "tim")


def plan_workload(generations: int, seed: int) -> Workload:
    """Plan a workload. The same seed plans the same.

    All accounts but one can pay for everything, so that no sum depends on who comes first; the last one gets a third
    of what it will ask for, and is refused the rest. It never uses more than it reserved, so that whatever it is
    allowed to start is charged as planned.
    """
    chance = random.Random(seed)  # noqa: S311 - a simulation, no secret
    planned = tuple(_generation(chance) for _ in range(generations))
    accounts = [_rich_account(name, planned) for name in _RICH]
    asked = sum(one.reserved for one in planned if one.account_id == _POOR)
    accounts.append(AccountPlan(_POOR, (GrantPlan("free", max(asked // 3, MICROS_PER_CREDIT)),)))
    return Workload(tuple(accounts), planned)


def _generation(chance: random.Random) -> Generation:
    account_id = chance.choices((*_RICH, _POOR), weights=(6, 4, 4, 3, 3))[0]
    operation, price, least, most = chance.choices(_OPERATIONS, weights=(4, 8, 1, 3))[0]
    units = chance.randint(least, most)
    fate = chance.choices((Fate.SUCCEEDS, Fate.FAILS, Fate.CRASHES), weights=(80, 13, 7))[0]
    used = units
    match chance.choices(("all", "less", "nothing", "more"), weights=(40, 48, 2, 10))[0]:
        case "less":
            used = chance.randint(1, units)
        case "nothing":
            used = 0
        case "more" if account_id != _POOR:
            used = units + chance.randint(1, units)
        case _:
            pass
    return Generation(
        account_id=account_id,
        user_id=chance.choice(_USERS),
        operation=operation,
        reserved=price * units,
        actual=price * used,
        fate=fate,
        seconds=chance.uniform(0.005, 0.12),
    )


def _rich_account(name: str, planned: tuple[Generation, ...]) -> AccountPlan:
    most = sum(max(one.reserved, one.actual) for one in planned if one.account_id == name)
    enough = (most // (50 * MICROS_PER_CREDIT) + 1) * 50 * MICROS_PER_CREDIT
    grants = [GrantPlan("purchase", enough), GrantPlan("free", 5 * MICROS_PER_CREDIT)]
    if name == _RICH[0]:
        grants.append(GrantPlan("promotion", 20 * MICROS_PER_CREDIT, PROMOTION_SECONDS))
    return AccountPlan(name, tuple(grants))
