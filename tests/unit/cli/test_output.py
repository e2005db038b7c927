"""How results look."""

from __future__ import annotations

import io
import json
import re
import sys
from zoneinfo import ZoneInfo

import pytest

from earmark.cli.cards import allocations_text, reservation_rows
from earmark.cli.output import Column, enum_word, format_time, message_fields, one_line, print_card, print_table
from earmark.cli.values import UTC_ZONE
from earmark.credits import MAX_MICROS
from earmark.v1.grant_pb2 import Grant
from earmark.v1.ledger_pb2 import LedgerEntry
from earmark.v1.reservation_pb2 import Reservation

LONG = "A" * 240


def test_tables_in_a_pipe_keep_every_character(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("id"), Column("amount", number=True)], [[LONG, "1"], ["b", "1,000.5"]])
    out = capsys.readouterr().out
    assert LONG in out
    assert "\x1b" not in out
    header, _, first, second = out.splitlines()
    assert header.split() == ["id", "amount"]
    assert first.split() == [LONG, "1"]
    assert second.split() == ["b", "1,000.5"]


class Terminal(io.StringIO):
    """A terminal as narrow as COLUMNS says."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [30, 50, 80])
def test_tables_in_a_terminal_fold_and_are_never_cut(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    columns = [Column("reservation"), Column("reserved", number=True), Column("grants")]
    print_table(columns, [["x" * 60, "1,234,567.123456", "y" * 40]])
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    folded = "".join(lines)
    assert (folded.count("x"), folded.count("y")) == (60, 40)
    assert "1,234,567.123456" in shown


def test_what_users_typed_is_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Column("comment")], [["[red]a[/red] :smile: [link=x]y"]])
    print_card([("name", "[bold]b :tada:"), ("empty", "")])
    out = capsys.readouterr().out
    assert "[red]a[/red] :smile: [link=x]y" in out
    assert "[bold]b :tada:" in out
    assert "empty" not in out


def test_nothing_steers_the_terminal() -> None:
    assert one_line("a\nb\x1b[31mc\u202e") == "a b\\x1b[31mc\\x202e"


def test_times() -> None:
    micros = 1_785_110_400_123_456
    assert format_time(micros) == "2026-07-27T00:00:00.123Z"
    assert format_time(micros, timespec="microseconds") == "2026-07-27T00:00:00.123456Z"
    assert format_time(micros, ZoneInfo("Europe/Paris")) == "2026-07-27T02:00:00.123+02:00"


def test_enums_are_words() -> None:
    assert enum_word(LedgerEntry(kind=LedgerEntry.KIND_EXPIRED_HOLD), "kind") == "expired-hold"
    assert enum_word(LedgerEntry(), "kind") == ""
    assert enum_word(LedgerEntry(outcome=LedgerEntry.OUTCOME_FAILED), "outcome") == "failed"


def test_a_kind_of_a_newer_server_is_shown_as_its_number() -> None:
    newer = LedgerEntry.FromString(b"\x18\x63")
    assert enum_word(newer, "kind") == "99"
    assert message_fields(newer)["kind"] == 99


def test_json_keeps_integers_exact_and_absence_apart_from_zero() -> None:
    entry = LedgerEntry(amount_micros=MAX_MICROS, quantity=0, labels={"b": "2", "a": "ü"})
    entry.create_time.FromMicroseconds(1_785_110_400_123_456)
    entry.allocations.add(grant_id="g1", kind=Grant.KIND_FREE, amount_micros=MAX_MICROS)
    fields = json.loads(json.dumps(message_fields(entry)))
    assert fields["amount_micros"] == MAX_MICROS
    assert fields["quantity"] == 0
    assert fields["reserved_quantity"] is None
    assert fields["usage"] is None
    assert fields["labels"] == {"a": "ü", "b": "2"}
    assert fields["kind"] == "KIND_UNSPECIFIED"
    assert fields["allocations"] == [{"grant_id": "g1", "kind": "KIND_FREE", "amount_micros": MAX_MICROS}]
    assert fields["create_time"] == "2026-07-27T00:00:00.123456Z"


def test_a_card_leaves_out_what_is_not_there() -> None:
    reservation = Reservation(reservation_id="r", account_id="acme", state=Reservation.STATE_ACTIVE, reserved_micros=5)
    rows = dict(reservation_rows(reservation, UTC_ZONE))
    assert rows["reserved"] == "0.000005"
    assert "charged" not in rows
    assert "quantity" not in rows


def test_allocations() -> None:
    entry = LedgerEntry()
    entry.allocations.add(grant_id="g1", amount_micros=300_000)
    entry.allocations.add(grant_id="g2", amount_micros=80_000)
    assert allocations_text(entry.allocations) == "g1 0.3 + g2 0.08"
