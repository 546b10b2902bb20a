"""What a language model said -> an object of a pydantic model, strictly; and the JSON schema that it is asked for."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from avatargpt.llm.failures import Malformed

MOST = 100_000  # characters of an answer

T = TypeVar("T", bound=BaseModel)


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model as structured output takes it: every field is asked for, no other is allowed."""
    made = _strict(model.model_json_schema())
    assert isinstance(made, dict)
    return made


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(v) for v in node]
    if not isinstance(node, dict):
        return node
    out = {k: _strict(v) for k, v in node.items() if k not in ("title", "default", "description") or _named(node, k)}
    if out.get("type") == "object" and isinstance(out.get("properties"), dict):
        out |= {"additionalProperties": False, "required": list(out["properties"])}
    return out


def _named(node: dict[str, Any], key: str) -> bool:
    """Whether `node` lists properties, one of which is called like a word of the schema language."""
    return isinstance(node[key], dict)


def read_answer(said: str, model: type[T]) -> T:
    """The object in an answer, also between other words or in a code fence.

    Raises:
        Malformed: none, or not what the model asks for.
    """
    if len(said) > MOST:
        raise Malformed(f"{len(said)} characters; at most {MOST}")
    start, end = said.find("{"), said.rfind("}")
    if start < 0 or end < start:
        raise Malformed("no JSON object in it")
    try:
        value = json.loads(said[start : end + 1])
    except (ValueError, RecursionError) as e:
        raise Malformed(f"not JSON ({e})") from None
    try:
        return model.model_validate(value)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        place = ".".join(str(p) for p in first["loc"])
        raise Malformed(f"{place or 'the object'}: {first['msg'].lower()}") from None
