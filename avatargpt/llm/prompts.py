"""Prompt files: instructions for a language model with examples, under a version.

A file has ``name``, ``version``, ``system``, ``user`` (with ``$slot`` where a value goes) and ``examples``, two or more
of ``values`` and the ``answer``. Values are data, not instructions: they are written as JSON whose angle brackets
cannot end the ``<data>`` that a file fences them with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

from pydantic import Field

from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.strict import PositiveInt, Strict

FOLDER = Path(__file__).parent / "prompts"
Messages = list[dict[str, str]]


class Example(Strict):
    """A question with its answer."""

    values: dict[str, Any]
    answer: dict[str, Any]


class Prompt(Strict):
    """One file.

    Attributes:
        name, version: which one; a changed file gets a new version. system: the rules, the same for every question.
        user: the question, ``$slot`` for values. examples: sent as earlier turns.
    """

    name: str
    version: PositiveInt
    system: str
    user: str
    examples: list[Example] = Field(min_length=2)

    def messages(self, values: Mapping[str, Any]) -> Messages:
        """The turns to send: the constant part first, so that a model that has read it once need not read it again.

        Raises:
            UserError: a slot without a value.
        """
        out = [{"role": "system", "content": self.system.strip()}]
        for example in self.examples:
            out.append({"role": "user", "content": self._question(example.values)})
            out.append({"role": "assistant", "content": json.dumps(example.answer, ensure_ascii=False)})
        return [*out, {"role": "user", "content": self._question(values)}]

    def _question(self, values: Mapping[str, Any]) -> str:
        try:
            return Template(self.user).substitute({k: written(v) for k, v in values.items()}).strip()
        except KeyError as e:
            raise UserError(f"prompt {self.name}: no value for {e}; given: {', '.join(values)}") from None


def written(value: Any) -> str:
    """A value as JSON; angle brackets cannot end a fence."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


@lru_cache
def prompt(name: str) -> Prompt:
    """The prompt of ``prompts/NAME.yaml``.

    Raises:
        UserError: none of that name, or a damaged file.
    """
    path = FOLDER / f"{name}.yaml"
    return Prompt.read(read_yaml(path), str(path))
