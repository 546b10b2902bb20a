"""Tasks of a user's own over clips: slots are found by kind, whatever they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from avatargpt.lm.model import AvatarGPTConfig
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.examples import Example, ExampleOptions, Examples, Pools
from instruct_data import registry
from instruct_data.mixture import Draw
from instruct_data.store import ClipCodes

SECONDS = {"name": "how_long", "kind": "seconds"}
WORDS = {"name": "said", "kind": "text"}


def motion(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "motion", "modality": "body", "label": name, **more}


def optional(slot: dict[str, Any]) -> dict[str, Any]:
    return {**slot, "required": False}


TASKS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "act_it": ("text_to_motion", [optional(SECONDS), WORDS]),
    "act_so_long": ("text_to_motion", [SECONDS, WORDS]),
    "name_it": ("motion_to_text", [motion("seen")]),
    "bridge": ("in_between", [optional(WORDS), motion("from_here"), motion("to_there"), optional(SECONDS)]),
    "bridge_as_told": ("in_between", [motion("to_there"), motion("from_here"), WORDS]),
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
        timed = any(s["kind"] == "seconds" for s in inputs)
        must = any(s["kind"] == "seconds" and s.get("required", True) for s in inputs)
        plain = [] if must else [f"Do {name} in way {i}." for i in range(20)]
        task = {
            "name": name, "version": 1, "description": "a test", "inputs": inputs, "examples": examples,
            "output": "text" if examples == "motion_to_text" else "body",
            "words": "steps" if name.endswith("steps") else "caption",
            "templates": plain + [f"Do {name} in way {i} for {{how_long}}." for i in range(20) if timed],
            "decoding": {}, "metrics": [{"name": "any", "higher_is_better": True}],
        }  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(task))
    assert set(registry.add_folder(tmp_path)) == set(TASKS)


def items() -> list[ClipCodes]:
    """Eight clips whose codes count up, the last without words, and one joined of two of them."""
    codes = np.stack([np.arange(40), np.arange(40)], 1)
    made = [
        ClipCodes(f"c{i}", codes, ["a person waves"] if i < 7 else [], "train", "ours", "ours", "wave")
        for i in range(8)
    ]
    joined = {"parts": ["c0", "c1"]}
    return [*made, ClipCodes("j", codes, ["waves twice"], "train", "composed", "ours", "wave+wave", extra=joined)]


@pytest.fixture
def examples(added: None) -> Examples:
    lines = ["a person waves; do it in way how_long seconds [Instruction] from here to there"] * 20
    text = TextTokenizer.train(lines, 300)
    body = {"codebook_size": 64, "levels": 2, "code_dim": 4}
    config = AvatarGPTConfig(vocab_size=text.size, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
                             modalities={"body": body})  # fmt: skip
    options = ExampleOptions(
        weights=dict.fromkeys(TASKS, 1.0), only_ground=0, only_words=0, unconditional=0
    )
    return Examples(items(), [], {}, text, config, options)


def shown(examples: Examples, made: Example) -> list[int]:
    """The codes of level 0 in a prompt, in order."""
    return [int(c) for c in made.prompt.residual[:, 0] if c >= 0]


def test_every_kind_is_built(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, list[dict[str, Any]]] = {name: [] for name in TASKS}
    whole = registry.Task.render
    monkeypatch.setattr(
        registry.Task, "render", lambda task, slots, **k: given[task.name].append(slots) or whole(task, slots, **k)
    )
    made = {
        s.task: [examples.make(Draw(s.task, i % len(s.classes), i)) for i in range(40)] for s in examples.streams()
    }
    assert set(made) == set(TASKS)
    reached = {name: {slot for slots in rows for slot in slots} for name, rows in given.items()}
    assert reached == {name: {s["name"] for s in inputs} for name, (_, inputs) in TASKS.items()}
    for name, (_, inputs) in TASKS.items():
        needed = {s["name"] for s in inputs if s.get("required", True)}
        assert all(needed <= set(slots) for slots in given[name])
    assert {slots["said"] for name in ("act_steps", "go_on_steps") for slots in given[name]} == {
        "a person waves; a person waves"
    }
    for first, last in (("from_here", "to_there"), ("to_there", "from_here")):
        name = "bridge" if first == "from_here" else "bridge_as_told"
        for slots, one in zip(given[name], made[name], strict=True):  # the first motion slot is where it begins
            assert one.codes is not None
            assert slots[first][-1, 0] == one.codes[0, 0] - 1 and slots[last][0, 0] == one.codes[-1, 0] + 1
            assert shown(examples, one)
    for one in made["act_so_long"]:
        assert one.codes is not None and one.length == len(one.codes)


def test_words_that_are_needed_are_there(examples: Examples) -> None:
    assert [i.id for i in examples.pools("bridge")] == [f"c{i}" for i in range(8)]
    assert [i.id for i in examples.pools("bridge_as_told")] == [f"c{i}" for i in range(7)]
    assert [i.id for i in examples.pools("act_steps")] == ["j"]


@pytest.mark.usefixtures("added")
def test_clips_too_short_to_be_cut_are_left_out() -> None:
    codes = np.stack([np.arange(4), np.arange(4)], 1)
    made = [
        ClipCodes(f"{kind}{n}", codes[:n], ["a person nods"], "train", "ours", "ours", "nod", modality=kind)
        for kind in ("body", "face") for n in (1, 2, 3, 4)
    ]  # fmt: skip
    pools = Pools(made, set())
    long_enough = {"continuation": {"body2", "body3", "body4"}, "bridge": {"body3", "body4"},
                   "face_in_between": {"face3", "face4"}}  # fmt: skip
    assert {name: {i.id for i in pools(name)} for name in long_enough} == long_enough
    assert len(pools("name_it")) == 4
