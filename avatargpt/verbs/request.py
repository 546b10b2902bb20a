"""Typed requests of verbs, from which the command line, `AvatarGPT`, HTTP, MCP and the client follow.

A request is a dataclass that checks its fields, with a description and bounds at each of them::

    @request
    class DescribeRequest:
        motion: Source = Field(description="The motion.")
        num: Annotated[Count, Flag("-n --num K")] = Field(default=1, le=100, description="Sentences per motion.")

    def describe(model: AvatarGPT, asked: DescribeRequest) -> list[Any]: ...

    class AvatarGPT:
        describe = method_of(DescribeRequest, describe)      # model.describe(motion, num=3)

A route takes the same class as its body, a tool of MCP its schema, a command an option for each field
(`avatargpt.cli.verbs.takes`). So a field that is added here stands at every door.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from dataclasses import fields, replace
from functools import wraps
from types import NoneType, UnionType
from typing import (
    Annotated, Any, Concatenate, ParamSpec, TypeVar, Union, dataclass_transform, get_args, get_origin,
)  # fmt: skip

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from vqvae.errors import UserError
from vqvae.strict import refuse_boolean, requirement_of

P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")
_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
MAX_SEED = 2**32 - 1


@plain_dataclass(frozen=True)
class Flag:
    """How the command line spells a field: names and placeholder, ``-n --num K``; empty = not as an option."""

    declaration: str = ""


@plain_dataclass(frozen=True)
class Refers:
    """A field that names something: in Python the thing itself, on the command line its file, elsewhere its id.

    Attributes:
        kind: ``motion`` or ``sound``.
    """

    kind: str


class PythonOnly:
    """Marks a field that has no form outside Python."""


def _plain_number(value: Any) -> Any:
    """NumPy's numbers as Python's; booleans and ``1_0`` are refused."""
    return refuse_boolean(value.item() if hasattr(value, "dtype") and value.ndim == 0 else value)


NUMBER = BeforeValidator(_plain_number)  # behind the bounds, which a schema shows then
Count = Annotated[int, Field(ge=1), NUMBER]
Number = Annotated[float, Field(allow_inf_nan=False), NUMBER]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), NUMBER, Flag("--seed N")]
Source = Annotated[Any, Refers("motion"), Flag(), WithJsonSchema({"type": "string"})]
SEED = Field(default=0, description="Same seed, same result.")


@dataclass_transform(kw_only_default=False, field_specifiers=(Field,))
def request(kind: type[Q]) -> type[Q]:
    """A class as a request: its fields are checked, unknown ones refused."""
    made: type[Q] = dataclass(frozen=True, config=_CONFIG)(kind)
    return made


def fields_of(kind: type[Any]) -> dict[str, FieldInfo]:
    """The fields of a request or of another pydantic model, by name."""
    out: dict[str, FieldInfo] = kind.__pydantic_fields__
    return out


def inner_type(annotation: Any) -> Any:
    """The type of a field that may be None without the None."""
    if get_origin(annotation) in (Union, UnionType):
        return next(a for a in get_args(annotation) if a is not NoneType)
    return annotation


def marks_of(field: FieldInfo) -> list[Any]:
    """What stands beside the type of a field: bounds, validators, `Flag`, `Refers`."""
    inner = inner_type(field.annotation)
    rows = get_args(inner)[1:] if get_origin(inner) is Annotated else ()
    own = [mark for row in rows for mark in (row.metadata if isinstance(row, FieldInfo) else [row])]
    return [*own, *field.metadata]


def marker_of(field: FieldInfo, kind: type[R]) -> R | None:
    """The last mark of a kind (`Flag`, `Refers`, `PythonOnly`) at a field; None = none."""
    return next((m for m in reversed(marks_of(field)) if isinstance(m, kind)), None)


def make_request(kind: Callable[P, Q], *args: P.args, **kwargs: P.kwargs) -> Q:
    """A request. Raises UserError, in one line, for a value that is not accepted."""
    try:
        return kind(*args, **kwargs)
    except ValidationError as e:
        raise UserError(explain_mistake(e)) from None


def explain_mistake(error: ValidationError) -> str:
    """The first mistake in one line: where, the value, what is accepted."""
    first = next((e for e in error.errors() if "unexpected" in e["type"] or "extra" in e["type"]), error.errors()[0])
    place = ".".join(map(str, first["loc"])) or "request"
    if "unexpected" in first["type"] or "extra" in first["type"]:
        return f"{place}: not a field of this request"
    if first["type"].startswith("missing"):
        return f"{place}: needed"
    if first["type"] == "value_error":
        return f"{place}: {first['ctx']['error']}"
    return f"{place}: {repr(first['input'])[:40]}; accepted: {requirement_of(first)}"


def resolve_sources(asked: Q, find: Callable[[str, str, str], Any]) -> Q:
    """The request with what its fields name.

    Args:
        find: (kind of the field's `Refers`, value, name of the field) -> the thing.
    """
    found = {
        name: find(marker.kind, value, name)
        for name, field in fields_of(type(asked)).items()
        if (marker := marker_of(field, Refers)) is not None and (value := getattr(asked, name)) not in ("", None)
    }
    return replace(asked, **found) if found else asked  # type: ignore[type-var]


def values_of(asked: Any) -> dict[str, Any]:
    """The fields of a request, by name, as they are."""
    return {f.name: getattr(asked, f.name) for f in fields(asked)}


def method_of(kind: Callable[P, Q], run: Callable[[Any, Q], R]) -> Callable[Concatenate[Any, P], R]:
    """A method of `AvatarGPT` that takes the fields of a request, with its signature and documentation."""

    @wraps(run)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return run(self, make_request(kind, *args, **kwargs))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(kind)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *signature.parameters.values()], return_annotation=inspect.signature(run).return_annotation
    )
    rows = [f"    {name}: {field.description}" for name, field in fields_of(kind).items()]  # type: ignore[arg-type]
    call.__doc__ = "\n".join([inspect.getdoc(run) or "", "", "Args:", *rows])
    return call
