"""Options of commands from the fields of a verb's request (`avatargpt.verbs.request`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pkgutil import resolve_name
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from avatargpt.cli.common import REQUEST, option

ASKED = "asked"  # the parameter of a command in whose place the options stand


def add_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that `takes` a request: in place of its parameter ``asked`` an option for each field with a `Flag`.

    Help, bounds and default are those of the field. The command gets a dictionary of what these options say, by field;
    what it reads itself (files, texts) is added by it.
    """
    from avatargpt.verbs.request import Flag, PythonOnly, fields_of, marker_of

    fields = fields_of(resolve_name(getattr(command, REQUEST)))
    shown = {n: f for n, f in fields.items() if (m := marker_of(f, Flag)) and m.declaration}
    options = [_parameter(n, f) for n, f in shown.items() if marker_of(f, PythonOnly) is None]
    names = [p.name for p in options]

    @wraps(command)
    def call(**given: Any) -> None:
        command(**{k: v for k, v in given.items() if k not in names}, asked={n: given[n] for n in names})

    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        parameters += options if name == ASKED else [parameter.replace(annotation=hints[name])]
    del call.__wrapped__  # whose signature typer would read
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


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
