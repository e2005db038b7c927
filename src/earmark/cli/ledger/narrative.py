"""Why something was charged, in words. Pure: from messages to lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from earmark.cli.cards import time_of
from earmark.cli.output import enum_word, format_pairs, format_time, timestamp_micros
from earmark.cli.values import UTC_ZONE
from earmark.credits import format_credits
from earmark.domain.states import burn_down_rank

if TYPE_CHECKING:
    from earmark.v1.grant_pb2 import Allocation, Grant
    from earmark.v1.ledger_pb2 import LedgerEntry
    from earmark.v1.reservation_pb2 import Reservation

__all__ = ["Story", "tell_entry", "tell_reservation"]

ORDER_OF_USE = (
    "Order of use: lowest priority first, then earliest expiry (never last), then free before paid, then earliest "
    "acquired; it is fixed when the credits are taken from the grants."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the tale of a reservation, or of an entry, is told from."""

    reservation: Reservation | None = None
    entries: Sequence[LedgerEntry] = ()
    """About the reservation, oldest first; or the one entry."""
    followers: Sequence[LedgerEntry] = ()
    """What happened at once to credits that the last entry gave back."""
    grants: Mapping[str, Grant] = field(default_factory=dict)
    zone: ZoneInfo = UTC_ZONE

    def at(self, entry: LedgerEntry) -> str:
        """Return when an entry happened."""
        return format_time(timestamp_micros(entry.create_time), self.zone)


def _credits(micros: int) -> str:
    return f"{format_credits(micros)} credit{'' if micros == 1_000_000 else 's'}"


def tell_reservation(story: Story) -> Iterator[str]:
    """Yield the lines of a reservation's tale."""
    reservation = story.reservation
    assert reservation is not None
    state = enum_word(reservation, "state")
    verdict = _verdict(reservation, state)
    yield f"Reservation {reservation.reservation_id} of account {reservation.account_id}: {verdict}"
    yield ""
    yield _reserved(reservation, story.zone)
    if state == "active":
        yield from _active(story, reservation)
        return
    settled = [entry for entry in story.entries if enum_word(entry, "kind") in {"charge", "release", "expired-hold"}]
    for entry in settled:
        yield from _settled(story, reservation, entry)
    if not settled:
        yield from _without_entry(story, reservation, state)
    yield from _returned(story, reservation, state)
    for entry in story.entries:
        if enum_word(entry, "kind") == "grant":
            yield from tell_entry(Story(entries=[entry], grants=story.grants, zone=story.zone))
    if settled:
        yield f"After entry {settled[-1].entry_number}, {_credits(settled[-1].available_after_micros)} were available."
    if len(reservation.allocations) > 1:
        yield ORDER_OF_USE


def _verdict(reservation: Reservation, state: str) -> str:
    match state:
        case "active":
            return "open, nothing is charged so far."
        case "committed":
            late = ", late" if reservation.late else ""
            return f"charged {_credits(reservation.charged_micros)}{late}."
        case _:
            return f"{state}, nothing was charged."


def _reserved(reservation: Reservation, zone: ZoneInfo) -> str:
    who = reservation.user_id or "somebody"
    what = f" for {reservation.operation}" if reservation.operation else ""
    units = f", {_units(reservation.quantity)}" if reservation.HasField("quantity") else ""
    usage = f", {format_pairs(reservation.usage.counts)}" if reservation.usage.counts else ""
    usage += f", {format_pairs(reservation.attributes)}" if reservation.attributes else ""
    usage += f", priced by version {reservation.price_version} of the catalog" if reservation.price_version else ""
    project = f", project {reservation.project_id}" if reservation.project_id else ""
    when, until = time_of(reservation, "create_time", zone), time_of(reservation, "expire_time", zone)
    # A Charge has no time to live: it is reserved and settled at one instant.
    end = "in one step with the charge" if until == when else f"until {until}"
    return (
        f"{when}  {who} reserved {_credits(reservation.reserved_micros)}{what}{units}{usage}{project} "
        f"(request {reservation.request_id}), {end}."
    )


def _active(story: Story, reservation: Reservation) -> Iterator[str]:
    yield "It still holds:"
    yield from _parts(story, reservation.allocations)
    if reservation.uncollected_micros:
        yield (
            f"{_credits(reservation.uncollected_micros)} of it no grant gave: the account only observes, so nothing is "
            "refused."
        )
    until = time_of(reservation, "expire_time", story.zone)
    yield f"If nobody commits it until {until}, it expires, and nothing is charged."
    if len(reservation.allocations) > 1:
        yield ORDER_OF_USE


