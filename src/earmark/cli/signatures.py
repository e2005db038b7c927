"""Options that many commands share, given to a command by a decorator instead of being written out in each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

__all__ = ["replace_parameter"]


def replace_parameter(
    wrapper: Callable[..., Any], command: Callable[..., Any], name: str, added: Mapping[str, tuple[Any, Any]]
) -> None:
    """Make `wrapper` look like `command` with other parameters in place of one.

    Args:
        wrapper: What Typer will inspect and call, with keywords only.
        command: What it wraps.
        name: The parameter that the wrapper provides by itself.
        added: Annotation and default of each parameter that the wrapper takes for it.
    """
    hints = get_type_hints(command, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        parameter.replace(annotation=hints[parameter.name], kind=keyword)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != name
    ]
    for option, (annotation, default) in added.items():
        parameters.append(inspect.Parameter(option, keyword, default=default, annotation=annotation))
    wrapper.__signature__ = inspect.Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
