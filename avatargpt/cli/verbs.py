"""Options of commands from the fields of a verb's request (`avatargpt.verbs.request`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from avatargpt.cli.common import option
from avatargpt.verbs.request import Flag, PythonOnly, Refers, bounds_of, fields_of, inner_type, marker_of

ASKED = "asked"  # the parameter of a command in whose place the options stand


def takes(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameter ``asked`` is given by an option for each field of a request that has a `Flag`.

    The command gets a dictionary of what these options say, by field; what it reads itself (files, texts) is added by
    it. Help, bounds and default are those of the field.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = [_parameter(name, field) for name, field in fields_of(kind).items() if _is_option(field)]
        names = [p.name for p in options]

        @wraps(command)
        def call(**given: Any) -> None:
            command(**{k: v for k, v in given.items() if k not in names}, asked={n: given[n] for n in names})

        hints = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            parameters += options if name == ASKED else [parameter.replace(annotation=hints[name])]
        del call.__wrapped__  # type: ignore[attr-defined]  # whose signature typer would read
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [p.replace(kind=keyword) for p in parameters]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        return call

    return decorate


def _is_option(field: FieldInfo) -> bool:
    flag = marker_of(field, Flag)
    return flag is not None and flag.declaration != "" and marker_of(field, PythonOnly) is None


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """A field as a parameter for typer."""
    inner = inner_type(field.annotation)
    flag = marker_of(field, Flag)
    assert flag is not None
    plain: Any = flag.kind or (get_args(inner)[0] if get_origin(inner) is Annotated else inner)
    if marker_of(field, Refers):
        plain = str
    low, high = bounds_of(field)
    # Typer names whole numbers' bounds in its help; those of others are checked with the request.
    bounds = {"min": low, "max": high} if plain is int else {}
    about = option(flag.declaration, field.description or "", **bounds)
    kind: Any = plain if field.default is not None else plain | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, about], default=field.default
    )
