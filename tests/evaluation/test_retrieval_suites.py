"""Retrieval with our encoder, the published protocol of HumanML3D, lists of prompts of one's own."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt import evaluation
from avatargpt.evaluation import judges, outputs, retrieval
from avatargpt.evaluation.outputs import Outputs
from avatargpt.evaluation.prompts import measure_fit
from avatargpt.evaluation.suites import read_list
from avatargpt.metrics.degradations import DEGRADATIONS
from avatargpt.metrics.evaluator import EvaluatorNetwork, MotionEvaluator
from avatargpt.metrics.humanml3d import Evaluator
from instruct_data.clip import Clip
from instruct_data.sources.corpus import Report
from instruct_data.sources.humanml3d import read_pairs
from tests.clips import gliding
from tests.metrics import humanml3d_made as made
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.rotations import identity

WORDS = ("walks", "bows", "waves", "hops", "sits", "turns", "runs", "kneels", "claps", "nods")


def stroll(kind: int, frames: int) -> Motion:
    """A glide ahead at a speed that says its kind, one arm swinging."""
    return gliding(frames, 0.2 * kind, 3 + kind)


def clips(count: int, start: int = 0) -> list[Clip]:
    return [
        Clip(f"c{i}", stroll(i % 10, 30 + i % 7), [f"a person {WORDS[i % 10]}.", f"someone {WORDS[i % 10]} slowly"],
             "bandai1", "", "val", "walk" if i % 10 else "bow")
        for i in range(start, start + count)
    ]  # fmt: skip


def judge() -> MotionEvaluator:
    torch.manual_seed(0)
    return MotionEvaluator(EvaluatorNetwork(16, 12, 8, 1))


def test_rows_of_answers() -> None:
    suite = replace(evaluation.load("retrieval"), options={"pool": 8, "repeats": 2, "several": 3, "samples": 4})
    asked: list[int] = []

    def answer(prompts: list[str], seeds: list[int]) -> list[Motion]:
        asked.append(len(prompts))
        return [stroll(seed + len(p) % 5, 40) for p, seed in zip(prompts, seeds, strict=True)]

    found = retrieval.score(suite, clips(16), clips(20, 100), judge(), answer)
    assert asked == [16, 12] and found["clips"] == 16
    assert found["baselines"] == ["real", "random pairing", "nearest caption"]
    for row in ("/real", "/random pairing", "/nearest caption", ""):
        assert 0 <= found["results"][f"top1{row}"]["mean"] <= found["results"][f"top3{row}"]["mean"] <= 1
    assert found["results"]["fid/nearest caption"]["mean"] > 0
    assert found["results"]["multimodality"]["mean"] > 0
    assert set(k.split("/")[0] for k in found["results"]) == set(suite.metrics)
    again = retrieval.score(suite, clips(16), clips(20, 100), judge(), None)["results"]
    assert again["top1/real"] == found["results"]["top1/real"] and "top1" not in again
    with pytest.raises(UserError, match="at least 8"):
        retrieval.score(suite, clips(5), clips(20), judge(), None)


def test_answers_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatargpt.evaluation import corpus

    held = clips(10)
    monkeypatch.setattr(corpus, "load_clips", lambda data, split: held)
    suite = replace(evaluation.load("retrieval"), options={"pool": 8, "repeats": 2})
    judge().save(tmp_path / "judge")
    for item, clip in zip(outputs.items(suite, tmp_path), held, strict=True):
        assert item.text == clip.captions[0]
        np.save(tmp_path / f"{item.id}.npy", clip.load().joints)
    found = outputs.score(suite, outputs.Outputs(tmp_path), tmp_path, tmp_path / "judge")
    for name in ("top1", "top3", "mm_dist", "diversity"):
        assert found["results"][name]["mean"] == pytest.approx(found["results"][f"{name}/real"]["mean"], abs=0.02)
    assert found["results"]["fid"]["mean"] < 1e-3 and found["baselines"] == ["real", "random pairing"]
    for number in range(1, 4):
        (tmp_path / f"{number:03d}.npy").unlink()
    few = outputs.score(suite, outputs.Outputs(tmp_path), tmp_path, tmp_path / "judge")
    assert few["results"] == {} and {f["item"] for f in few["failed"]} == {"001", "002", "003", "retrieval"}
    with pytest.raises(UserError, match="--data"):
        outputs.items(suite)


def test_judge_is_judged() -> None:
    options = {"pool": 8, "repeats": 2, "captions": 2, "keyframed": 1}
    suite = replace(evaluation.load("retrieval_judge"), options=options)
    found = judges.score_evaluator(suite, clips(16), [], judge())["results"]
    for name in (judges.AS_IT_IS, *DEGRADATIONS):
        assert found[f"geometry/{name}"]["n"] == 16 and found[f"top3/{name}"]["mean"] is not None
    assert found["fid/as it is"]["mean"] < 1e-6 < found["fid/noise"]["mean"]
    assert {f"agreement/{k}" for k in judges.FIGURES} <= set(found)


SMALL = {"repetitions": 3, "pool": 8, "diversity": 6, "texts": 3, "samples": 4, "pairs": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made.write_corpus(tmp_path_factory.mktemp("made") / "HumanML3D")
    made.write_evaluator(folder / "evaluator")
    return folder


def suite(**options: Any) -> evaluation.Suite:
    loaded = evaluation.load("humanml3d")
    return dataclasses.replace(loaded, options={**loaded.options, **SMALL, **options})


def test_the_suite_is_the_published_protocol() -> None:
    options = retrieval.ProtocolOptions.read(evaluation.load("humanml3d").options, "options")
    assert options == retrieval.ProtocolOptions()
    assert options.model_dump() == {
        "split": "test", "repetitions": 20, "pool": 32, "diversity": 300, "texts": 100, "samples": 30, "pairs": 10,
    }  # fmt: skip


def test_rows_intervals_and_what_identifies_a_result(corpus: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    def noise(texts: Sequence[str], frames: Sequence[int], seeds: Sequence[int]) -> list[np.ndarray]:
        assert len(texts) == len(frames) == len(seeds) <= 64 and all(t % 4 == 0 for t in frames)
        asked.append(len(texts))
        return [10 * made.motion(seed, t) for seed, t in zip(seeds, frames, strict=True)]

    result = evaluation.run_suite(suite(), noise, corpus, tmp_path / "out.json")
    figures = result["results"]
    names = [f"r_precision_{k}" for k in (1, 2, 3)] + ["mm_dist", "fid", "diversity"]
    assert set(figures) == {f"{n}/{row}" for n in names for row in ("real", "generated")} | {"multimodality/generated"}
    assert all(f["n"] == 3 and f["low"] <= f["mean"] <= f["high"] for f in figures.values())
    assert figures["r_precision_1/real"]["mean"] <= figures["r_precision_3/real"]["mean"] <= 1
    assert figures["fid/generated"]["mean"] > 3 * figures["fid/real"]["mean"]
    assert asked == [16, 9] * 3  # a motion for each clip of two full pools; three more for each of three texts
    assert result["evaluator"] == made.evaluator().fingerprint and result["clips"] == 20
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert evaluation.run_suite(suite(), noise, corpus) == result


def test_the_recordings_given_back_score_as_they_do(corpus: Path) -> None:
    """A maker that hands out the very clips that are shown has the figures of the row `real`."""
    pairs, judge, options = read_pairs(corpus), made.evaluator(), retrieval.ProtocolOptions(**SMALL)
    shown = retrieval.draw_parts(pairs, np.random.default_rng([0, 1]), options.pool)
    left = [s.pair.features(s.start, s.frames) for s in shown]

    def given(texts: Sequence[str], frames: Sequence[int], seeds: Sequence[int]) -> list[np.ndarray]:
        assert texts == [s.caption.text for s in shown][: len(texts)] or not left
        return [left.pop(0) if left else made.motion(t, t) for t in frames]

    figures = retrieval.repetition(pairs, judge, given, options, 0, 1)
    for name in ("r_precision_1", "r_precision_2", "r_precision_3", "mm_dist", "fid", "diversity"):
        assert figures[f"{name}/generated"] == pytest.approx(figures[f"{name}/real"], rel=1e-6, abs=1e-9)


def test_neither_the_order_of_the_list_nor_batches_change_figures(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, options = made.evaluator(), retrieval.ProtocolOptions(**SMALL)
    whole = retrieval.repetition(read_pairs(corpus), judge, None, options, 0, 0)
    listed = corpus / "test.txt"
    names = listed.read_text().split()
    listed.write_text("\n".join(names[::-1]))
    embed = Evaluator.embed_motions
    monkeypatch.setattr(Evaluator, "embed_motions", lambda self, motions: embed(self, motions, batch=3))
    again = retrieval.repetition(read_pairs(corpus), judge, None, options, 0, 0)
    assert again == pytest.approx(whole, rel=1e-5, abs=1e-7)
    assert retrieval.repetition(read_pairs(corpus), judge, None, options, 0, 1) != pytest.approx(whole, rel=1e-3)


def standing(frames: int) -> Motion:
    q, root = identity((frames, 22)), np.tile([0.0, 0.95, 0.0], (frames, 1))
    return Motion(q.astype(np.float32), root.astype(np.float32), 20.0)


def test_a_model_is_asked_for_the_length_that_is_shown(corpus: Path) -> None:
    class Model:
        def generate(self, texts: list[str], seconds: list[float], seeds: list[int]) -> list[Motion]:
            return [standing(round(20 * s)) for s in seconds]

    make = retrieval.maker_of(Model())
    shown = retrieval.draw_parts(read_pairs(corpus), np.random.default_rng(0), 8)
    lengths = [len(x) for x in retrieval.generate_features(make, shown, range(len(shown)))]
    assert lengths == [s.frames for s in shown]


@pytest.mark.parametrize(
    ("answer", "said"),
    [(lambda t: [], "0 motions for"), (lambda t: [np.zeros((8, 262))] * t, "accepted: a Motion"),
     (lambda t: [np.zeros((3, 263))] * t, "generated motion of 3 frames"),
     (lambda t: [np.full((8, 263), np.inf)] * t, "accepted: a Motion")],
)  # fmt: skip
def test_answers_that_do_not_fit(corpus: Path, answer: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        evaluation.run_suite(suite(), lambda texts, frames, seeds: answer(len(texts)), corpus)


def test_options_and_folders_that_do_not_fit(corpus: Path, tmp_path: Path) -> None:
    for options, said in (({"pool": 64}, "20 clips in pools of 64"), ({"pairs": 9}, "as many samples as pairs"),
                          ({"split": "most"}, "accepted train"), ({"pools": 1}, "unknown key 'pools'")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            evaluation.run_suite(suite(**options), None, corpus)
    with pytest.raises(UserError, match="no evaluator; accepted"):
        evaluation.run_suite(suite(), None, corpus, None, tmp_path)
    with pytest.raises(UserError, match="name its folder with --data"):
        evaluation.run_suite(suite(), None)
    with pytest.raises(UserError, match="accepted: a pool of clips or more"):
        retrieval.score_humanml3d(suite(), [], made.evaluator(), None, Report())


class Model:
    """Answers the fast prompts with a move, and describes what moves as running, what stands as standing."""

    name = "stand-in"

    def __call__(self, texts: list[str], seeds: list[int]) -> list[Motion]:
        return [glide(0.1 if "run" in t else 0.0) for t in texts]

    def describe(self, motions: Sequence[Motion]) -> list[str]:
        far = [float(np.ptp(m.root[:, 2])) for m in motions]
        return ["a person runs forward" if x > 1 else "a person stands still" for x in far]


def glide(step: float) -> Motion:
    z = np.arange(40) * step
    return Motion(rot.identity((40, 22)), np.stack([0 * z, 0 * z + 0.96, z], -1))


ROWS = """prompt,action,category
"run, run, as if wolves were after you",run,gait
run home,run,gait
paint a fence,paint,work
"""


def test_descriptions_have_to_name_the_action(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS + "stand still,,\n")
    result = evaluation.run(str(path), Model(), out=tmp_path / "r.json")
    assert result["suite"] == "mine" and result == json.loads((tmp_path / "r.json").read_text())
    means = {k: v["mean"] for k, v in result["results"].items()}
    fit = {k for k in means if k.partition("/")[0] in ("top1", "top2", "top3", "mm_dist")}
    assert fit == {f"{k}{row}" for k in ("top1", "top2", "top3", "mm_dist") for row in ("", "/random pairing")}
    assert {k: v for k, v in means.items() if k not in fit} == {
        "named": 0.75, "named/gait": 1.0, "named/work": 0.0, "named_by_action": pytest.approx(2 / 3, 1e-4),
        "named_by_prompt": 1.0,
    }  # fmt: skip
    assert result["prompts"][2]["described"] == ["a person stands still"]


def test_motions_may_come_from_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS)
    files = tmp_path / "files"
    files.mkdir()
    np.save(files / "001.npy", glide(0.1).joints)
    glide(0.0).save(files / "002.npz")
    result = evaluation.run(str(path), Model(), outputs=Outputs(files))
    assert [r["named"] for r in result["prompts"]] == [[1], [0]]
    assert result["failed"] == [{"item": "003", "reason": "no file; asked was: paint a fence"}]


def test_what_fits_its_prompt_is_told_from_what_does_not(tmp_path: Path) -> None:
    from avatargpt.evaluation import corpus

    wanted = ("sit_down", "clap", "jumping_jack", "lie_down", "bow", "kick")
    some = {c.action: c for c in corpus.make_keyframed_clips(1) if c.action in wanted and c.captions}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([some[a].captions[0] for a in wanted]))
    suite = evaluation.load(str(path))
    own = {n: [some[a].load().resampled(20.0).joints] for n, a in enumerate(wanted)}
    right = measure_fit(suite, own)
    wrong = measure_fit(suite, {n: own[(n + 2) % len(own)] for n in own})
    assert right["top1"]["mean"] > 0.6 > 0.4 > wrong["top1"]["mean"]
    assert right["mm_dist"]["mean"] < wrong["mm_dist"]["mean"] - 0.2
    assert right["top1/random pairing"]["mean"] < right["top1"]["mean"]
    assert measure_fit(suite, {n: own[n] for n in range(3)}) == {}


def test_json_and_what_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('["walk", {"prompt": "wave", "action": "wave"}]')
    assert [(r["prompt"], r["action"]) for r in read_list(path).options["prompts"]] == [("walk", ""), ("wave", "wave")]
    for text, said in (("{}", "no list"), ("[]", "0 prompts"), ('[{"text": "a"}]', "entry 1: no prompt"),
                       ('[{"prompt": "a", "action": 3}]', "action is no text")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_list(path)
    table = tmp_path / "p.csv"
    for text, said in (("text\nwalk\n", "line 2: no prompt"), ('prompt\n"walk\n', "line"), ("", "0 prompts")):
        table.write_text(text)
        with pytest.raises(UserError, match=said):
            read_list(table)
    with pytest.raises(UserError, match="no such file"):
        evaluation.load(str(tmp_path / "not.csv"))
