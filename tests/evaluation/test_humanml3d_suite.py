"""The suite `humanml3d` on a tiny corpus with a tiny evaluator."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import humanml3d
from avatargpt.metrics.humanml3d import Evaluator
from instruct_data.sources.corpus import Report
from instruct_data.sources.humanml3d import read_pairs
from tests.metrics import humanml3d_made as made
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.rotations import identity

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
    options = humanml3d.ProtocolOptions.read(evaluation.load("humanml3d").options, "options")
    assert options == humanml3d.ProtocolOptions()
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
    pairs, judge, options = read_pairs(corpus), made.evaluator(), humanml3d.ProtocolOptions(**SMALL)
    shown = humanml3d.drawn_parts(pairs, np.random.default_rng([0, 1]), options.pool)
    left = [s.pair.features(s.start, s.frames) for s in shown]

    def given(texts: Sequence[str], frames: Sequence[int], seeds: Sequence[int]) -> list[np.ndarray]:
        assert texts == [s.caption.text for s in shown][: len(texts)] or not left
        return [left.pop(0) if left else made.motion(t, t) for t in frames]

    figures = humanml3d.repetition(pairs, judge, given, options, 0, 1)
    for name in ("r_precision_1", "r_precision_2", "r_precision_3", "mm_dist", "fid", "diversity"):
        assert figures[f"{name}/generated"] == pytest.approx(figures[f"{name}/real"], rel=1e-6, abs=1e-9)


def test_neither_the_order_of_the_list_nor_batches_change_figures(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, options = made.evaluator(), humanml3d.ProtocolOptions(**SMALL)
    whole = humanml3d.repetition(read_pairs(corpus), judge, None, options, 0, 0)
    listed = corpus / "test.txt"
    names = listed.read_text().split()
    listed.write_text("\n".join(names[::-1]))
    embed = Evaluator.embed_motions
    monkeypatch.setattr(Evaluator, "embed_motions", lambda self, motions: embed(self, motions, batch=3))
    again = humanml3d.repetition(read_pairs(corpus), judge, None, options, 0, 0)
    assert again == pytest.approx(whole, rel=1e-5, abs=1e-7)
    assert humanml3d.repetition(read_pairs(corpus), judge, None, options, 0, 1) != pytest.approx(whole, rel=1e-3)


def standing(frames: int) -> Motion:
    q, root = identity((frames, 22)), np.tile([0.0, 0.95, 0.0], (frames, 1))
    return Motion(q.astype(np.float32), root.astype(np.float32), 20.0)


def test_a_model_is_asked_for_the_length_that_is_shown(corpus: Path) -> None:
    class Model:
        def generate(self, texts: list[str], seconds: list[float], seeds: list[int]) -> list[Motion]:
            return [standing(round(20 * s)) for s in seconds]

    make = humanml3d.maker_of(Model())
    shown = humanml3d.drawn_parts(read_pairs(corpus), np.random.default_rng(0), 8)
    lengths = [len(x) for x in humanml3d.generated(make, shown, range(len(shown)))]
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
        humanml3d.score(suite(), [], made.evaluator(), None, Report())
