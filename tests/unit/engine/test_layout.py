"""The Lua and the Python side name the same positions."""

from __future__ import annotations

import re
from importlib.resources import files

import msgspec
import pytest

from earmark.engine import operations, records, results
from earmark.engine.redis import packed, scripts
from earmark.engine.redis.keys import partition_keys

LUA = files("earmark.engine.redis").joinpath("lua")
LAYOUT = scripts.constants(LUA.joinpath("lib", "layout.lua").read_text())
TRANSITIONS = "\n".join(
    path.read_text() for path in LUA.joinpath("transitions").iterdir() if path.name.endswith(".lua")
)


def fields_of(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_fields__


@pytest.mark.parametrize(
    ("prefix", "struct", "renamed"),
    [
        ("A_", packed.PackedAccount, {"overdraft_limit": "overdraft"}),
        (
            "R_",
            packed.PackedReservation,
            {"account_id": "account", "create_time": "create", "expire_time": "expire", "settle_time": "settle"},
        ),
        ("C_", packed.PackedCounter, {}),
    ],
)
def test_packed_records_have_the_positions_of_the_layout(
    prefix: str, struct: type[msgspec.Struct], renamed: dict[str, str]
) -> None:
    in_lua = {name.removeprefix(prefix).lower(): int(at) for name, at in LAYOUT.items() if name.startswith(prefix)}
    in_python = {renamed.get(name, name): at for at, name in enumerate(fields_of(struct), 1) if name != "format"}
    assert in_lua == in_python


def test_stream_records_end_with_the_fields_of_the_layout() -> None:
    in_python = {name: at for at, name in enumerate(fields_of(records.StreamRecord), 1)}
    in_lua = {name.removeprefix("E_").lower(): int(at) for name, at in LAYOUT.items() if name.startswith("E_")}
    assert in_lua == {name: in_python[name] for name in ("alerts", "windows", "carry_room")}


def test_limit_claims_have_the_positions_of_the_layout() -> None:
    in_lua = {name.removeprefix("L_").lower(): int(at) for name, at in LAYOUT.items() if name.startswith("L_")}
    assert in_lua == {name: at for at, name in enumerate(fields_of(operations.LimitClaim), 1)}


def test_a_counter_is_found_under_its_account_key_and_start() -> None:
    assert packed.counter_field("acme", "daily:0:account:", 5) == "acme\0daily:0:account:\x000000000000000005"


def test_grants_have_the_stride_of_the_layout() -> None:
    assert int(LAYOUT["GRANT_STRIDE"]) == packed.GRANT_STRIDE
    assert sorted(
        int(LAYOUT[f"G_{name}"])
        for name in ("NUMBER", "KIND", "PRIORITY", "EXPIRE", "ACQUIRE", "REMAINING", "HELD", "VOIDED")
    ) == list(range(packed.GRANT_STRIDE))


UNPACKED = re.findall(r"local ([\w, \n]+?) =\s+unpack\(\w+\) -- (\w+)", TRANSITIONS)


def test_every_operation_with_fields_is_unpacked_somewhere() -> None:
    named = {name for _, name in UNPACKED}
    ours = {
        name
        for name in operations.__all__
        if isinstance(struct := getattr(operations, name), type)
        and issubclass(struct, (operations.AccountOperation, operations.PartitionOperation))
        and struct not in {operations.AccountOperation, operations.PartitionOperation}
    }
    assert named == ours


@pytest.mark.parametrize(("names", "operation"), UNPACKED, ids=[name for _, name in UNPACKED])
def test_transitions_unpack_the_fields_of_their_operation(names: str, operation: str) -> None:
    struct: type[msgspec.Struct] = getattr(operations, operation)
    in_lua = [name.strip() for name in names.split(",")][1:]  # the first is the tag
    in_python = fields_of(struct)
    assert len(in_lua) == len(in_python)
    for lua, python in zip(in_lua, in_python, strict=True):
        lua = lua.removeprefix("listed_")
        assert lua == "_" or lua in python or python in {"account_id", "flushed", "grant"}, (lua, python)


@pytest.mark.parametrize("struct", list(results.Result.__args__), ids=lambda struct: struct.__name__)
def test_results_have_the_tags_of_the_layout(struct: type[msgspec.Struct]) -> None:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", struct.__name__).upper()
    assert int(LAYOUT[name]) == struct.__struct_config__.tag


@pytest.mark.parametrize("code", list(results.RefusalCode), ids=lambda code: code.name)
def test_refusals_have_the_numbers_of_the_layout(code: results.RefusalCode) -> None:
    if code.name in LAYOUT:
        assert int(LAYOUT[code.name]) == code


def test_keys_of_a_partition_share_one_slot() -> None:
    keys = partition_keys(7)
    assert all(key.startswith("em:{07}:") for key in keys.all())
    assert len(set(keys.all())) == len(keys.all())
    assert keys.channel == "em:{07}:changes"


def test_constants_refuse_an_uneven_declaration() -> None:
    with pytest.raises(ValueError, match="2 names for 1 values"):
        scripts.constants("local A, B = 1")
