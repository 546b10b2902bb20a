"""Interrupted runs: stored answers come back as they were, the same bytes are written, and failures are named."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import cache, corpus, prompts, report
from avatargpt.evaluation.cache import RunCache
from avatargpt.evaluation.plans import describe_generated
from avatargpt.evaluation.prompts import Answer
from avatargpt.evaluation.requests import JudgedReading
from avatargpt.evaluation.suites import Suite, read
from avatargpt.planning.types import Activity, Plan
from instruct_data.clip import Clip
from instruct_data.dialogue.acts import Act
from instruct_data.face.score import Emotion, Event, Score
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion, concatenate

WORDS = "walk run jump kick turn wave bow sit lie crawl".split()


def sway(seed: int, frames: int = 60, modality: str = "body", speed: float = 0.04) -> Motion:
    q = rot.from_axis_angle(np.random.default_rng(seed).normal(0, 0.02, (frames, 22, 3)))
    z = np.arange(frames) * speed
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
    answers = [
        sway(1), twice, sway(2, 9, "gesture"), face, Answer(None, None, "cannot"), Answer(twice, (0.1, 1 / 3)),
        (JudgedReading(("a",), ("b",), False), [Act("then", seconds=2.5, text="bow")], None, True, 7, 0.1 + 0.2),
        "\ud800 é\0",
        Plan("a scene", (Activity("t", ("s",)),), "p"), {"": [np.arange(6.0).reshape(2, 3).T], 3: np.float32(0.1)},
        Score(3.0, (Event("wink_left", 0.4, 1.6, 0.7),), (Emotion("happy", 0.5, 0.0, 3.0),), "hm"), float("nan"),
    ]  # fmt: skip
    assert same(cache.load_answer(cache.save_answer(tmp_path / "a.npz", answers)), answers)
    assert all(cache._answer_class(name) for name in cache.STORABLE)
    digest = cache.answer_digest(answers)
    assert digest == cache.answer_digest(answers)
    assert digest != cache.answer_digest([replace(twice, caption="x"), *answers[1:]])


def test_nothing_else_is_stored_or_read(tmp_path: Path) -> None:
    for strange in (object(), Path("x"), {1, 2}, np.array([None]), Clip("c", sway(0), [], "", "", "val", "")):
        with pytest.raises(cache.NotStorableError):
            cache.save_answer(tmp_path / "a.npz", [strange])
    empty = '{"is": "vqvae.motion:Motion", "fields": {}}'
    for tree in ('{"is": "os:system", "fields": {}}', empty, '{"array": "7"}', "["):
        np.savez(tmp_path / "b.npz", tree=np.array(tree))
        with pytest.raises(UserError, match="b.npz"):
            cache.load_answer(tmp_path / "b.npz")
    calls: list[int] = []

    class Guesser:
        size = 3

        def guess(self, number: int) -> Any:
            calls.append(number)
            return {number} if number else "nothing"

    for _ in range(2):
        model = RunCache(tmp_path / "r.parts").wrap_model(Guesser(), "guess")
        assert [model.guess(n) for n in (0, 1, 0)] == ["nothing", {1}, "nothing"] and model.size == 3
    assert calls == [0, 1, 0, 1]  # an equal call has its own answer; what cannot be stored is computed anew


class Model:
    """Answers by text and seed; counts its calls, and fails or is killed where a test wants it."""

    name = "sway"

    def __init__(self, fails: Sequence[str] = (), stop_after: int = 10**9) -> None:
        self.fails, self.stop_after, self.calls = fails, stop_after, 0

    def _count(self) -> None:
        if self.calls >= self.stop_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1

    def __call__(self, texts: list[str], seeds: list[int]) -> list[Motion]:
        self._count()
        if bad := [t for t in texts if t in self.fails]:
            raise UserError(f"cannot {bad[0]}")
        numbers = [len(t) + s for t, s in zip(texts, seeds, strict=True)]
        return [sway(n, speed=0.05 * (n % 2)) for n in numbers]  # some walk

    generate = __call__

    def in_between(self, start: Motion, end: Motion, seconds: float, seed: int, keep_place: bool) -> Motion:
        self._count()
        middle = sway(seed + len(start), round(seconds * 20))
        return replace(concatenate([start, middle, end]), notes=("guessed",) if seed else ())

    def describe(self, motions: list[Motion]) -> list[str]:
        return [f"{float(m.rotations[3, 4, 1]):.6f}" for m in motions]


Run = Callable[..., bytes]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Ten prompts with three seeds: eight calls of a model."""
    monkeypatch.setattr(prompts.evaluate, "__defaults__", (4,))  # chunks of four
    path = tmp_path / "few.yaml"
    path.write_text("name: few\nversion: 1\nkind: prompts\ndescription: a few\nseeds: [0, 1, 2]\n"
                    "metrics: {pass_rate: {higher_is_better: true, unit: share}}\nprompts:\n"
                    + "".join(f"- {{prompt: {w}, kind: single, checks: [walks]}}\n" for w in WORDS))  # fmt: skip
    return read(path)


