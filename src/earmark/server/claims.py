"""What calls claim beside their amount: whether the plan includes them, and the limits that apply to them.

Both follow from an account's configuration, which SQL holds and which changes rarely. A sidecar keeps configurations
under their `config_seq`; every Reserve and Charge carries the one it was derived from, and the script refuses it where
the account has another (`ConfigurationMoved`). So nothing has to be told to the other sidecars, and nothing is looked
up for accounts that have nothing special. The hot path never waits: a call of an account that is not known here goes to
the engine under `UNKNOWN`, which no account has, and the answer brings it back to `derive`.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from earmark.domain.catalog import Catalog, CurrentCatalog, CycleKind, LimitMode, LimitRule, Plan
from earmark.domain.cycles import cycle_edges
from earmark.domain.limits import (
    Calendar,
    applicable,
    candidate_windows,
    effective_limits,
    limit_key,
    near_amount,
)
from earmark.domain.plans import Overrides, effective_plan
from earmark.domain.pricing import requirement
from earmark.engine.operations import Charge, Details, LimitClaim, Reserve
from earmark.errors import Reason, error
from earmark.ledger.billing import Billing, SubscriptionRecord
from earmark.server.recent import Recent

__all__ = [
    "UNKNOWN",
    "AccountClaims",
    "Configuration",
    "Configurations",
    "HeldPlan",
    "LedgerConfigurations",
    "includes",
]

UNKNOWN = -1
"""The `config_seq` of calls that are derived only when the script asks for it."""

_MAX_ACCOUNTS = 50_000
_MAX_CALLERS = 64
_NOTHING: tuple[int, bool, tuple[LimitClaim, ...]] = (0, True, ())
_LATER: tuple[int, bool, tuple[LimitClaim, ...]] = (UNKNOWN, True, ())
_NOT_INCLUDED = frozenset({"", "false", "no", "none", "off", "0"})

_decode_details = msgspec.json.Decoder(Details).decode

Claiming = Reserve | Charge


@dataclass(frozen=True, slots=True)
class HeldPlan:
    """The plan that an account has now."""

    plan: Plan
    """As it was when its cycle began; the catalog's of today comes first."""
    anchor: int
    """The beginning of its first cycle, in microseconds."""
    start: int
    """Of a cycle that is known to have begun."""
    end: int
    """Of that cycle; 0 for one that never ends."""
    overrides: Overrides = field(default_factory=Overrides)
    """What this subscription has instead."""
    entitles: bool = True
    """False while its renewal is not paid: then its limits hold, and it includes nothing."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an account's calls are derived from, as SQL has it."""

    config_seq: int
    """The admin_seq of the last change of any of it; the content is at least as new."""
    time_zone: str = "UTC"
    previous_time_zone: str = ""
    zone_change_time: int = 0
    limits: tuple[LimitRule, ...] = ()
    """Its own ones."""
    plan: HeldPlan | None = None


class Configurations(Protocol):
    """SQL, as far as claims need it."""

    async def read(self, account_id: str) -> Configuration:
        """Return an account's configuration.

        Raises:
            NotFound: ACCOUNT_NOT_FOUND.
            Unavailable: SQL is away.
        """
        ...


class LedgerConfigurations:
    """Implements `Configurations` on the ledger."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def read(self, account_id: str) -> Configuration:
        """See `Configurations.read`."""
        recorded, subscription = await self._billing.configuration(account_id)
        return Configuration(
            recorded.config_seq,
            recorded.time_zone,
            recorded.previous_time_zone,
            recorded.zone_change_time,
            recorded.limits,
            None if subscription is None else _held(subscription),
        )


def _held(subscription: SubscriptionRecord) -> HeldPlan:
    return HeldPlan(
        subscription.plan,
        subscription.anchor_time,
        subscription.cycle_start,
        subscription.cycle_end,
        subscription.overrides,
        subscription.entitled,
    )


def includes(entitlements: Mapping[str, str], name: str) -> bool:
    """Return whether an entitlement is there: a word that says no, or the number 0, says that it is not."""
    return entitlements.get(name, "").casefold() not in _NOT_INCLUDED


class _Standing:
    """An account's configuration under one catalog, with the windows that lie around one moment."""

    __slots__ = ("_claims", "_windows", "catalog", "configuration", "entitlements", "rules")

    def __init__(self, configuration: Configuration, catalog: Catalog, now: int) -> None:
        plan = _plan(configuration, catalog)
        self.configuration = configuration
        self.catalog = catalog
        self.entitlements: Mapping[str, str] = plan.entitlements if plan is not None else {}
        self.rules = effective_limits(catalog.limits, plan.limits if plan is not None else (), configuration.limits)
        calendar = _calendar(configuration, now)
        self._windows = {
            window: candidate_windows(window, now, calendar) for window in {rule.window for rule in self.rules}
        }
        self._claims: dict[tuple[str, str, str], tuple[LimitClaim, ...]] = {}

    def holds(self, now: int) -> bool:
        """Return whether every limit has a window that holds a moment."""
        return all(
            any(start <= now < end for start, end in zip(edges[::2], edges[1::2], strict=True))
            for edges in self._windows.values()
        )

    def claims(self, operation: str, user_id: str, project_id: str) -> tuple[LimitClaim, ...]:
        """Return a claim for each limit that applies to a call."""
        if not self.rules:
            return ()
        caller = (operation, user_id, project_id)
        found = self._claims.get(caller)
        if found is None:
            if len(self._claims) >= _MAX_CALLERS:
                self._claims.clear()
            found = self._claims[caller] = tuple(
                LimitClaim(
                    limit_key(rule, subject),
                    rule.amount,
                    near_amount(rule),
                    rule.mode is LimitMode.BLOCK,
                    self._windows[rule.window],
                )
                for rule, subject in applicable(self.rules, operation, user_id, project_id)
            )
        return found


