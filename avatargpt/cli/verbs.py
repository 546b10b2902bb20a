"""Options of commands from the fields of a verb's request (`avatargpt.verbs.request`), and from groups of options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from pkgutil import resolve_name
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from avatargpt.cli.common import REQUEST, option

ASKED = "asked"  # the parameter of a command in whose place the options of a request stand


def add_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with options in place of two kinds of parameters.

    ``asked``, of one that `takes` a request: an option for each field with a `Flag`, whose help, bounds and default are
    those of the field. The command gets a dictionary of what these say, by field; what it reads itself (files, texts)
    is added by it. A parameter whose type is a dataclass: an option for each field that is annotated with one.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if name == ASKED:
            rows = _options_of_request(resolve_name(getattr(command, REQUEST)))
        elif isinstance(kind, type) and is_dataclass(kind):
            rows = _options_of_group(kind)
        else:
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[name] = (dict if name == ASKED else kind, [row.name for row in rows])
        parameters += rows

    @wraps(command)
    def call(**given: Any) -> None:
        made = {name: kind(**{n: given.pop(n) for n in names}) for name, (kind, names) in groups.items()}
        command(**given, **made)

    del call.__wrapped__  # whose signature typer would read
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _options_of_request(kind: type[Any]) -> list[inspect.Parameter]:
    """The fields of a request that have a spelling on the command line."""
    from avatargpt.verbs.request import Flag, PythonOnly, fields_of, marker_of

    shown = {n: f for n, f in fields_of(kind).items() if (m := marker_of(f, Flag)) and m.declaration}
    return [_parameter(n, f) for n, f in shown.items() if marker_of(f, PythonOnly) is None]


def _options_of_group(kind: type[Any]) -> list[inspect.Parameter]:
    """The fields of a dataclass that are annotated with an option."""
    hints = get_type_hints(kind, include_extras=True)
    shown = [f for f in fields(kind) if get_origin(hints[f.name]) is Annotated]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(f.name, keyword, annotation=hints[f.name], default=f.default) for f in shown]


def _parameter(name: str, field: Any) -> inspect.Parameter:
    """A field as a parameter for typer."""
    from avatargpt.verbs.request import MAX_SEED, Flag, Refers, bounds_of, inner_type, marker_of

    inner = inner_type(field.annotation)
    flag = marker_of(field, Flag)
    assert flag is not None
    plain: Any = flag.kind or (get_args(inner)[0] if get_origin(inner) is Annotated else inner)
    if marker_of(field, Refers) or plain is Any:
        plain = str
    low, high = bounds_of(field)
    bounds = f" {low:.12g} to {high:.12g}." if low is not None and high is not None and high < MAX_SEED else ""
    about = option(flag.declaration, f"{field.description or ''}{bounds}")
    kind: Any = plain if field.default is not None else plain | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, about], default=field.default
    )
