"""Suites of every kind go on after an interruption: a model's answers come back as they were."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import cache, corpus
from avatargpt.evaluation.cache import AnswerCache
from avatargpt.evaluation.plans import describe_generated
from avatargpt.evaluation.prompts import Answer
from avatargpt.evaluation.requests import Reading
from avatargpt.planning.types import Activity, Plan
from instruct_data.clip import Clip
from instruct_data.dialogue.acts import Act
from instruct_data.face.score import Emotion, Event, Score
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion, concatenate


def sway(seed: int, frames: int = 64, modality: str = "body") -> Motion:
    rng = np.random.default_rng(seed)
    q = rot.from_axis_angle(rng.normal(0, 0.3, (frames, 22, 3)))
    z = np.arange(frames) * 0.04
    return Motion(q, np.stack([0 * z, 0 * z + 0.96, z], -1), 20.0, modality, "swayed", notes=("a note",))


def same(a: Any, b: Any) -> bool:
    """Equal in type, in all fields and to the last bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, k), getattr(b, k)) for k in a.__dataclass_fields__)
    return bool(a is b or a == b or (a != a and b != b))


def test_answers_come_back_to_the_last_bit(tmp_path: Path) -> None:
    twice = sway(0)
    object.__setattr__(twice, "rotations", twice.rotations * np.float32(1.0001))  # length 1 once more would change it
    face = FaceMotion(np.random.default_rng(0).random((5, 52), np.float32), np.zeros((5, 3), np.float32), 30.0, "smile")
    told = [
        sway(1), twice, sway(2, 9, "gesture"), face, Answer(None, None, "cannot"), Answer(twice, (0.1, 1 / 3)),
        (Reading(("a",), ("b",), False), [Act("then", seconds=2.5, text="bow")], None, True, 7, 0.1 + 0.2),
        "\ud800 é\0",
        Plan("a scene", (Activity("t", ("s",)),), "p"), {"": [np.arange(6.0).reshape(2, 3).T], 3: np.float32(0.1)},
        Score(3.0, (Event("wink_left", 0.4, 1.6, 0.7),), (Emotion("happy", 0.5, 0.0, 3.0),), "hm"), float("nan"),
    ]  # fmt: skip
    assert same(cache.load_answer(cache.save_answer(tmp_path / "a.npz", told)), told)
    assert all(cache._answer_class(name) for name in cache.STORABLE)
    one = cache.answer_digest(told)
    assert one == cache.answer_digest(told) != cache.answer_digest([replace(twice, caption="x"), *told[1:]])


def test_nothing_else_is_kept_or_read(tmp_path: Path) -> None:
    for strange in (object(), Path("x"), {1, 2}, np.array([None]), Clip("c", sway(0), [], "", "", "val", "")):
        with pytest.raises(cache.NotStorableError):
            cache.save_answer(tmp_path / "a.npz", [strange])
    empty = '{"is": "vqvae.motion:Motion", "fields": {}}'
    for tree in ('{"is": "os:system", "fields": {}}', empty, '{"array": "7"}', "["):
        np.savez(tmp_path / "b.npz", tree=np.array(tree))
        with pytest.raises(UserError, match="b.npz"):
            cache.load_answer(tmp_path / "b.npz")
    asked: list[int] = []

    class Model:
        size = 3

        def guess(self, number: int) -> Any:
            asked.append(number)
            return {number} if number else "nothing"

    for _ in range(2):
        model = AnswerCache(tmp_path / "r.parts").wrap_model(Model(), "guess")
        assert [model.guess(n) for n in (0, 1, 0)] == ["nothing", {1}, "nothing"] and model.size == 3
    assert asked == [0, 1, 0, 1]  # an equal call has its own answer; what cannot be kept is asked for anew


class Model:
    """Fills gaps with noise by the seed; counts how often it is asked."""

    name = "noise"

    def __init__(self, stop_after: int = 10**9) -> None:
        self.stop_after, self.asked = stop_after, 0

    def in_between(self, start: Motion, end: Motion, seconds: float, seed: int, keep_place: bool) -> Motion:
        if self.asked >= self.stop_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked += 1
        middle = sway(seed + len(start), round(seconds * 20))
        return replace(concatenate([start, middle, end]), notes=("guessed",) if seed else ())

    def generate(self, texts: list[str], seeds: list[int]) -> list[Motion]:
        self.asked += 1
        return [sway(len(text) + seed) for text, seed in zip(texts, seeds, strict=True)]

    def describe(self, motions: list[Motion]) -> list[str]:
        return [f"{float(m.rotations[3, 4, 1]):.6f}" for m in motions]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., bytes]:
    """Runs the suite `inbetween` on four clips and two seeds: eight questions to a model."""
    held_out = [Clip(f"c{i}", sway(i, 64 + 8 * i), ["a sway"], "made", "", "val", "sway") for i in range(4)]
    monkeypatch.setattr(corpus, "load_clips", lambda data, split: held_out)
    suite = replace(evaluation.load("inbetween"), seeds=(0, 1))
    data = tmp_path / "data"
    data.mkdir()

    def run(model: Model, out: Path, shard: str = "1/1") -> bytes:
        out.parent.mkdir(exist_ok=True)
        evaluation.run_suite(suite, model, data, out, shard=cache.read_shard(shard))
        return out.read_bytes()

    return run


def test_killed_run_of_another_kind_goes_on(between: Callable[..., bytes], tmp_path: Path) -> None:
    whole, cut = between(Model(), tmp_path / "whole" / "r.json"), tmp_path / "cut" / "r.json"
    assert b'"noted"' in whole
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child is killed
        try:
            between(Model(stop_after=5), cut)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not cut.exists() and len(list(cut.with_suffix(".parts").glob("part-*.npz"))) == 5
    again = Model()
    assert between(again, cut) == whole
    assert again.asked == 8 - 5 and not cut.with_suffix(".parts").exists()


def test_shards_of_another_kind_and_other_data(between: Callable[..., bytes], tmp_path: Path) -> None:
    whole, out = between(Model(), tmp_path / "one" / "r.json"), tmp_path / "two" / "r.json"
    first, second = Model(), Model()
    with pytest.raises(cache.WaitingForShards, match="4 of 8 parts are made; the result follows from --shard 1/2"):
        between(second, out, "2/2")
    assert between(first, out, "1/2") == whole and (first.asked, second.asked) == (4, 4)
    (tmp_path / "data" / "more.npz").write_bytes(b"1")
    with pytest.raises(UserError, match="or of other data"):
        between(Model(), out, "2/2")
    with pytest.raises(UserError, match="seams is not shared"):
        evaluation.run("seams", Model(), tmp_path, out, shard=(0, 2))
    with pytest.raises(UserError, match="inbetween is not shared"):
        evaluation.run("inbetween", None, tmp_path, out, shard=(0, 2))


def test_texts_through_motion_are_shared(tmp_path: Path) -> None:
    texts = [f"step {'x' * i}" for i in range(7)]
    whole = describe_generated(Model(), texts, 3, 2)
    shared = [AnswerCache(tmp_path / "r.parts", {}, (k, 2)) for k in range(2)]
    first, second = Model(), Model()
    with pytest.raises(cache.WaitingForShards):
        describe_generated(second, texts, 3, 2, shared[1])
    assert describe_generated(first, texts, 3, 2, shared[0]) == whole and len(set(whole)) > 1
    assert (first.asked, second.asked) == (2, 2)