def _plan(configuration: Configuration, catalog: Catalog) -> Plan | None:
    held = configuration.plan
    if held is None:
        return None
    own = effective_plan(catalog.plans.get(held.plan.plan_id, held.plan), held.overrides)
    return own if held.entitles else dataclasses.replace(own, entitlements={})


def _calendar(configuration: Configuration, now: int) -> Calendar:
    held = configuration.plan
    cycles: tuple[int, ...] = ()
    if held is not None and held.plan.cycle is not CycleKind.ONCE and held.start <= now:
        zone = ZoneInfo(configuration.time_zone)
        cycles = cycle_edges(held.plan.cycle, held.anchor, zone, held.start, held.end, now)
    return Calendar(configuration.time_zone, configuration.previous_time_zone, configuration.zone_change_time, cycles)


class AccountClaims:
    """Derives what calls claim. One for a sidecar; used from its event loop only."""

    def __init__(
        self, configurations: Configurations, catalogs: CurrentCatalog, max_accounts: int = _MAX_ACCOUNTS
    ) -> None:
        self._configurations = configurations
        self._catalogs = catalogs
        self._standings: Recent[str, _Standing] = Recent(max_accounts)
        self._loads: dict[str, asyncio.Task[Configuration]] = {}

    def of(
        self, account_id: str, operation: str, user_id: str, project_id: str, requires: str
    ) -> tuple[int, bool, tuple[LimitClaim, ...]]:
        """Return `config_seq`, `entitled` and `limits` of a call, without waiting for anything.

        Args:
            account_id: Who pays.
            operation: Its name, "" for none.
            user_id: Who causes it, "" for nobody.
            project_id: The project, "" for none.
            requires: The entitlement that it takes, "" for none.
        """
        standing = self._standings.get(account_id)
        catalog = self._catalogs.current
        if standing is None:
            return _LATER if requires or catalog.limits else _NOTHING
        if standing.catalog is not catalog:
            return _LATER
        return (
            standing.configuration.config_seq,
            not requires or includes(standing.entitlements, requires),
            standing.claims(operation, user_id, project_id),
        )

    async def derive(self, operation: Claiming, now: int, config_seq: int) -> Claiming:
        """Derive a call anew, because the script knows the account under this `config_seq` and its time is `now`.

        SQL may be ahead of Redis by a change that is on its way there: then the newer configuration is used already.

        Raises:
            EarmarkError: ACCOUNT_NOT_FOUND; SQL is away, or behind Redis.
        """
        details = _decode_details(operation.details)
        catalog = self._catalogs.current
        sold = catalog.operations.get(details.operation)
        requires = requirement(sold, details.attributes) if sold is not None else ""
        standing = await self._standing(operation.account_id, catalog, now, config_seq)
        return replace(
            operation,
            config_seq=config_seq,
            entitled=not requires or includes(standing.entitlements, requires),
            limits=standing.claims(details.operation, details.user_id, details.project_id),
        )

    async def entitled(self, account_id: str, name: str) -> bool:
        """Return whether an account's plan has an entitlement, as SQL records it now.

        Raises:
            EarmarkError: ACCOUNT_NOT_FOUND; SQL is away.
        """
        plan = _plan(await self._configurations.read(account_id), self._catalogs.current)
        return plan is not None and includes(plan.entitlements, name)

    async def _standing(self, account_id: str, catalog: Catalog, now: int, config_seq: int) -> _Standing:
        standing = self._standings.get(account_id)
        if standing is not None and standing.configuration.config_seq >= config_seq:
            configuration = standing.configuration
        else:
            configuration = await self._load(account_id)
            if configuration.config_seq < config_seq:
                configuration = await self._load(account_id)  # That reading may have begun before the change.
        if configuration.config_seq < config_seq:
            raise error(
                Reason.RECOVERING,
                "the ledger is behind the account's configuration: repeat the call with the same ids",
                {"config_seq": configuration.config_seq, "expected_config_seq": config_seq},
            )
        if (
            standing is None
            or standing.configuration is not configuration
            or standing.catalog is not catalog
            or not standing.holds(now)
        ):
            standing = _Standing(configuration, catalog, now)
            self._standings.put(account_id, standing)
        return standing

    async def _load(self, account_id: str) -> Configuration:
        """Read an account's configuration; whoever asks meanwhile gets the answer of the same reading."""
        load = self._loads.get(account_id)
        if load is None:
            load = asyncio.ensure_future(self._configurations.read(account_id))
            self._loads[account_id] = load
            load.add_done_callback(lambda _: self._loads.pop(account_id, None))
        return await asyncio.shield(load)
