"""The plans stage of `scripts/train.py`: kinds of scenes and events, written by hand, into the library of plans."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic import Field, field_validator

import instruct_data
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.planning.library import EventTable, KindTable, PlanLibrary, StoryPart, strip_marks, word_for_encoder
from avatargpt.planning.retriever import bag
from avatargpt.requests.english import PRONOUNS
from avatargpt.requests.vector_index import unit
from avatargpt.resources import weights
from avatargpt.train.runtime import Runtime
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows, read_yaml
from vqvae.strict import Strict

PLANS = Path(instruct_data.__file__).parent / "plans"
WORDINGS, DRAWS = 8, 3  # of each kind that a scene is compared with, and persons, places and moments behind each


class KindActivity(Strict):
    """An activity of a kind, with marks like ``{he}``."""

    task: str
    at: list[int] = Field(min_length=1)  # places where it may stand, of `FIRST`, `MIDDLE`, `LAST`
    steps: list[str] = Field(min_length=1)

    @property
    def part(self) -> StoryPart:
        task, *steps = (t.replace("{He}", "{^he}").replace("{His}", "{^his}") for t in (self.task, *self.steps))
        return StoryPart(task, tuple(steps), frozenset(self.at))


class Kind(Strict):
    """A kind of scene: wordings with ``{who}``, ``{place}``, ``{when}``, and activities that fit one another."""

    scenes: list[str] = Field(min_length=1)
    who: list[str] = Field(min_length=1)  # a person, a bar, and he, she or they
    place: list[str] = Field(min_length=1)
    when: list[str] = Field(min_length=1)
    activities: list[KindActivity] = Field(min_length=1)

    @field_validator("who")
    @classmethod
    def _check_who(cls, who: list[str]) -> list[str]:
        for text in who:
            if text.partition("|")[2] not in PRONOUNS:
                raise ValueError(f"{text!r}; accepted: a person, a bar and he, she or they")
        return who

    def say(self, template: int, rng: np.random.Generator) -> str:
        """A wording with a person, a place and a moment that are drawn."""
        who, place, when = (str(some[int(rng.integers(len(some)))]) for some in (self.who, self.place, self.when))
        name, _, gender = who.partition("|")
        he, him, his, himself = PRONOUNS[gender]
        words = {"who": name, "place": place, "when": when, "he": he, "him": him, "his": his, "himself": himself}
        capital = {k.capitalize(): v[:1].upper() + v[1:] for k, v in words.items()}
        return " ".join(self.scenes[template].format(**words, **capital).split())


def read_kinds(folder: Path) -> dict[str, Kind]:
    """The kinds of a folder's .yaml files by name; raises UserError for what is none, or for a name twice."""
    out: dict[str, Kind] = {}
    for path in sorted(folder.glob("*.yaml")):
        for name, values in read_yaml(path).items():
            if name in out:
                raise UserError(f"{path.name}: {name}: the name is there already; accepted: another")
            out[str(name)] = Kind.read(values, f"{path.name}: {name}")
    if not out:
        raise UserError(f"{folder}: no kinds of scenes in it; accepted: a folder with .yaml files")
    return out


def build_kinds(kinds: dict[str, Kind], encode: Any) -> KindTable:
    """The kinds as the library holds them. `encode`: texts -> (n, 384) unit vectors."""
    said = []
    for name, kind in kinds.items():
        # by name: the wordings of a kind stay as they are when others are added
        rng = np.random.default_rng([0, 73, zlib.crc32(name.encode())])
        said += [kind.say(k % len(kind.scenes), rng) for k in range(WORDINGS) for _ in range(DRAWS)]
    # a sentence vector is mostly about who acts: the mean of several is about what happens
    keys = unit(encode(said).reshape(len(kinds) * WORDINGS, DRAWS, -1).mean(1))
    parts = [tuple(a.part for a in kind.activities) for kind in kinds.values()]
    words = [" ".join(sorted(bag(map(strip_marks, (*k.scenes, *k.place, *k.when))))) for k in kinds.values()]
    persons = sorted({(w.partition("|")[0], w.partition("|")[2]) for k in kinds.values() for w in k.who})
    vectors = encode([word_for_encoder(p.task) for row in parts for p in row])
    return KindTable(list(kinds), parts, persons, keys, np.repeat(np.arange(len(kinds)), WORDINGS), vectors, words)


def build_events(rows: Sequence[dict[str, Any]], encode: Any) -> EventTable:
    """Events with their steps as the library holds them."""
    parts = [StoryPart(str(r["task"]), tuple(map(str, r["steps"])), frozenset()) for r in rows]
    return EventTable(parts, encode([word_for_encoder(p.task) for p in parts]))


def plans_stage(args: SimpleNamespace) -> None:
    """A library with the kinds and events of now; its written scenes and what was learnt of them stay."""
    Runtime.start(args.threads, "cpu")
    library, folder = PlanLibrary.load(args.library or str(weights())), Path(args.plans or PLANS)
    encode = SentenceGrounder(cache_size=0).sentence
    library.kinds = build_kinds(read_kinds(folder / "kinds"), encode)
    library.events = build_events([row for _, row in json_rows(folder / "events.jsonl.xz")], encode)
    path = library.save(args.output)
    counts = f"{len(library.scenes)} scenes, {len(library.kinds.names)} kinds, {len(library.events.parts)} events"
    print(f"{path}: {counts}, {path.stat().st_size / 1e6:.2f} MB")
