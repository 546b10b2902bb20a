"""Sections of configuration files: pydantic models with bounds on their fields; a mistake is reported in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from vqvae.errors import UserError


def refuse_boolean(value: Any) -> Any:
    """Refuses booleans and ``1_0``, which pydantic takes for numbers. Words stay: YAML 1.1 reads ``1e-3`` as one."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise PydanticCustomError("number", "Input should be a number")
    return value


_NUMBER = BeforeValidator(refuse_boolean)
PositiveInt = Annotated[int, _NUMBER, Field(ge=1)]
NonNegativeInt = Annotated[int, _NUMBER, Field(ge=0)]
Number = Annotated[float, _NUMBER, Field(allow_inf_nan=False)]
Rate = Annotated[float, _NUMBER, Field(ge=0, allow_inf_nan=False)]
# A rate that may be infinite: no limit
Limit = Annotated[float, _NUMBER, Field(ge=0)]
Share = Annotated[float, _NUMBER, Field(ge=0, le=1, allow_inf_nan=False)]
Dropout = Annotated[float, _NUMBER, Field(ge=0, lt=1, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Weights = dict[str, Rate]


class Strict(BaseModel):
    """A section: unknown keys are refused, values are checked, nothing can be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @classmethod
    def read(cls, values: Any, where: str) -> Self:
        """The section from a part of a configuration file, which `where` names; None = all defaults."""
        if values is not None and not isinstance(values, Mapping):
            raise UserError(f"{where}: {values!r}; a mapping with the keys {', '.join(cls.model_fields)} is needed")
        try:
            return cls.model_validate({} if values is None else dict(values))
        except ValidationError as e:
            raise UserError(_first_mistake(cls, e, where)) from None

    def replace_fields(self, **fields: Any) -> Self:
        """The same section with other values, checked like those of a file."""
        return self.read({**self.model_dump(exclude_unset=True), **fields}, type(self).__name__)


def check_keys(values: Any, accepted: Any, where: str) -> dict[str, Any]:
    """`values` if it is a mapping with accepted keys only (None = empty)."""
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {values!r}; a mapping with the keys {', '.join(accepted)} is needed")
    for key in values:
        if key not in accepted:
            raise UserError(f"{where}: {_unknown(str(key), list(accepted))}")
    return dict(values)


def _unknown(key: str, accepted: list[str]) -> str:
    similar = difflib.get_close_matches(key, accepted, 1)
    hint = f"did you mean {similar[0]!r}? " if similar else ""
    return f"unknown key {key!r}; {hint}accepted: {', '.join(accepted)}"


def _first_mistake(model: type[BaseModel], error: ValidationError, where: str) -> str:
    """The first unknown key, else the first mistake, in one line: where, the value, and what is accepted."""
    # A misspelt key also makes a needed one missing; the cause is named.
    first = next((e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0])
    path = [part for part in first["loc"] if not (isinstance(part, str) and "[" in part)]  # without pydantic's types
    names = [f"item {part + 1}" if isinstance(part, int) else str(part) for part in path]
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = model
        for name in names:
            if name in section.model_fields:
                section = _section(section.model_fields[name].annotation) or section
        return f"{': '.join([where, *names[:-1]])}: {_unknown(names[-1], list(section.model_fields))}"
    place = ": ".join([where, *names])
    if first["type"] == "value_error":
        return f"{place}: {first['ctx']['error']}"
    return f"{place}: {first['input']!r}; accepted: {requirement_of(first)}"


def requirement_of(mistake: Any) -> str:
    """What is accepted, from a mistake as pydantic reports it."""
    return re.sub(r", (unable to|got) .*", "", mistake["msg"].removeprefix("Input should be "))


def _section(kind: Any) -> type[Strict] | None:
    """The section in the type of a field, if there is one."""
    if isinstance(kind, type) and issubclass(kind, Strict):
        return kind
    return next((section for part in get_args(kind) if (section := _section(part)) is not None), None)
