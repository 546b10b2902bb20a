"""Examples of tasks added by a user, and of clips without captions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.clip_tables import Pools
from avatargpt.train.data.corpus import Folders, text_corpus
from avatargpt.train.data.examples import ExampleOptions, Examples
from avatargpt.train.data.prompts import Wording
from instruct_data import registry
from instruct_data.clip import Clip
from instruct_data.store import ClipCodes, Store
from tests.factories import drawn_rows, tiny_config
from tests.train.conftest import COMPOSED, Mini
from vqvae.errors import UserError

# every prompt has its words, and the sentence encoder's view of them
ALL_WORDS: dict[str, float] = dict.fromkeys(("only_ground", "only_words", "only_attributes", "unconditional"), 0.0)
SECONDS = {"name": "how_long", "kind": "seconds"}
WORDS = {"name": "words", "kind": "text"}


def motion(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "motion", "modality": "body", "label": name}


def optional(slot: dict[str, Any]) -> dict[str, Any]:
    return {**slot, "required": False}


TASKS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "act_it": ("text_to_motion", [optional(SECONDS), WORDS]),
    "act_so_long": ("text_to_motion", [SECONDS, WORDS]),
    "name_it": ("motion_to_text", [motion("seen")]),
    "bridge": ("in_between", [optional(WORDS), motion("from_here"), motion("to_there"), optional(SECONDS)]),
    "bridge_described": ("in_between", [motion("to_there"), motion("from_here"), WORDS]),
    "go_on": ("continuation", [optional(WORDS), optional(SECONDS), motion("had")]),
    "act_steps": ("text_to_motion", [WORDS]),
    "go_on_steps": ("continuation", [motion("had"), WORDS]),
}


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks above as files of a folder."""
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_folders", [])
    for name, (examples, inputs) in TASKS.items():
        times = [s.get("required", True) for s in inputs if s["kind"] == "seconds"]
        plain = [] if any(times) else [f"Do {name} in way {i}." for i in range(20)]
        task = {
            "name": name, "version": 1, "description": "a test", "inputs": inputs, "examples": examples,
            "output": "text" if examples == "motion_to_text" else "body",
            "words": "steps" if name.endswith("steps") else "caption",
            "templates": plain + [f"Do {name} in way {i} for {{how_long}}." for i in range(20) if times],
            "decoding": {},
        }  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(task))
    assert set(registry.add_folder(tmp_path)) == set(TASKS)


def items() -> list[ClipCodes]:
    """Eight clips whose codes count up, the last without words, and one joined of two of them."""
    codes = np.stack([np.arange(40), np.arange(40)], 1)
    captions = [["a person waves"] if i < 7 else [] for i in range(8)]
    single = [ClipCodes(f"c{i}", codes, words, "train", "ours", "ours", "wave") for i, words in enumerate(captions)]
    joined = {"parts": ["c0", "c1"]}
    return [*single, ClipCodes("j", codes, ["waves twice"], "train", "composed", "ours", "wave+wave", extra=joined)]


@pytest.fixture
def examples(added: None) -> Examples:
    lines = ["a person waves; do it in way how_long seconds [Instruction] from here to there"] * 20
    text = TextTokenizer.train(lines, 300)
    options = ExampleOptions(weights=dict.fromkeys(TASKS, 1.0), **ALL_WORDS)
    return Examples(items(), {}, text, tiny_config(text, 64), options)