def _settled(story: Story, reservation: Reservation, entry: LedgerEntry) -> Iterator[str]:
    said = (
        f" {'Comment' if enum_word(entry, 'kind') == 'charge' else 'Reason'}: {entry.comment}" if entry.comment else ""
    )
    number = entry.entry_number
    match enum_word(entry, "kind"):
        case "release":
            yield f"{story.at(entry)}  The generation failed and its credits were released (entry {number}).{said}"
        case "expired-hold":
            yield (
                f"{story.at(entry)}  Nobody had committed or released it in time: it expired (entry {number}). "
                "A commit that comes later is still charged if the balance allows it."
            )
        case _:
            yield f"{story.at(entry)}  {_used(reservation, entry)}{said}"
            yield from _charge(story, entry)


def _used(reservation: Reservation, entry: LedgerEntry) -> str:
    actual = entry.amount_micros + entry.uncollected_micros
    difference = actual - reservation.reserved_micros
    counts = f", {_units(entry.quantity)}" if entry.HasField("quantity") else ""
    if counts and entry.HasField("reserved_quantity") and entry.reserved_quantity != entry.quantity:
        counts += f" of {entry.reserved_quantity:,} reserved"
    counts += f", {format_pairs(entry.usage.counts)}" if entry.usage.counts else ""
    late = " after the reservation had expired: it was paid from what was available then" if entry.late else ""
    against = (
        "exactly what was reserved"
        if difference == 0
        else f"{format_credits(abs(difference))} {'more' if difference > 0 else 'less'} than was reserved"
    )
    return (
        f"The generation succeeded{late} and used {_credits(actual)}{counts}, {against} (entry {entry.entry_number})."
    )


def _charge(story: Story, entry: LedgerEntry) -> Iterator[str]:
    yield f"Charged: {_credits(entry.amount_micros)}."
    if entry.price_text:
        yield f"The price: {entry.price_text} (version {entry.price_version})."
    yield from _parts(story, entry.allocations)
    if entry.debt_micros:
        yield (
            f"  {format_credits(entry.debt_micros)} became debt, within the account's overdraft limit: "
            "the next credits that come in repay it first"
        )
    if entry.uncollected_micros:
        yield (
            f"Not charged: {_credits(entry.uncollected_micros)} that were used, because they were not available and "
            "no overdraft was allowed for them."
        )
    for use in entry.limits:
        yield f"It counts {_credits(use.amount_micros)} in {_limit(use, story.zone)}."


def _limit(use: LedgerEntry.LimitUse, zone: ZoneInfo) -> str:
    """Name a limit, whose it is, and its window."""
    whose = f" of {enum_word(use, 'scope')} {use.subject}" if use.subject else ""
    start, end = time_of(use, "start_time", zone), time_of(use, "end_time", zone)
    window = f", {enum_word(use, 'window')} from {start} to {end}" if end else ", for ever"
    return f"the limit {use.limit_name}{whose}{window}"


def _units(count: int) -> str:
    return f"{count:,} unit{'' if count == 1 else 's'}"


def _without_entry(story: Story, reservation: Reservation, state: str) -> Iterator[str]:
    """Tell what the reservation itself says, while its entry is on its way to SQL."""
    when = time_of(reservation, "settle_time", story.zone)
    match state:
        case "committed":
            yield f"{when}  The generation succeeded and was charged {_credits(reservation.charged_micros)}."
            yield from _parts(story, reservation.allocations)
        case "released":
            yield f"{when}  The generation failed and its credits were released."
        case _:
            yield f"{when}  Nobody had committed or released it in time: it expired."
    yield "Its ledger entry is not in SQL yet; ask again in a second for the rest."


