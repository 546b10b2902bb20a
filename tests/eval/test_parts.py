"""Suites that are interrupted, shared and compared: the same bytes, and every failure named."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import cache, compare, prompts, report
from avatargpt.evaluation.suites import Suite, read
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

HEAD = """name: few
version: 1
kind: prompts
description: a few
seeds: [0, 1, 2]
metrics: {pass_rate: {higher_is_better: true, unit: share}}
prompts:
"""
WORDS = "walk run jump kick turn wave bow sit lie crawl".split()


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    path = tmp_path / "few.yaml"
    path.write_text(HEAD + "".join(f"- {{prompt: {w}, kind: single, checks: [walks]}}\n" for w in WORDS))
    return read(path)


def glide(text: str, seed: int) -> Motion:
    """A slightly swaying glide whose speed follows from the words; some are walks, some are not."""
    rng = np.random.default_rng(len(text) + seed)
    q = rot.from_axis_angle(rng.normal(0, 0.02, (60, 22, 3)))
    z = np.arange(60) * (0.05 if (len(text) + seed) % 2 else 0.0)
    return Motion(q, np.stack([0 * z, 0 * z + 0.96, z], -1))


class Model:
    """Counts how often it is asked, and fails where it is told to."""

    name = "glide"

    def __init__(self, fails: Sequence[str] = (), stop_after: int = 10**9) -> None:
        self.fails, self.stop_after, self.asked = fails, stop_after, 0

    def __call__(self, texts: list[str], seeds: list[int]) -> list[Motion]:
        if self.asked >= self.stop_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked += 1
        if bad := [t for t in texts if t in self.fails]:
            raise UserError(f"cannot {bad[0]}")
        return [glide(t, s) for t, s in zip(texts, seeds, strict=True)]


def score(suite: Suite, model: Model, out: Path, monkeypatch: pytest.MonkeyPatch, shard: str = "1/1") -> bytes:
    monkeypatch.setattr(prompts.score, "__defaults__", (4, cache.NO_CACHE))  # chunks of four
    out.parent.mkdir(exist_ok=True)
    evaluation.run_suite(suite, model, out=out, shard=cache.read_shard(shard))
    return out.read_bytes()


def test_killed_run_goes_on_with_the_same_bytes(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score(suite, Model(), tmp_path / "whole" / "r.json", monkeypatch)
    assert 0 < json.loads(whole)["results"]["pass_rate"]["mean"] < 1
    cut = tmp_path / "cut" / "r.json"
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child is killed
        try:
            score(suite, Model(stop_after=3), cut, monkeypatch)
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not cut.exists() and len(list(cut.with_suffix(".parts").glob("part-*.npz"))) == 3
    again = Model()
    assert score(suite, again, cut, monkeypatch) == whole
    assert again.asked == 8 - 3 and not cut.with_suffix(".parts").exists()


def test_two_shards_give_what_one_gives(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score(suite, Model(), tmp_path / "one" / "r.json", monkeypatch)
    out, first, second = tmp_path / "two" / "r.json", Model(), Model()
    with pytest.raises(cache.WaitingForShards, match="4 of 8 parts are made; the result follows from --shard 1/2"):
        score(suite, second, out, monkeypatch, "2/2")
    assert score(suite, first, out, monkeypatch, "1/2") == whole
    assert (first.asked, second.asked) == (4, 4)
    assert score(suite, Model(stop_after=0), out, monkeypatch, "2/2") == whole  # nothing is left to make


def test_without_a_file_the_figures_are_the_same(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads(score(suite, Model(), tmp_path / "r.json", monkeypatch))
    assert evaluation.run_suite(suite, Model()) == whole


def test_failures_are_named(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = json.loads(score(suite, Model(["jump", "sit"]), tmp_path / "r.json", monkeypatch))
    assert {f["item"].split()[0] for f in result["failed"]} == {"jump", "sit"} and len(result["failed"]) == 6
    assert result["failed"][0] == {"item": "jump (seed 0)", "reason": "cannot jump"}
    assert {r["prompt"] for r in result["prompts"]} == {*WORDS} - {"jump", "sit"}
    with pytest.raises(UserError, match="nothing could be made: cannot"):
        evaluation.run_suite(suite, Model(WORDS))


def test_what_a_function_must_give_is_said(suite: Suite) -> None:
    with pytest.raises(UserError, match="the function gave a ndarray; accepted vqvae.motion.Motion.*--outputs"):
        evaluation.run_suite(suite, lambda texts, seeds: [np.zeros((60, 22, 3))] * len(texts))


def test_parts_of_another_run_are_refused(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "r.json"
    with pytest.raises(cache.WaitingForShards):
        score(suite, Model(), out, monkeypatch, "2/2")
    other = Model()
    other.name = "another"
    with pytest.raises(UserError, match="parts of another suite, model or version"):
        score(suite, other, out, monkeypatch, "1/2")
    damaged = next(iter(out.with_suffix(".parts").glob("part-*.npz")))
    damaged.write_bytes(b"PK cut short")
    with pytest.raises(UserError, match=f"{damaged.name}.*; remove this file, and its part is made anew"):
        score(suite, Model(), out, monkeypatch, "1/2")
    (out.with_suffix(".parts") / "key.json").write_text("{")
    with pytest.raises(UserError, match="key.json: not JSON .*; remove the folder"):
        score(suite, Model(), out, monkeypatch, "1/2")
    with pytest.raises(UserError, match="accepted K/N"):
        cache.read_shard("0/2")
    with pytest.raises(UserError, match="--shard"):
        evaluation.run_suite(suite, Model(), shard=(0, 2))


def test_what_a_run_was_made_on_stands_beside_it(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("one")
    out = tmp_path / "r.json"
    monkeypatch.setattr(prompts.score, "__defaults__", (64, cache.NO_CACHE))
    evaluation.run_suite(suite, Model(), data, out)
    about = json.loads((tmp_path / "runs" / "r.json").read_text())
    assert about["weights"] == {"name": "glide"} and about["data"]["files"] == 1 and about["versions"]["numpy"]
    assert about["data"] == report.manifest(data) and about["judges"] == report.judges_digest()
    (data / "a.txt").write_text("two")
    assert about["data"]["digest"] != report.manifest(data)["digest"]  # type: ignore[index]


def result(path: Path, rows: dict[str, list[int]], plain: float = 0.5) -> Path:
    told = [{"prompt": k, "kind": "side" if k < "m" else "turn", "passed": v} for k, v in rows.items()]
    body = {"suite": "few", "version": 1, "prompts": told,
            "results": {"pass_rate": {"mean": 0.5, "low": 0.4, "high": 0.6}, "fid": {"mean": plain}}}  # fmt: skip
    path.write_text(json.dumps(body))
    return path


def test_comparison_is_paired(tmp_path: Path) -> None:
    easy = {f"{c}": [i % 2] * 5 for i, c in enumerate("abcdefghijklmnopqrstuvwx")}
    better = {k: [1] * 5 if k in "acgikms" else v for k, v in easy.items()}
    got = compare.compare(result(tmp_path / "a.json", easy), result(tmp_path / "b.json", better | {"y": [1]}, 0.7))
    whole = got["figures"]["passed"]
    assert whole["differs"] and whole["n"] == 24 and whole["difference"] == pytest.approx(7 / 24, abs=1e-5)
    assert got["figures"]["passed/side"]["n"] == 12
    assert {r["row"] for r in got["rows"] if r["differs"]} == set("acgikms") and got["only"] == {"second": ["y"]}
    assert got["unpaired"]["fid"] == {"a": 0.5, "b": 0.7, "difference": 0.2, "differs": None}
    assert not got["unpaired"]["pass_rate"]["differs"]
    same = compare.compare(tmp_path / "a.json", tmp_path / "a.json")
    assert not same["rows"] and not same["figures"]["passed"]["differs"]
    assert any(line.startswith("* a (passed)") for line in compare.summary(got))


def test_other_weights_are_told(tmp_path: Path) -> None:
    a = result(tmp_path / "a.json", {"x": [0]})
    body = json.loads(a.read_text())
    b = tmp_path / "b.json"
    b.write_text(json.dumps({**body, "model": {"fingerprint": "f" * 64, "weights": "b" * 64}}))
    a.write_text(json.dumps({**body, "model": {"fingerprint": "f" * 64}}))
    got = compare.compare(a, b)
    assert got["models"] == {"weights": [None, "b" * 64]}
    assert f"other weights: not stated, {'b' * 12}" in compare.summary(got)
    assert not compare.compare(b, b)["models"]


def test_one_seed_says_nothing_of_chance(tmp_path: Path) -> None:
    a, b = result(tmp_path / "a.json", {"x": [0], "z": [1]}), result(tmp_path / "b.json", {"x": [1], "z": [1]})
    got = compare.compare(a, b)
    assert got["rows"] == [{"row": "x", "field": "passed", "a": 0.0, "b": 1.0, "difference": 1.0, "differs": None}]


def test_only_results_of_one_suite_compare(tmp_path: Path) -> None:
    a = result(tmp_path / "a.json", {"x": [0]})
    (tmp_path / "b.json").write_text(a.read_text().replace("few", "other"))
    (tmp_path / "c.json").write_text("[1]")
    for name, said in (("b.json", "suite other"), ("c.json", "c.json")):
        with pytest.raises(UserError, match=said):
            compare.compare(a, tmp_path / name)


def test_compare_command(tmp_path: Path) -> None:
    a, b = result(tmp_path / "a.json", {"x": [0, 0]}), result(tmp_path / "b.json", {"x": [1, 1]})
    done = subprocess.run(
        [sys.executable, "-m", "avatargpt", "eval", "compare", str(a), str(b)], capture_output=True, text=True
    )
    assert done.returncode == 0 and "1 rows differ, 1 beyond chance" in done.stdout


def test_an_answer_does_not_depend_on_what_was_asked_before(tmp_path: Path) -> None:
    from avatargpt.lm.text_encoder import SentenceGrounder

    grounder = SentenceGrounder()
    grounder.states(["wave"])
    asked: list[list[str]] = []
    compute = grounder._compute

    def counted(texts: Sequence[str], bf16: bool) -> list[np.ndarray]:
        asked.append(list(texts))
        return compute(texts, bf16)

    grounder._compute = counted  # type: ignore[method-assign]
    for kept in (cache.NO_CACHE, cache.AnswerCache(tmp_path / "a.parts")):
        kept.map("states", lambda *texts: grounder.states(texts)[0], [("wave", "bow"), ("wave",)])
    assert asked == [["wave", "bow"], ["wave"]] * 2
