"""Page tokens belong to the query that gave them out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.errors import InvalidRequest
from earmark.server.paging import decode_token, encode_token


class Position(msgspec.Struct, frozen=True, array_like=True):
    number: int
    text: str


# No text of the ledger holds NUL.
@given(
    number=st.integers(0, 2**63 - 1), text=st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
)
def test_a_token_comes_back(number: int, text: str) -> None:
    token = encode_token(Position(number, text), "query")
    assert decode_token(token, Position, "query") == Position(number, text)


@given(token=st.text(max_size=2_000))
def test_any_other_text_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_token(token, Position, "query")
    assert caught.value.field == "page_token"


@pytest.mark.parametrize("position", [Position(2**63, ""), Position(0, "a\0b")])
def test_what_no_database_could_be_asked_is_refused(position: Position) -> None:
    with pytest.raises(InvalidRequest):
        decode_token(encode_token(position, "query"), Position, "query")


def test_a_token_of_another_query_is_refused() -> None:
    token = encode_token(Position(1, ""), ("list", "acme"))
    with pytest.raises(InvalidRequest):
        decode_token(token, Position, ("list", "other"))
