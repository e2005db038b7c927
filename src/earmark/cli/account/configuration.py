"""What can be configured of an account, as options give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from earmark.cli.account.limits import TypedLimit
from earmark.cli.account.options import Enforcement
from earmark.cli.values import parse_pairs

if TYPE_CHECKING:
    from earmark.v1.account_pb2 import Account

__all__ = ["Configuration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Fields that were given; None for those that were not. Amounts in microcredits, durations in microseconds."""

    name: str | None
    time_zone: ZoneInfo | None
    overdraft: int | None
    enforcement: Enforcement | None
    low_balance: int | None
    critical_balance: int | None
    expiring_soon: int | None
    balance_alerts_off: bool
    emails: Sequence[str] | None
    webhook: str | None
    webhook_secret: str | None
    limits: Sequence[TypedLimit] | None
    labels: Sequence[str] | None
    """As typed: KEY=VALUE."""

    def account(self, account_id: str) -> Account:
        """Return an account with what was given."""
        from earmark.v1.account_pb2 import Account

        enforcement = f"ENFORCEMENT_{self.enforcement.upper()}" if self.enforcement else None
        account = Account(account_id=account_id, display_name=self.name, enforcement=enforcement)
        if self.time_zone is not None:
            account.time_zone = self.time_zone.key
        if self.overdraft is not None:
            account.overdraft_limit_micros = self.overdraft
        if self.low_balance is not None:
            account.thresholds.low_balance_micros = self.low_balance
        if self.critical_balance is not None:
            account.thresholds.critical_balance_micros = self.critical_balance
        if self.expiring_soon is not None:
            account.thresholds.expiring_soon.FromMicroseconds(self.expiring_soon)
        account.thresholds.balance_alerts_off = self.balance_alerts_off
        account.contacts.emails.extend(self.emails or ())
        account.contacts.webhook_url = self.webhook or ""
        account.contacts.webhook_secret = self.webhook_secret or ""
        account.limits.extend(limit.message() for limit in self.limits or ())
        account.labels.update(parse_pairs(self.labels or (), "--label"))
        return account

    def paths(self) -> list[str]:
        """Return the paths of an update mask that names what was given."""
        thresholds = (self.low_balance, self.critical_balance, self.expiring_soon)
        given = {
            "display_name": self.name is not None,
            "time_zone": self.time_zone is not None,
            "overdraft_limit_micros": self.overdraft is not None,
            "enforcement": self.enforcement is not None,
            "thresholds": any(value is not None for value in thresholds) or self.balance_alerts_off,
            "contacts": bool(self.emails) or self.webhook is not None or self.webhook_secret is not None,
            "limits": bool(self.limits),
            "labels": bool(self.labels),
        }
        return [path for path, is_given in given.items() if is_given]