def test_every_kind_is_built(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    slots_of: dict[str, list[frozenset[str]]] = {name: [] for name in TASKS}
    skeleton = Wording.skeleton
    monkeypatch.setattr(Wording, "skeleton", lambda wording, task, template, slots, *more: (
        slots_of[task].append(slots) or skeleton(wording, task, template, slots, *more)
    ))  # fmt: skip
    assert [s.task for s in examples.streams()] == list(TASKS)
    rows = {name: drawn_rows(examples, name, 40) for name in TASKS}
    for name, (_, inputs) in TASKS.items():
        assert frozenset().union(*slots_of[name]) == {s["name"] for s in inputs}
        needed = {s["name"] for s in inputs if s.get("required", True)}
        assert len(slots_of[name]) == 40 and all(needed <= slots for slots in slots_of[name])
        for slots, row in zip(slots_of[name], rows[name], strict=True):
            assert row.task == name and f"do {name} in way" in row.prompt
            assert ("words" in slots) == (row.ground != "") == (row.ground in row.prompt and row.ground != "")
            assert ("how_long" in slots) == ("seconds" in row.prompt)
    assert {row.ground for name in ("act_steps", "go_on_steps") for row in rows[name]} == {
        "a person waves; a person waves"
    }  # fmt: skip
    for name, first, last in (("bridge", "from_here", "to_there"), ("bridge_described", "to_there", "from_here")):
        for row in rows[name]:  # the first motion slot is where it begins
            before, after = row.motions
            assert before[-1] == row.codes[0] - 1 and after[0] == row.codes[-1] + 1
            assert row.prompt.index(f"{first}:") < row.prompt.index("#") < row.prompt.index(f"{last}:")
    for row in rows["go_on"]:
        assert row.motions[0][-1] == row.codes[0] - 1 and row.codes[-1] == 39
    assert all(row.answer == "a person waves" and len(row.motions[0]) == 40 for row in rows["name_it"])
    assert all(row.length == len(row.codes) == 40 for row in rows["act_so_long"])


def test_pairs_hold_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_folders", [])
    inputs = [motion("clip"), optional(motion("other")), {"name": "word", "kind": "text"}]
    task = {
        "name": "which", "version": 1, "description": "a test", "inputs": inputs, "output": "text", "decoding": {},
        "templates": [f"Answer in way {i}." for i in range(20)],
    }  # fmt: skip
    (tmp_path / "which.yaml").write_text(yaml.safe_dump(task))
    registry.add_folder(tmp_path)
    text = TextTokenizer.train(["Answer in way one two three; [Instruction] clip word other"] * 20, 300)
    pairs = {"which": [({"clip": "c0", "word": "one"}, "two"), ({"clip": "c1", "other": "j", "word": "two"}, "three")]}
    options = ExampleOptions(weights={"which": 1.0}, **ALL_WORDS)
    rows = drawn_rows(Examples(items(), pairs, text, tiny_config(text, 64), options), "which", 20)
    assert {(row.answer, len(row.motions)) for row in rows} == {("two", 1), ("three", 2)}
    assert all(np.array_equal(m, np.arange(40)) for row in rows for m in row.motions)
    with pytest.raises(UserError, match="pair 1: 'c99'; accepted: the id of a training clip of a body"):
        wrong = {"which": [({"clip": "c99", "word": "one"}, "two")]}
        drawn_rows(Examples(items(), wrong, text, tiny_config(text, 64), options), "which", 1)


def test_words_that_are_needed_are_there(examples: Examples) -> None:
    pools = {name: [i.id for i in examples.pools(name)] for name in ("bridge", "bridge_described", "act_steps")}
    singles = [f"c{i}" for i in range(8)]
    assert pools == {"bridge": singles, "bridge_described": singles[:7], "act_steps": ["j"]}


@pytest.mark.usefixtures("added")
def test_clips_too_short_to_be_cut_are_left_out() -> None:
    codes = np.stack([np.arange(4), np.arange(4)], 1)
    clips = [
        ClipCodes(f"{kind}{n}", codes[:n], ["a person nods"], "train", "ours", "ours", "nod", modality=kind)
        for kind in ("body", "face") for n in (1, 2, 3, 4)
    ]  # fmt: skip
    pools = Pools(clips, set())
    long_enough = {"continuation": {"body2", "body3", "body4"}, "bridge": {"body3", "body4"},
                   "face_in_between": {"face3", "face4"}}  # fmt: skip
    assert {name: {i.id for i in pools(name)} for name in long_enough} == long_enough
    assert len(pools("name_it")) == 4


NAMELESS, NAMED = ("clip00", "clip04"), ("clip01", "clip02")  # walks without an action, a bow and a wave


@pytest.fixture(scope="module")
def clips(mini: Mini, tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Training clips of the prepared corpus, four of whose clips have no captions."""
    corpus, store = (tmp_path_factory.mktemp("wordless") / name for name in ("corpus", "store"))
    wordless = {name: {"captions": []} for name in NAMED} | {name: {"captions": [], "action": ""} for name in NAMELESS}
    Store.write([replace(c, **wordless.get(c.id, {})) for c in Store.open(mini.corpus).clips()], corpus)
    mini.run("prepare", "--corpus", corpus, "--texts", mini.texts, *COMPOSED, "-o", store)
    return list(Store.open(store).clips("train"))


def test_clips_without_captions_have_prompts_of_their_action(clips: list[Clip]) -> None:
    known = {c.id: c for c in clips}
    for name in NAMELESS:
        assert known[name].captions == [] and known[name].extra["prompts"] == []
    assert known["clip02_m"].extra["prompts"] == []  # the small bank has no words for the other hand
    for name, word in (("clip01", "bow"), ("clip01_m", "bow"), ("clip02", "right")):
        prompts = known[name].extra["prompts"]
        assert known[name].captions == [] and len(prompts) >= 2 and any(word in p.lower() for p in prompts), prompts
    assert not {*NAMELESS, *NAMED} & {p for c in clips for p in c.extra.get("parts", [])}


def test_streams_leave_out_what_has_no_words(mini: Mini, clips: list[Clip]) -> None:
    items = [
        ClipCodes(c.id, np.arange(24).reshape(12, 2), c.captions, c.split, c.source, c.licence, c.action, extra=c.extra)
        for c in clips
    ]
    lines, pairs = text_corpus(Folders(mini.texts), items)
    assert all(target for _, target in pairs["rewrite"])
    text = TextTokenizer.train(lines, 300)
    weights = dict.fromkeys(("text_to_motion", "motion_to_text", "in_between", "continuation"), 1.0)
    examples = Examples(items, pairs, text, tiny_config(text, 32), ExampleOptions(weights=weights))
    wordless = {name: {i.id for i in examples.pools(name)} & {*NAMELESS, *NAMED} for name in weights}
    assert wordless == {"text_to_motion": {*NAMED}, "motion_to_text": set(),
                     "in_between": {*NAMELESS, *NAMED}, "continuation": {*NAMELESS, *NAMED}}  # fmt: skip
    for stream in examples.streams():
        rows = drawn_rows(examples, stream.task, len(stream.classes))
        assert all(row.codes or row.answer for row in rows)
