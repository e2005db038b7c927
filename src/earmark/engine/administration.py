"""Applying what SQL has recorded: administrative operations in the order of their admin_seq, whoever brings them."""

from __future__ import annotations

from earmark.engine.ports import Archive, Metering
from earmark.engine.results import Applied, Refused
from earmark.errors import Internal, Reason, error

__all__ = ["apply_recorded"]

_ROUNDS = 4


async def apply_recorded(engine: Metering, archive: Archive, account_id: str, behind: int, up_to: int) -> int:
    """Apply the account's recorded operations after admin_seq `behind`, up to `up_to`; return how many took effect now.

    Safe beside others who do the same: Redis applies exactly its last admin_seq + 1. A refusal is the answer of the
    call that recorded the operation; it uses its admin_seq up, and the next one follows.

    Raises:
        EarmarkError: ACCOUNT_NOT_FOUND; a store is away, or the account is being recovered: repeat later.
    """
    fresh = 0
    for _ in range(_ROUNDS):
        if behind >= up_to:
            return fresh
        begun = behind
        for operation in await archive.read_admin_operations(account_id, behind):
            if operation.admin_seq > up_to:
                break
            match await engine.execute(operation):
                case Applied(admin_seq=applied) if applied < operation.admin_seq:
                    # Redis is behind what SQL confirms: those before it are missing too.
                    behind = applied
                    break
                case Applied() as answer:
                    fresh += answer.fresh
                case Refused():
                    fresh += 1
                case other:
                    raise Internal(Reason.INTERNAL, f"the store answered a relay with {type(other).__name__}")
            behind = operation.admin_seq
        if behind == begun:
            break
    if behind >= up_to:
        return fresh
    raise error(
        Reason.RECOVERING, f"account {account_id!r} is being recovered: repeat the call with the same request_id"
    )
