"""The invariants of `semantics.md` as anybody can check them over gRPC, account by account."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from earmark.v1 import account_service_pb2 as accounts
from earmark.v1 import grant_pb2, ledger_pb2, reservation_pb2
from earmark.v1 import ledger_service_pb2 as ledger
from earmark.v1 import metering_service_pb2 as metering
from tests.integration.server.conftest import Sidecar
from tests.property.billing.plans import Predicted

__all__ = ["Books", "check_reports", "read_books"]

Entry = ledger_pb2.LedgerEntry
Notification = ledger.Notification
_LOW = {Notification.KIND_LOW_BALANCE, Notification.KIND_CRITICAL_BALANCE}


async def _pages(call: Any, request: Any, field: str) -> list[Any]:
    found: list[Any] = []
    while True:
        response = await call(request)
        found += getattr(response, field)
        if not response.next_page_token:
            return found
        request.page_token = response.next_page_token


class Books:
    """Everything that can be read of an account at one moment, when all of it was flushed."""

    def __init__(
        self,
        balance: reservation_pb2.Balance,
        grants: Sequence[grant_pb2.Grant],
        entries: Sequence[ledger_pb2.LedgerEntry],
        notifications: Sequence[ledger.Notification],
    ) -> None:
        self.balance = balance
        self.grants = grants
        self.entries = entries
        """Oldest first."""
        self.notifications = notifications
        """Oldest first."""

    def check_sums(self) -> None:
        """Every credit is where the grants and the ledger say."""
        now, grants = self.balance, self.grants
        expired, voided = sum(each.expired_micros for each in grants), sum(each.voided_micros for each in grants)
        granted = sum(each.amount_micros for each in grants)
        held = now.available_micros + now.reserved_micros
        assert granted == held + now.lifetime_charged_micros + expired + voided - now.debt_micros
        assert now.available_micros >= 0
        assert sum(each.available_micros for each in grants) == now.available_micros
        assert sum(each.reserved_micros for each in grants) == now.reserved_micros
        for each in grants:
            gone = each.charged_micros + each.expired_micros + each.voided_micros + each.repaid_micros
            assert each.amount_micros == gone + each.available_micros + each.reserved_micros, each

    def check_entries(self) -> None:
        """Numbers have no gap, sums are those of the balance, and every part is a part of its grant."""
        assert [entry.entry_number for entry in self.entries] == list(range(1, len(self.entries) + 1))
        sums: Counter[int] = Counter()
        parts: dict[int, Counter[str]] = defaultdict(Counter)
        for entry in self.entries:
            sums[entry.kind] += entry.amount_micros
            for part in entry.allocations:
                parts[entry.kind][part.grant_id] += part.amount_micros
            if entry.kind in (Entry.KIND_RELEASE, Entry.KIND_EXPIRED_HOLD):
                assert entry.amount_micros == 0
                assert not entry.allocations
            if entry.kind == Entry.KIND_CHARGE:
                paid = sum(part.amount_micros for part in entry.allocations)
                assert entry.amount_micros == paid + entry.debt_micros
        assert sums[Entry.KIND_CHARGE] == self.balance.lifetime_charged_micros
        assert sums[Entry.KIND_GRANT] == sum(grant.amount_micros for grant in self.grants)
        borrowed = sum(entry.debt_micros for entry in self.entries)
        assert borrowed - sums[Entry.KIND_DEBT_REPAID] == self.balance.debt_micros
        for grant in self.grants:
            for kind, amount in (
                (Entry.KIND_CHARGE, grant.charged_micros),
                (Entry.KIND_GRANT_EXPIRED, grant.expired_micros),
                (Entry.KIND_GRANT_VOIDED, grant.voided_micros),
                (Entry.KIND_DEBT_REPAID, grant.repaid_micros),
            ):
                assert parts[kind][grant.grant_id] == amount, (grant, Entry.Kind.Name(kind))

    def check_generations(self, charged: Mapping[str, int]) -> None:
        """Each generation has one entry at most, and was charged what its worker was told: failed ones nothing."""
        seen: dict[str, int] = {}
        for entry in self.entries:
            if entry.kind == Entry.KIND_CHARGE:
                assert entry.reservation_id not in seen, entry
                seen[entry.reservation_id] = entry.amount_micros
        assert {key: amount for key, amount in charged.items() if amount} == {
            key: amount for key, amount in seen.items() if amount
        }

    def check_cycles(self, predicted: Predicted, purchases: Mapping[str, tuple[int, int]]) -> None:
        """Each cycle, upgrade and purchase gave its credits once, and nothing else did."""
        renewals: dict[tuple[str, int], int] = {}
        upgrades: list[int] = []
        bought: dict[str, int] = {}
        for grant in self.grants:
            word, _, rest = grant.request_id.partition("/")
            match word:
                case "renewal":
                    subscription, _, cycle = rest.partition("/")
                    assert (subscription, int(cycle)) not in renewals, grant
                    renewals[subscription, int(cycle)] = grant.amount_micros
                case "upgrade":
                    upgrades.append(grant.amount_micros)
                case "purchase" | "bonus":
                    assert grant.request_id not in bought, grant
                    bought[grant.request_id] = grant.amount_micros
                case _:
                    pass
        assert renewals == predicted.renewals
        assert sorted(upgrades) == sorted(predicted.upgrades)
        expected = {}
        for purchase_id, (credits, bonus) in purchases.items():
            expected[f"purchase/{purchase_id}"] = credits
            if bonus:
                expected[f"bonus/{purchase_id}"] = bonus
        assert bought == expected

    def check_carried(self, predicted: Predicted, holds: Sequence[tuple[datetime, datetime]]) -> None:
        """What a cycle began with of subscription credits is at most the cap, and exactly what the cap lets go on.

        `holds` are the times between which anything was on hold: what was then may come back later.
        """
        grants = {grant.grant_id: grant for grant in self.grants}
        left: Counter[str] = Counter()
        cut_at: int | None = None
        for entry in self.entries:
            moment = entry.create_time
            if entry.kind == Entry.KIND_GRANT:
                (part,) = entry.allocations
                word, _, rest = grants[part.grant_id].request_id.rpartition("/")
                cap = predicted.cuts.get((word.removeprefix("renewal/"), int(rest))) if "renewal/" in word else None
                open_ones = any(start <= moment.ToDatetime(UTC) <= end for start, end in holds)
                if cap is not None and not open_ones:
                    carried = _subscribed(left, grants)
                    assert carried == cap if cut_at == moment.ToNanoseconds() else carried <= cap, (entry, left)
            cut_at = moment.ToNanoseconds() if entry.kind == Entry.KIND_GRANT_EXPIRED else None
            sign = 1 if entry.kind == Entry.KIND_GRANT else -1
            for part in entry.allocations:
                left[part.grant_id] += sign * part.amount_micros
            assert all(amount >= 0 for amount in left.values()), (entry, left)

    def check_alerts(self, thresholds: Mapping[ledger.Notification.Kind, int]) -> None:
        """Every crossing of a threshold was told once: available + reserved as the entries give it.

        Args:
            thresholds: by kind of notification; the same for as long as the account lives.
        """
        ids = [notification.notification_id for notification in self.notifications]
        assert len(set(ids)) == len(ids)
        after = self._balances()
        for kind, threshold in thresholds.items():
            told = [each.entry_number for each in self.notifications if each.kind == kind]
            assert len(set(told)) == len(told), (kind, told)
            for earlier, number in zip([0, *told], told, strict=False):
                assert after[number] <= threshold, (number, after)
                assert any(after[between] > threshold for between in range(earlier, number)), (kind, earlier, number)
            low = 0
            for number in range(1, len(after)):
                if after[number] > threshold:
                    low = 0
                elif after[number - 1] > threshold:
                    low = number
                rises = number + 1 < len(after) and after[number + 1] > threshold
                if low and (rises or number + 1 == len(after)) and not self._one_transition(low, number + 1):
                    assert any(low <= each <= number for each in told), (kind, low, number, after, told)
        for each in self.notifications:
            if each.kind in _LOW:
                assert each.balance_micros == after[each.entry_number], (each, after)

    def _one_transition(self, low: int, rises: int) -> bool:
        """Whether the balance may have fallen and risen within one transition, such as a renewal."""
        if rises > len(self.entries):
            return False
        return self.entries[low - 1].create_time == self.entries[rises - 1].create_time

    def _balances(self) -> list[int]:
        """Available + reserved after each entry, from 0 before the first."""
        after = [0]
        for entry in self.entries:
            change = 0
            match entry.kind:
                case Entry.KIND_GRANT:
                    change = entry.amount_micros
                case Entry.KIND_CHARGE:
                    change = entry.debt_micros - entry.amount_micros
                case Entry.KIND_GRANT_EXPIRED | Entry.KIND_GRANT_VOIDED | Entry.KIND_DEBT_REPAID:
                    change = -entry.amount_micros
                case _:
                    pass
            after.append(after[-1] + change)
            assert entry.available_after_micros <= after[-1], entry
        assert after[-1] == self.balance.available_micros + self.balance.reserved_micros
        return after


def _subscribed(left: Mapping[str, int], grants: Mapping[str, grant_pb2.Grant]) -> int:
    return sum(
        amount for grant_id, amount in left.items() if grants[grant_id].kind == grant_pb2.Grant.KIND_SUBSCRIPTION
    )


async def read_books(sidecar: Sidecar, account_id: str) -> Books:
    """Read an account. Everything that has settled must be in SQL already."""
    balance = (await sidecar.metering.GetBalance(metering.GetBalanceRequest(account_id=account_id))).balance
    grants = await _pages(
        sidecar.accounts.ListGrants, accounts.ListGrantsRequest(account_id=account_id, page_size=7), "grants"
    )
    entries = await _pages(
        sidecar.ledger.ListLedgerEntries,
        ledger.ListLedgerEntriesRequest(account_id=account_id, page_size=50),
        "entries",
    )
    notifications = await _pages(
        sidecar.ledger.ListNotifications,
        ledger.ListNotificationsRequest(account_id=account_id, page_size=5),
        "notifications",
    )
    return Books(balance, grants, entries[::-1], notifications[::-1])


async def check_reports(sidecar: Sidecar, account_id: str, books: Books, edges: Sequence[datetime]) -> None:
    """Reports of adjacent ranges are the ledger's sums, balanced, and each carries in what the one before left."""
    stamps = [_timestamp(edge) for edge in sorted(edges)]
    left: int | None = None
    for start, end in pairwise(stamps):
        usage = await sidecar.ledger.GetUsageReport(
            ledger.GetUsageReportRequest(
                account_id=account_id,
                start_time=start,
                end_time=end,
                group_by=[ledger.GetUsageReportRequest.GROUP_BY_OPERATION, ledger.GetUsageReportRequest.GROUP_BY_DAY],
            )
        )
        within = [
            entry
            for entry in books.entries
            if usage.start_time.ToNanoseconds() <= entry.create_time.ToNanoseconds() < usage.end_time.ToNanoseconds()
        ]
        charges = [entry for entry in within if entry.kind == Entry.KIND_CHARGE]
        assert usage.total.charged_micros == sum(entry.amount_micros for entry in charges)
        assert usage.total.charged_micros == sum(row.charged_micros for row in usage.rows)
        assert usage.total.succeeded_count == len(charges)
        assert usage.total.failed_count == sum(entry.kind == Entry.KIND_RELEASE for entry in within)
        assert usage.total.expired_count == sum(entry.kind == Entry.KIND_EXPIRED_HOLD for entry in within)
        summary = await sidecar.ledger.GetMonthlySummary(
            ledger.GetMonthlySummaryRequest(account_id=account_id, start_time=start, end_time=end)
        )
        for line in (summary.total, summary.free, summary.purchased, summary.subscription, *summary.kinds):
            came = line.carried_in_micros + line.allocated_micros
            went = line.consumed_micros + line.expired_micros + line.voided_micros + line.repaid_micros
            assert came == went + line.remaining_micros, (line, summary)
            assert line.remaining_micros >= 0, summary
        within = [
            entry
            for entry in books.entries
            if start.ToNanoseconds() <= entry.create_time.ToNanoseconds() < end.ToNanoseconds()
        ]
        of_kind = Counter[int]()
        for entry in within:
            of_kind[entry.kind] += entry.amount_micros
        assert summary.total.allocated_micros == of_kind[Entry.KIND_GRANT]
        assert summary.total.expired_micros == of_kind[Entry.KIND_GRANT_EXPIRED]
        assert summary.total.voided_micros == of_kind[Entry.KIND_GRANT_VOIDED]
        charged = sum(entry.amount_micros - entry.debt_micros for entry in within if entry.kind == Entry.KIND_CHARGE)
        assert summary.total.consumed_micros == charged
        assert left is None or summary.total.carried_in_micros == left
        left = summary.total.remaining_micros


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
