"""YAML to nodes that know their place, within bounds.

Read from the parser's events, without recursion: an untrusted document can neither exhaust the stack nor multiply
itself. Scalars keep their text: nothing becomes a float, a date or a yes/no on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from earmark.catalogs.problems import InvalidCatalog, Problem, Problems

__all__ = ["MAX_DOCUMENT_BYTES", "MapNode", "Node", "ScalarNode", "SequenceNode", "read_document"]

MAX_DOCUMENT_BYTES = 2**20
_MAX_DEPTH = 24
_MAX_NODES = 50_000
_MAX_SHOWN = 40
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

# The parser in C is ten times as fast; both give the same events.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value, as its text."""

    text: str
    line: int
    column: int
    is_null: bool = False
    """Nothing, or a plain `null`."""


@dataclass(frozen=True, slots=True)
class SequenceNode:
    """A list."""

    items: list[Node]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class MapNode:
    """Values by key, in order; keys are unique texts."""

    entries: dict[str, tuple[ScalarNode, Node]]
    line: int
    column: int


Node = ScalarNode | SequenceNode | MapNode


@dataclass(slots=True)
class _Open:
    """A list or map whose end has not come yet."""

    node: SequenceNode | MapNode
    path: str
    key: ScalarNode | None = field(default=None)


def read_document(text: str, problems: Problems) -> Node | None:
    """Return the only document of a text; None if it is empty. Duplicate keys are noted as problems.

    Raises:
        InvalidCatalog: it is no YAML, or beyond the bounds, so that nothing can be read.
    """
    if len(text) > MAX_DOCUMENT_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_DOCUMENT_BYTES:
        raise _refusal(0, 0, "has more than 1 MiB")
    root: Node | None = None
    stack: list[_Open] = []
    nodes = 0
    documents = 0
    for event in _events(text):
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refusal(line, column, "a second document begins here: a catalog is one")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refusal(line, column, "anchors and aliases (& and *) are not supported: write the value out")
        if isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
            if not stack:
                root = closed.node
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        nodes += 1
        if nodes > _MAX_NODES:
            raise _refusal(line, column, f"has more than {_MAX_NODES:,} values")
        tag = getattr(event, "tag", None)
        if tag not in {None, "!"}:
            raise _refusal(line, column, f"tags (here {_shown(str(tag))}) are not supported")
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style in {None, ""}
            scalar = ScalarNode(event.value, line, column, plain and event.value in _NULLS)
            if not stack:
                root = scalar
            elif isinstance(stack[-1].node, MapNode) and stack[-1].key is None:
                stack[-1].key = scalar
            else:
                _attach(stack[-1], scalar, problems)
            continue
        if len(stack) >= _MAX_DEPTH:
            raise _refusal(line, column, f"is nested deeper than {_MAX_DEPTH} levels")
        node: SequenceNode | MapNode
        node = (
            SequenceNode([], line, column) if isinstance(event, yaml.SequenceStartEvent) else MapNode({}, line, column)
        )
        path = ""
        if stack:
            parent = stack[-1]
            if isinstance(parent.node, MapNode) and parent.key is None:
                raise _refusal(line, column, "a key must be a single value, not a list or a map")
            path = _attach(parent, node, problems)
        stack.append(_Open(node, path))
    return None if isinstance(root, ScalarNode) and root.is_null else root


def _attach(parent: _Open, node: Node, problems: Problems) -> str:
    """Put a node into its list or map; return its path."""
    if isinstance(parent.node, SequenceNode):
        parent.node.items.append(node)
        return f"{parent.path}[{len(parent.node.items) - 1}]"
    key = parent.key
    assert key is not None
    parent.key = None
    path = f"{parent.path}.{key.text}" if parent.path else key.text
    earlier = parent.node.entries.get(key.text)
    if earlier is not None:
        problems.add(key.line, key.column, path, f"is given twice; first on line {earlier[0].line}")
    else:
        parent.node.entries[key.text] = (key, node)
    return path


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        context = f" ({problem.context})" if problem.context else ""
        raise _refusal(line, column, f"is no YAML: {problem.problem}{context}") from None
    except yaml.reader.ReaderError as problem:
        before = text[: problem.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise _refusal(line, column, f"a character is not allowed: {problem.reason}") from None
    except UnicodeEncodeError:
        raise _refusal(0, 0, "is no valid text") from None


def _refusal(line: int, column: int, message: str) -> InvalidCatalog:
    return InvalidCatalog([Problem(line, column, "", message)])


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]!r}..."
