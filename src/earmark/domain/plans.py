"""Plans: what a subscription really has, what a change of plan does, and who may claim a free plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, unique
from unicodedata import normalize

from earmark.credits import MAX_MICROS
from earmark.domain.catalog import CycleKind, Plan, Rollover
from earmark.domain.states import GrantKind

__all__ = ["Change", "Overrides", "carried", "change_of_plan", "difference", "effective_plan", "normalise_identity"]


@dataclass(frozen=True, slots=True)
class Overrides:
    """What one subscription has instead of what its plan says; None for the plan's own."""

    credits: int | None = None
    rollover_cap: int | None = None
    seats: int | None = None
    entitlements: Mapping[str, str] = field(default_factory=dict)
    """By name, over those of the plan."""


def effective_plan(plan: Plan, overrides: Overrides) -> Plan:
    """Return the plan as a subscription with these overrides has it."""
    rollover = plan.rollover
    if overrides.rollover_cap is not None:
        kinds = rollover.kinds if rollover is not None else (plan.grant_kind,)
        rollover = Rollover(overrides.rollover_cap, kinds)
    return replace(
        plan,
        credits=plan.credits if overrides.credits is None else overrides.credits,
        rollover=rollover,
        seats=plan.seats if overrides.seats is None else overrides.seats,
        entitlements={**plan.entitlements, **overrides.entitlements},
    )


@unique
class Change(Enum):
    """What a change of plan does."""

    NOW = "now"
    """An upgrade: the new plan at once, with the difference of the credits; the anchor stays."""
    LATER = "later"
    """A downgrade: when what was paid is over."""
    ANEW = "anew"
    """From a plan whose credits came once to one with cycles: its first cycle begins now, with its credits in full."""
    NONE = "none"
    """The same plan: only takes back what was pending."""


def change_of_plan(current: Plan, new: Plan) -> Change:
    """Decide between two plans as their subscription has, or would have, them.

    A plan of a higher rank is an upgrade, of a lower rank a downgrade; of the same rank, more credits are an upgrade
    and fewer a downgrade.
    """
    if current.cycle is CycleKind.ONCE:
        if new.cycle is not CycleKind.ONCE:
            return Change.ANEW
        # Nothing of it ends, so that nothing could be waited for.
        return Change.NONE if new == current else Change.NOW
    if new.plan_id == current.plan_id and new == current:
        return Change.NONE
    return Change.NOW if (new.rank, new.credits) >= (current.rank, current.credits) else Change.LATER


def difference(given: int, new: Plan) -> int:
    """Return the credits that an upgrade adds to what this cycle has given already; never less than nothing."""
    return max(0, new.credits - given)


def carried(plan: Plan) -> tuple[int | None, tuple[GrantKind, ...]]:
    """Return how much of the unused credits goes on at a renewal at most, and which kinds of grants that counts.

    None where nothing is cut: grants end by their own validity.
    """
    if plan.rollover is None:
        return None, ()
    return MAX_MICROS if plan.rollover.cap is None else plan.rollover.cap, plan.rollover.kinds


def normalise_identity(identity: str) -> str:
    """Return an identity as it is compared: without spaces around it, in one Unicode form, without letter case.

    Example:
        >>> normalise_identity("  0xAbC ")
        '0xabc'
    """
    folded = normalize("NFKC", identity).strip().casefold()
    # Folding can leave what composes further.
    return normalize("NFKC", folded).strip()
