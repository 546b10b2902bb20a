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
from dataclasses import replace
from functools import wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, Union, dataclass_transform, get_args, get_origin

import annotated_types
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, PydanticOmit

from avatargpt.options import MAX_SECONDS, MIN_SECONDS
from avatargpt.verbs.sources import load_source
from vqvae.errors import UserError
from vqvae.strict import refuse_boolean, requirement_of

P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")
_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
MAX_SEED = 2**32 - 1


@plain_dataclass(frozen=True)
class Flag:
    """How the command line spells a field.

    Attributes:
        declaration: names and placeholder, ``-n --num K``; empty = not as an option. kind: the type there, None = the
            field's own.
    """

    declaration: str = ""
    kind: Any = None


@plain_dataclass(frozen=True)
class Refers:
    """A field that names something: in Python the thing or its file, on the command line its file, elsewhere its id.

    Attributes:
        kind: ``motion``, ``pose`` (of a motion at a second), ``sound`` or ``film``; ``x-refers`` of its JSON schema.
    """

    kind: str

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "x-refers": self.kind}


class PythonOnly:
    """Marks a field that has no form outside Python."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        raise PydanticOmit


def _plain_number(value: Any) -> Any:
    """NumPy's numbers as Python's; booleans and texts are refused."""
    if isinstance(value, str):
        raise PydanticCustomError("number", "Input should be a number")
    return refuse_boolean(value.item() if hasattr(value, "dtype") and value.ndim == 0 else value)


NUMBER = BeforeValidator(_plain_number)  # behind the bounds, which a schema shows then
Count = Annotated[int, Field(ge=1), NUMBER]
Number = Annotated[float, Field(allow_inf_nan=False), NUMBER]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), NUMBER, Flag("--seed N")]
Seconds = Annotated[float, Field(ge=MIN_SECONDS, le=MAX_SECONDS, allow_inf_nan=False), NUMBER]
Source = Annotated[Any, Refers("motion"), Flag()]
InPython = Annotated[Any, PythonOnly()]
SEED = Field(default=0, description="Same seed, same result.")


@dataclass_transform(kw_only_default=False, field_specifiers=(Field,))
def request(kind: type[Q]) -> type[Q]:
    """A class as a request: its fields are checked, unknown ones refused."""
    made: Any = dataclass(frozen=True, config=_CONFIG)(kind)
    checked: type[Q] = made
    return checked


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
        raise UserError(explain_mistake(e, kind)) from None  # type: ignore[arg-type]


def explain_mistake(error: ValidationError, kind: type[Any] | None = None) -> str:
    """The first mistake in one line: where, the value, what is accepted; `kind`: the request."""
    first = next((e for e in error.errors() if "unexpected" in e["type"] or "extra" in e["type"]), error.errors()[0])
    names = list(fields_of(kind)) if kind is not None else []
    # A field that was given by its position is reported by it.
    start = [names[p] if isinstance(p, int) and names else p for p in first["loc"][:1]]
    place = ".".join(map(str, [*start, *(p for p in first["loc"][1:] if isinstance(p, int) or p.isidentifier())]))
    place = place or "request"
    if "unexpected" in first["type"] or "extra" in first["type"]:
        return f"{place}: not a field of this request"
    if first["type"] == "multiple_argument_values":
        return f"{place}: given twice, by its place and by its name"
    if first["type"].startswith("missing"):
        return f"{place}: needed"
    if first["type"] == "value_error":
        return f"{place}: {first['ctx']['error']}"
    if first["type"] == "string_too_long":
        return f"{place}: {len(first['input'])} characters; accepted at most {first['ctx']['max_length']}"
    name, value = str(start[0]) if start else "", repr(first["input"])[:40]
    field = fields_of(kind).get(name) if kind is not None else None
    low, high = bounds_of(field) if field is not None else (None, None)
    if first["type"] in _BEYOND and low is not None:
        return f"{name}: {value}; accepted " + (f"{low:.12g} or more" if high is None else f"{low:.12g} to {high:.12g}")
    return f"{place}: {value}; accepted: {requirement_of(first)}"


_BEYOND = ("greater_than_equal", "less_than_equal", "finite_number")


def bounds_of(field: FieldInfo) -> tuple[float | None, float | None]:
    """The least and the most that a field may be, None = no bound."""
    marks = marks_of(field)
    low: Any = next((m.ge for m in marks if isinstance(m, annotated_types.Ge)), None)
    high: Any = next((m.le for m in marks if isinstance(m, annotated_types.Le)), None)
    return low, high


def resolve_sources(asked: Q, find: Callable[[str, str, str], Any]) -> Q:
    """The request with what its fields name.

    Args:
        find: (kind of the field's `Refers`, value, name of the field) -> the thing.
    """
    found = {
        name: find(marker.kind, value, name)
        for name, field in fields_of(type(asked)).items()
        if (marker := marker_of(field, Refers)) and isinstance(value := getattr(asked, name), str) and value
    }
    return replace(asked, **found) if found else asked  # type: ignore[type-var]


def values_of(asked: Any) -> dict[str, Any]:
    """The fields of a request that are not as they are by default, by name."""
    rows = [(name, getattr(asked, name), field.default) for name, field in fields_of(type(asked)).items()]
    return {name: v for name, v, usual in rows if v is not usual and (type(v) is not type(usual) or v != usual)}


def method_of(kind: Callable[P, Q], run: Callable[[Any, Q], R]) -> Callable[Concatenate[Any, P], R]:
    """A method of `AvatarGPT` that takes the fields of a request, with its signature and documentation."""

    @wraps(run)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return run(self, resolve_sources(make_request(kind, *args, **kwargs), load_source))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(kind)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *signature.parameters.values()], return_annotation=inspect.signature(run).return_annotation
    )
    rows = [f"    {name}: {field.description}" for name, field in fields_of(kind).items()]  # type: ignore[arg-type]
    call.__doc__ = "\n".join([inspect.getdoc(run) or "", "", "Args:", *rows])
    return call
