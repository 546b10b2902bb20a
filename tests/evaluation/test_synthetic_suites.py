"""The suites about synthetic clips, on made-up clips and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import corpus, describe, plans, suites
from avatargpt.evaluation import judges as families_suite
from avatargpt.metrics import checks
from instruct_data.clip import Clip
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def moving(seed: int, noise: float = 0.0, frames: int = 70, knee: float = 0.3) -> Motion:
    """Arms and knees that swing gently; `noise` (radians) shakes every joint."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((frames, 22, 3))
    phase = 2 * np.pi * (np.arange(frames) / 25 + rng.random())
    vectors[:, SMPL22.index("l_shoulder"), 2] = -1.3 + 0.2 * np.sin(phase)
    vectors[:, SMPL22.index("r_shoulder"), 2] = 1.3 + 0.2 * np.sin(phase)
    for name in ("l_knee", "r_knee"):
        vectors[:, SMPL22.index(name), 0] = knee + 0.2 * np.sin(phase)
    vectors += noise * rng.standard_normal(vectors.shape)
    return Motion(rot.from_axis_angle(vectors), np.tile([0.0, 0.95, 0.0], (frames, 1)))


def clips(count: int, noise: float = 0.0, action: str = "walk", source: str = "made", **more: Any) -> list[Clip]:
    return [Clip(f"{action}{i}", moving(i, noise), ["a person moves."], source, "", "train", action, **more)
            for i in range(count)]  # fmt: skip


def table(tmp_path: Path, classes: str) -> suites.Suite:
    path = tmp_path / "tiny.yaml"
    path.write_text("name: tiny\nversion: 1\nkind: families\ndescription: d\nmetrics: {own: {higher_is_better: true}}\n"
                    f"classes:\n{classes}")  # fmt: skip
    return suites.read(path)


def test_the_table_names_every_family_there_is() -> None:
    known = checks.read_families(evaluation.load("families").classes, "families")
    assert set(corpus.action_names()) <= set(known), set(corpus.action_names()) - set(known)


def test_every_family_is_asked_for_by_a_prompt() -> None:
    known = checks.read_families(evaluation.load("families").classes, "families")
    everyday, before = evaluation.load("prompts_everyday"), evaluation.load("prompts_known")
    asked = {name for e in everyday.entries for name, f in known.items() if f.words.search(e.prompt.lower())}
    assert set(known) <= asked, set(known) - asked
    assert len(everyday.entries) + len(before.entries) >= 150
    assert sum(e.kind == "two" for e in everyday.entries) >= 15
    assert not {e.prompt for e in everyday.entries} & {e.prompt for e in before.entries}
    own = checks.templates()
    copied = [e.prompt for e in everyday.entries for name in own if own[name].fullmatch(e.prompt.lower())]
    assert not copied, copied


def test_own_captions_name_their_family_and_hardly_others() -> None:
    known = checks.read_families(evaluation.load("families").classes, "families")
    actions = [n for n in ("clap", "sit_down", "drink", "kick") if n in corpus.action_names()]
    drawn = list(corpus.keyframed_clips(1, only=actions))
    right = [c.action in checks.families_named(known, text) for c in drawn for text in c.captions]
    assert np.mean(right) >= 0.95
    others = [len(checks.families_named(known, text) - {c.action}) for c in drawn for text in c.captions]
    assert np.mean(others) < 4