def _returned(story: Story, reservation: Reservation, state: str) -> Iterator[str]:
    # A late charge took nothing of the reservation: that had been given back when it expired.
    kept = reservation.charged_micros if state == "committed" and not reservation.late else 0
    returned = max(reservation.reserved_micros - kept, 0)
    if returned:
        yield f"Returned: {_credits(returned)}, to the grants they came from."
    for entry in story.followers:
        amount, grant = _credits(entry.amount_micros), ", ".join(part.grant_id for part in entry.allocations)
        match enum_word(entry, "kind"):
            case "grant-expired":
                yield f"  {amount} of {grant} expired at once: the grant's time had passed (entry {entry.entry_number})"
            case "grant-voided":
                yield f"  {amount} of {grant} were voided at once, as the grant had been (entry {entry.entry_number})"
            case _:
                yield f"  {amount} of {grant} repaid debt at once (entry {entry.entry_number})"


def _parts(story: Story, allocations: Sequence[Allocation]) -> Iterator[str]:
    before: Grant | None = None
    for allocation in allocations:
        grant = story.grants.get(allocation.grant_id)
        line = f"  {format_credits(allocation.amount_micros)} from {allocation.grant_id}"
        if grant is None:
            yield f"{line} ({enum_word(allocation, 'kind')})"
            continue
        line += f" ({enum_word(grant, 'kind')}, priority {grant.priority}, {_expiry(grant, story.zone)})"
        if before is not None:
            line += f": {_why_after(before, grant)}"
        elif len(allocations) > 1:
            line += ": the first in the order of use"
        yield line
        before = grant


def _expiry(grant: Grant, zone: ZoneInfo) -> str:
    until = time_of(grant, "expire_time", zone)
    return f"expires {until}" if until else "never expires"


def _why_after(before: Grant, grant: Grant) -> str:
    never = 2**63
    one = (before.priority, timestamp_micros(before.expire_time) if before.HasField("expire_time") else never)
    two = (grant.priority, timestamp_micros(grant.expire_time) if grant.HasField("expire_time") else never)
    one_rank, two_rank = burn_down_rank(before.kind), burn_down_rank(grant.kind)
    one_time, two_time = timestamp_micros(before.acquire_time), timestamp_micros(grant.acquire_time)
    if (*two, two_rank, two_time) < (*one, one_rank, one_time):
        return f"after {before.grant_id}, taken when more was needed than that had been reserved first"
    if one[0] != two[0]:
        return f"after {before.grant_id}, whose priority is lower"
    if one[1] != two[1]:
        return f"after {before.grant_id}, which expires {'earlier' if two[1] != never else 'while this one does not'}"
    if one_rank != two_rank:
        return (
            f"after {before.grant_id}, because {enum_word(before, 'kind')} credits go before {enum_word(grant, 'kind')}"
        )
    return f"after {before.grant_id}, which was acquired earlier"


def tell_entry(story: Story) -> Iterator[str]:
    """Yield the lines of an entry that is about no reservation: grants, and what became of them."""
    [entry] = story.entries
    amount, grants = _credits(entry.amount_micros), ", ".join(part.grant_id for part in entry.allocations)
    who = f" by {entry.actor}" if entry.actor else ""
    said = f" Comment: {entry.comment}" if entry.comment else ""
    were = "was" if entry.amount_micros == 1_000_000 else "were"
    head = f"{story.at(entry)}  Entry {entry.entry_number} of account {entry.account_id}: "
    match enum_word(entry, "kind"):
        case "grant":
            grant = next(
                (story.grants[part.grant_id] for part in entry.allocations if part.grant_id in story.grants), None
            )
            kind = (
                f" ({enum_word(grant, 'kind')}, priority {grant.priority}, {_expiry(grant, story.zone)})"
                if grant
                else ""
            )
            good = f", to make good the charge of reservation {entry.reservation_id}" if entry.reservation_id else ""
            yield f"{head}{amount} {were} granted{who} as {grants or 'a grant'}{kind}{good}.{said}"
        case "charge":
            yield f"{head}{amount} of {grants} {were} charged by another system, which the account came from.{said}"
        case "grant-expired":
            yield f"{head}{amount} of {grants} expired: they had not been used when the grant's time had passed.{said}"
        case "grant-voided":
            yield f"{head}{amount} of {grants} {were} taken back{who}; what was reserved of it still pays.{said}"
        case "debt-repaid":
            yield f"{head}{amount} of {grants} repaid debt that an earlier charge had left.{said}"
        case "repair":
            yield f"{head}a repair made Redis and SQL agree, by {amount}.{said}"
        case kind:
            yield f"{head}{kind or 'unknown to this release'}, {amount}.{said}"
    yield f"After it, {_credits(entry.available_after_micros)} were available."