@pytest.fixture(params=["prompts", "inbetween"])
def run(request: pytest.FixtureRequest, suite: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a suite of one of two kinds that asks a model eight times."""
    if request.param == "inbetween":
        held_out = [Clip(f"c{i}", sway(i, 64 + 8 * i), ["a sway"], "made", "", "val", "sway") for i in range(4)]
        monkeypatch.setattr(corpus, "load_clips", lambda data, split: held_out)
        suite = replace(evaluation.load("inbetween"), seeds=(0, 1))
    data = tmp_path / "data"
    data.mkdir()

    def run(model: Model, out: Path) -> bytes:
        out.parent.mkdir(exist_ok=True)
        evaluation.run_suite(suite, model, data, out)
        return out.read_bytes()

    return run


def killed(run: Run, out: Path, after: int) -> None:
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child is killed
        try:
            run(Model(stop_after=after), out)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not out.exists() and len(list(out.with_suffix(".parts").glob("part-*.npz"))) == after


def test_a_killed_run_continues_with_the_same_bytes(run: Run, tmp_path: Path) -> None:
    whole = run(Model(), tmp_path / "whole" / "r.json")
    results = json.loads(whole)["results"]
    assert 0 < results["pass_rate"]["mean"] < 1 if "pass_rate" in results else results["noted"]["mean"] > 0
    assert not (tmp_path / "whole" / "r.parts").exists()
    cut, again = tmp_path / "cut" / "r.json", Model()
    killed(run, cut, 3)
    assert run(again, cut) == whole
    assert again.calls == 8 - 3 and not cut.with_suffix(".parts").exists()


def test_parts_of_another_run_are_refused(run: Run, tmp_path: Path) -> None:
    out, other = tmp_path / "r.json", Model()
    killed(run, out, 4)
    other.name = "another"
    with pytest.raises(UserError, match="parts of another suite, model or version"):
        run(other, out)
    (tmp_path / "data" / "more.npz").write_bytes(b"1")
    with pytest.raises(UserError, match="or of other data"):
        run(Model(), out)
    (tmp_path / "data" / "more.npz").unlink()
    damaged = sorted(out.with_suffix(".parts").glob("part-*.npz"))
    for path in damaged:
        path.write_bytes(b"PK cut short")
    with pytest.raises(UserError, match=r"part-.*; remove this file, and its part is made anew"):
        run(Model(), out)
    (out.with_suffix(".parts") / "key.json").write_text("{")
    with pytest.raises(UserError, match="key.json: not JSON .*; remove the folder"):
        run(Model(), out)


def test_calls_that_are_known_beforehand_are_stored(tmp_path: Path) -> None:
    texts = [f"step {'x' * i}" for i in range(7)]
    whole = describe_generated(Model(), texts, 3, 2)
    assert len(set(whole)) > 1
    again = Model(stop_after=0)
    assert describe_generated(Model(), texts, 3, 2, RunCache(tmp_path / "r.parts")) == whole
    assert describe_generated(again, texts, 3, 2, RunCache(tmp_path / "r.parts")) == whole


def test_failures_are_named(suite: Suite, tmp_path: Path) -> None:
    result = evaluation.run_suite(suite, Model(["jump", "sit"]), out=tmp_path / "r.json")
    assert evaluation.run_suite(suite, Model(["jump", "sit"])) == result  # without a file
    assert {f["item"].split()[0] for f in result["failed"]} == {"jump", "sit"} and len(result["failed"]) == 6
    assert result["failed"][0] == {"item": "jump (seed 0)", "reason": "cannot jump"}
    assert {r["prompt"] for r in result["prompts"]} == {*WORDS} - {"jump", "sit"}
    with pytest.raises(UserError, match="nothing could be made: cannot"):
        evaluation.run_suite(suite, Model(WORDS))
    with pytest.raises(UserError, match="the function gave a ndarray; accepted vqvae.motion.Motion.*--outputs"):
        evaluation.run_suite(suite, lambda texts, seeds: [np.zeros((60, 22, 3))] * len(texts))


def test_provenance_lies_beside_a_result(suite: Suite, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("one")
    evaluation.run_suite(suite, Model(), data, tmp_path / "r.json")
    about = json.loads((tmp_path / "runs" / "r.json").read_text())
    assert about["weights"] == {"name": "sway"} and about["data"]["files"] == 1 and about["versions"]["numpy"]
    assert about["data"] == report.manifest(data) and about["judges"] == report.judges_digest()
    (data / "a.txt").write_text("two")
    assert about["data"]["digest"] != report.manifest(data)["digest"]  # type: ignore[index]


def test_an_answer_does_not_depend_on_earlier_calls(tmp_path: Path) -> None:
    from avatargpt.lm.text_encoder import SentenceGrounder

    grounder = SentenceGrounder()
    grounder.states(["wave"])
    calls: list[list[str]] = []
    compute = grounder._compute

    def counted(texts: Sequence[str], bf16: bool) -> list[np.ndarray]:
        calls.append(list(texts))
        return compute(texts, bf16)

    grounder._compute = counted  # type: ignore[method-assign]
    for answers in (cache.NO_CACHE, RunCache(tmp_path / "a.parts")):
        answers.map("states", lambda *texts: grounder.states(texts)[0], [("wave", "bow"), ("wave",)])
    assert calls == [["wave", "bow"], ["wave"]] * 2