def test_parameters_of_a_clip_fill_its_checks(tmp_path: Path) -> None:
    suite = table(tmp_path, "- name: wave\n  words: 'wav'\n  checks:\n  - {raises_hand: {side: $side}}\n"
                            "  - {when: {reps: [2, 3]}, check: {jumps: {times: $reps}}}\n"
                            "- {name: still, words: 'still', checks: [in_place]}\n")  # fmt: skip
    entry = checks.read_families(suite.classes, suite.name)["wave"]
    clip = clips(1, action="wave", extra={"side": "left", "params": {"reps": 2}})[0]
    known = checks.facts(clip)
    assert known["other"] == "right"
    assert checks.filled(entry.checks[0][1], known) == {"raises_hand": {"side": "left"}}
    assert checks.filled(entry.checks[1][1], known) == {"jumps": {"times": 2}}
    assert checks.filled(entry.checks[1][1], None) == {"jumps": {}}
    assert checks.applies({"reps": [2, 3]}, known) and not checks.applies({"reps": 4}, known)
    with pytest.raises(UserError, match="no parameter reps"):
        checks.filled(entry.checks[1][1], {"side": "left"})
    made = [clip, *clips(3, action="still"), *clips(1, action="unknown")]
    result = families_suite.score_families(suite, made)
    assert result["results"]["own/wave"]["mean"] == 0 and result["results"]["own/still"]["mean"] == 1
    assert result["results"]["others/still"]["mean"] == 1  # a clip of the other family stays in place, too
    assert result["families_without_checks"] == {"unknown": 1}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("- {name: a, words: x}\n", "accepted name, words, checks, also"),
        ("- {name: a, words: '(', checks: [walks]}\n", "no pattern"),
        ("- {name: a, words: x, checks: [wlks]}\n", "did you mean 'walks'"),
        ("- {name: a, words: x, checks: [walks], also: [b]}\n", "no families of it"),
        ("- {name: a, words: x, checks: [walks]}\n- {name: a, words: x, checks: [walks]}\n", "twice"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, classes: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        checks.read_families(table(tmp_path, classes).classes, "tiny")


def test_describe_synthetic_wants_the_family_and_the_side() -> None:
    def of(action: str, caption: str) -> Clip:
        return Clip(action, moving(0), [caption], "synthetic", "", "val", action)

    data = [of("salute", "a person salutes with the left hand"), of("clap", "a person claps twice"),
            of("sit_down", "a person sits down"), of("nothing", "a person exists")]  # fmt: skip
    said = ["someone salutes with the right hand", "a person claps", "a person walks"]
    result = describe.score_synthetic(evaluation.load("describe_synthetic"), data, lambda m: said[: len(m)])
    assert result["results"]["family"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert result["results"]["side"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 1}
    assert result["results"]["captions"]["mean"] == 1 and result["clips_of_no_family"] == 1
    assert result["confusion"] == {"sit_down": {"(none)": 1}}
    beside = describe.score_synthetic(evaluation.load("describe_synthetic"), data, lambda m: said[: len(m)], data[1:2])
    assert beside["baselines"] == ["nearest clip", "random caption"]
    assert {k: beside["results"][k] for k in result["results"]} == result["results"]
    assert beside["results"]["family/nearest clip"]["mean"] == pytest.approx(1 / 3, abs=1e-4)  # all clap
    with pytest.raises(UserError, match="1 sentences for 3"):
        describe.score_synthetic(evaluation.load("describe_synthetic"), data, lambda m: ["one"])


class Parrot:
    """Says again what it was asked to show, except for steps about pianos."""

    def __init__(self) -> None:
        self.last: list[str] = []

    def generate(self, texts: list[str], seeds: list[int]) -> list[Motion]:
        assert len(texts) == len(seeds)
        self.last = texts
        return [moving(s, frames=4) for s in seeds]

    def describe(self, motions: list[Motion]) -> list[str]:
        return ["nothing at all" if "piano" in t else t for t in self.last]


def words(sentences: list[str]) -> np.ndarray:
    vocabulary = sorted({w for s in sentences for w in s.split()} | {"nothing", "at", "all"})
    everything = np.zeros((len(sentences), 4096))
    for row, s in zip(everything, sentences, strict=True):
        for w in s.split():
            row[sum(ord(c) * (i + 7) for i, c in enumerate(w)) % 4096] += 1
    assert vocabulary
    return everything / np.linalg.norm(everything, axis=1, keepdims=True)


def test_coverage_counts_what_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "planning"
    folder.mkdir()
    said = ["she lifts a box", "he plays the piano", "they wave goodbye", "she lifts a box"]
    row = {"scene": "x", "activities": [{"task": "t", "steps": said}]}
    for name in plans.PLAN_FILES:
        (folder / name).write_text(json.dumps(row) + "\n")
    every = plans.plan_steps(tmp_path)
    assert every == said[:3] == plans.plan_steps(folder)
    assert plans.sample_steps(every, 2, 0) == plans.sample_steps(every, 3, 0)[:2]
    suite = evaluation.load("plan_coverage")
    suite.options["batch"] = 2
    del suite.options["best_of"]  # a parrot has no candidates
    result = plans.score_coverage(suite, every, Parrot(), words)
    assert result["results"]["covered"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert result["results"]["covered/by chance"]["mean"] == 0
    assert result["sample"][0]["said"] == "nothing at all"
    with pytest.raises(UserError, match="no planning corpus"):
        plans.plan_steps(tmp_path / "else" / "where")
    (folder / "val.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="val.jsonl: line 1"):
        plans.plan_steps(folder)


def test_equal_descriptions_share_the_first_place() -> None:
    class Constant(Parrot):
        def describe(self, motions: Any) -> list[str]:
            return ["she moves"] * len(motions)

    def encode(texts: list[str]) -> np.ndarray:
        rows = [np.random.default_rng(len(set(texts)) > 1 and i).standard_normal(16) for i in range(len(texts))]
        return np.stack([r / np.linalg.norm(r) for r in rows])

    suite = evaluation.load("plan_coverage")
    suite.options.pop("best_of", None)
    result = plans.score_coverage(suite, [f"step {i}" for i in range(40)], Constant(), encode)["results"]
    assert result["retrieved"]["mean"] == pytest.approx(1 / 32)


def test_made_clips_are_repeatable_and_held_out() -> None:
    name = corpus.action_names()[0]
    one, two = list(corpus.keyframed_clips(2, only=[name])), list(corpus.keyframed_clips(2, only=[name]))
    assert [c.action for c in one] == [name] * 2 and one[0].split == "val"
    assert all((a.load().rotations == b.load().rotations).all() for a, b in zip(one, two, strict=True))
    with pytest.raises(UserError, match="no keyframed family called fly"):
        list(corpus.keyframed_clips(1, only=["fly"]))
