"""Sections of configuration files: pydantic models with their bounds on the field; a mistake is told in one line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import annotated_types as bounds
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vqvae.errors import UserError


def _number(value: Any) -> Any:
    """Truth values are no numbers; everything else is pydantic's matter (YAML 1.1 reads ``1e-3`` as a word)."""
    if isinstance(value, bool):
        raise ValueError("a truth value")
    return value


_NUMBER = BeforeValidator(_number)
PositiveInt = Annotated[int, _NUMBER, Field(ge=1)]
NonNegativeInt = Annotated[int, _NUMBER, Field(ge=0)]
Number = Annotated[float, _NUMBER, Field(allow_inf_nan=False)]
Rate = Annotated[float, _NUMBER, Field(ge=0, allow_inf_nan=False)]
Limit = Annotated[float, _NUMBER, Field(ge=0)]
"""A rate that may be infinite: no limit."""
Share = Annotated[float, _NUMBER, Field(ge=0, le=1, allow_inf_nan=False)]
Dropout = Annotated[float, _NUMBER, Field(ge=0, lt=1, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Weights = dict[str, Rate]


class Strict(BaseModel):
    """A section: unknown keys are refused, values are checked, nothing can be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @classmethod
    def read(cls, values: Any, where: str) -> Self:
        """The section from a part of a configuration file; None = all defaults.

        Args:
            where: file and section, for the message.

        Raises:
            UserError: an unknown key, or a value of the wrong type or out of bounds.
        """
        if values is not None and not isinstance(values, Mapping):
            raise UserError(f"{where}: {values!r}; a mapping with the keys {', '.join(cls.model_fields)} is needed")
        try:
            return cls.model_validate({} if values is None else dict(values))
        except ValidationError as e:
            raise UserError(_told(cls, e, values, where)) from None

    def changed(self, **fields: Any) -> Self:
        """The same section with other values, checked like those of a file.

        Raises:
            UserError: as `read`.
        """
        return self.read({**self.model_dump(exclude_unset=True), **fields}, type(self).__name__)


def check_keys(values: Any, accepted: Any, where: str) -> dict[str, Any]:
    """`values` if it is a mapping with accepted keys only (None = empty).

    Raises:
        UserError: names the key and the place.
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {values!r}; a mapping with the keys {', '.join(accepted)} is needed")
    for key in values:
        if key not in accepted:
            raise UserError(f"{where}: {_unknown(str(key), list(accepted))}")
    return dict(values)


def _unknown(key: str, accepted: list[str]) -> str:
    near = difflib.get_close_matches(key, accepted, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown key {key!r}; {hint}accepted: {', '.join(accepted)}"


def _told(model: type[BaseModel], error: ValidationError, values: Any, where: str) -> str:
    """The first mistake in one line: where, what, and what is accepted."""
    first = next((e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0])
    section: type[BaseModel] | None = model
    kind: Any = None
    limits: list[Any] = []
    path = [part for part in first["loc"] if not (isinstance(part, str) and "[" in part)]
    named: list[str] = []
    value = first["input"]
    for i, part in enumerate(path):
        if section is not None and isinstance(part, str) and part in section.model_fields:
            field = section.model_fields[part]
            kind, limits = field.annotation, field.metadata
            section = _section(kind)
            named.append(part)
        elif section is not None and first["type"] == "extra_forbidden":
            return f"{': '.join([where, *named])}: {_unknown(str(part), list(section.model_fields))}"
        elif isinstance(part, int):  # an item of a list: the whole list is shown
            for key in path[:i]:
                values = values[key]
            value = values
        elif not named or named[-1] != str(part):
            named.append(str(part))
            kind, limits = _item(kind)
            section = _section(kind)
    place = ": ".join([where, *named])
    if first["type"] == "value_error" and not isinstance(first["ctx"]["error"], UserError) and not named:
        return f"{where}: {first['ctx']['error']}"
    if first["type"] == "value_error" and isinstance(first["ctx"]["error"], UserError):
        return f"{place}: {first['ctx']['error']}"
    return f"{place}: {value!r}; accepted: {accepted(kind, limits)}"


def _section(kind: Any) -> type[Strict] | None:
    """The section that a field holds, if it holds one."""
    options = get_args(kind) if get_origin(kind) is not None else (kind,)
    return next((k for k in (*options, kind) if isinstance(k, type) and issubclass(k, Strict)), None)


def _item(kind: Any) -> tuple[Any, list[Any]]:
    """Type and bounds of the items of a list or a mapping, also of one that may be null."""
    if type(None) in get_args(kind):
        kind = next(k for k in get_args(kind) if k is not type(None))
    inner = get_args(kind)[-1] if get_args(kind) else kind
    return (get_args(inner)[0], list(inner.__metadata__)) if hasattr(inner, "__metadata__") else (inner, [])


def accepted(kind: Any, limits: Any = ()) -> str:
    """What a field takes, in words."""
    if hasattr(kind, "__metadata__"):
        kind, limits = get_args(kind)[0], [*limits, *kind.__metadata__]
    origin = get_origin(kind)
    if origin is Literal:
        return ", ".join(str(a) for a in get_args(kind))
    if origin is list:
        inner, inside = _item(kind)
        return "a list of " + (accepted(inner, inside).removeprefix("a ").replace("number", "numbers", 1)
                               if inner in (int, float) else "words")  # fmt: skip
    if origin is dict or _section(kind) is kind:
        return "a mapping"
    if type(None) in get_args(kind):
        return accepted(next(k for k in get_args(kind) if k is not type(None)), limits) + " or null"
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range(limits)
    return "a word" if kind is str else str(getattr(kind, "__name__", kind))


def _range(limits: Any) -> str:
    """Bounds in words: `` of at least 1``, `` from 0 to below 1``."""
    flat = [m for limit in limits for m in getattr(limit, "metadata", [limit])]
    least = next((m.ge for m in reversed(flat) if isinstance(m, bounds.Ge)), None)  # the innermost bound comes first
    most = next((m.le for m in flat if isinstance(m, bounds.Le)), None)
    below = next((m.lt for m in flat if isinstance(m, bounds.Lt)), None)
    above = next((m.gt for m in flat if isinstance(m, bounds.Gt)), None)
    if least is not None and (most is not None or below is not None):
        return f" from {least:g} to {most:g}" if most is not None else f" from {least:g} to below {below:g}"
    if above is not None:
        return f" above {above:g}"
    return "" if least is None else f" of at least {least:g}"
