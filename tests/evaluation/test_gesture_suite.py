"""The gesture suite on made-up talks, and the stage that trains what FGD compares with."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from avatargpt import evaluation, export
from avatargpt.cli.app import app
from avatargpt.config import resolve
from avatargpt.evaluation import gesture
from avatargpt.evaluation.outputs import Outputs
from avatargpt.evaluation.suites import Run
from avatargpt.metrics.gesture_features import GestureFeatureEncoder
from avatargpt.metrics.gesture_motion import UPPER, MeasuredStroke
from avatargpt.resources import PACKAGE
from avatargpt.speech.word_files import write
from avatargpt.speech.words import Word, Words
from avatargpt.train.gesture import fgd as gesture_features
from instruct_data.clip import Clip
from instruct_data.store import Store
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "fgd.yaml"
SECONDS = 24
BEATS = np.array([0.9, 2.4, 3.6, 5.3, 6.5, 8.2, 9.8, 11.0, 12.3, 14.1, 15.2, 16.8, 18.5, 19.7, 21.4, 22.6])


def beating(times: np.ndarray, frames: int = SECONDS * 30, size: float = 1.0) -> Motion:
    """A body that turns about the pelvis, slower at some times than between them."""
    t = np.arange(frames) / 30
    speed = 1 - 0.6 * np.exp(-(((t[:, None] - times) / 0.12) ** 2)).sum(1)
    q = rot.identity((frames, 22)).copy()
    q[:, 0] = rot.from_axis_angle(np.outer(size * np.cumsum(speed) / 30, [1.0, 0, 0]))
    return Motion(q, np.tile([0, 0.9, 0], (frames, 1)), 30.0, "gesture")


def waving(hz: float) -> Motion:
    """20 s of one arm that goes up and down."""
    q = rot.identity((600, 22)).copy()
    q[:, 17] = rot.from_axis_angle(np.outer(np.sin(2 * np.pi * hz * np.arange(600) / 30), [0, 0, 1.0]))
    return Motion(q, np.tile([0, 0.9, 0], (600, 1)), 30.0, "gesture")


def voice(times: np.ndarray) -> np.ndarray:
    """Bursts at some times."""
    rng = np.random.default_rng(0)
    x = 1e-4 * rng.standard_normal(SECONDS * 16000)
    for start in (times * 16000).astype(int):
        x[start : start + 3200] += 0.3 * rng.standard_normal(len(x[start : start + 3200]))
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two talks and a sound; in the first, one listens for the last 12 s."""
    out = tmp_path_factory.mktemp("talks")
    other = voice(BEATS[BEATS > 12])
    for name, times in (("a", BEATS), ("b", BEATS[::-1] * -1 + SECONDS), ("c", BEATS)):
        soundfile.write(out / f"{name}.wav", voice(times[times < 12] if name == "a" else times), 16000)
        if name != "c":
            beating(times).save(out / f"{name}.npz")
    soundfile.write(out / "a.interlocutor.wav", other, 16000)
    write(Words((Word("b", 1.0, 1.5),)), out / "b.TextGrid")
    return out


def test_rows_of_the_table(folder: Path, tmp_path: Path) -> None:
    told: list[tuple[float, bool, bool]] = []

    def network(talk: gesture.Talk) -> Motion:
        assert talk.motion is None
        told.append((float(np.abs(talk.audio).max()), talk.words is not None, talk.interlocutor is not None))
        return beating(BEATS + 0.6, size=0.5)

    result = evaluation.run("gesture", network, folder, tmp_path / "gesture.json")
    assert (result["talks"], result["sounds"]) == (2, 3)
    got = {k: v["mean"] for k, v in result["results"].items()}
    assert got["beat_alignment/real"] > 0.9 > got["beat_alignment/shuffled"] > got["beat_alignment/mean pose"] == 0
    gain = result["results"]["beat_alignment_gain/real"]
    assert 0 < gain["low"] < gain["mean"] and gain["n"] == 4
    assert got["beat_alignment/real"] > got["beat_alignment/network"] + 0.2
    assert got["hand_speed_ratio/network"] == pytest.approx(0.5, abs=0.01) and got["hand_speed_ratio/real"] == 1
    assert got["hellinger/mean pose"] == 1 and got["l1_diversity/mean pose"] == 0
    assert got["still_listening/real"] == 0 and got["still_listening/mean pose"] == 1
    assert got["listening_speed_ratio/real"] == pytest.approx(1, abs=0.25)
    assert {k.split("/")[1] for k in got if k.startswith("jerk/")} == {
        "real", "mean pose", "network", "network without sound", "network without words", "network without interlocutor"
    }  # fmt: skip
    # Of a, b and c: all, no sound, no words, no other.
    assert [t[2] for t in told] == [True, False, False, True, False, False, True, False, False, False, False, False]
    assert [t[1] for t in told] == [False, True, False, False, True, False, False, False, False, False, True, False]
    assert [t[0] > 0 for t in told] == [True] * 3 + [False] * 3 + [True] * 6
    assert (result["results"]["jerk/real"]["n"], result["results"]["jerk/network"]["n"]) == (4, 6)
    assert (tmp_path / "gesture.json").is_file()
    assert {k.split("/")[0] for k in got} <= set(evaluation.load("gesture").metrics)


def test_l1_diversity_is_the_distance_from_the_mean_pose() -> None:
    q = rot.identity((600, 22)).copy()
    q[300:, 17] = rot.from_axis_angle(np.array([0, 0, 1.0]))
    motion = Motion(q, np.tile([0, 0.9, 0], (600, 1)), 30.0, "gesture")
    step = np.abs(motion.joints[-1] - motion.joints[0])[list(UPPER)].sum()
    assert step > 0.5 and gesture._spread(motion, 10.0) == pytest.approx([step / 2, step / 2], rel=1e-5)


def test_motions_of_others_are_a_row(folder: Path, tmp_path: Path) -> None:
    """Files give what a network that makes them gives; what is missing or too short is named."""
    made = {"a": beating(BEATS + 0.6, size=0.5), "b": beating(BEATS + 0.3)}
    for name, motion in made.items():
        motion.save(tmp_path / f"{name}.npz")
    beating(BEATS, 60).save(tmp_path / "c.npz")
    got = evaluation.run("gesture", None, folder, outputs=Outputs(tmp_path))
    assert got["failed"] == [
        {"item": "c", "reason": "2.0 s of motion for a talk of 24.0 s; accepted as long"}
    ] and (got["talks"], got["sounds"]) == (2, 2)  # fmt: skip
    some = [t for t in gesture.read_talks(folder) if t.name in made]
    features = GestureFeatureEncoder.load(PACKAGE / "weights" / "gesture")
    own = gesture.score(evaluation.load("gesture"), some, {"outputs": lambda t: made[t.name]}, (), features)
    for figure in ("beat_alignment", "hand_speed", "l1_diversity", "fgd"):
        assert got["results"][f"{figure}/outputs"] == own["results"][f"{figure}/outputs"]
    assert not [k for k in got["results"] if "without" in k]
    other = tmp_path / "bvh"
    other.mkdir()
    for name, motion in made.items():
        export.save(motion, other / f"{name}.bvh")
    hurt = beating(BEATS)
    np.savez(other / "c.npz", **{**np.load(tmp_path / "a.npz"), "root": np.full_like(hurt.root, np.nan)})
    out = tmp_path / "bvh.json"
    command = ["eval", "run", "gesture", "--data", str(folder), "--outputs", str(other), "-o", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1 and "failed: c.npz: " in done.stderr and "NaN" in done.stderr
    again = json.loads(out.read_text())["results"]
    for figure in ("hand_speed/outputs", "l1_diversity/outputs"):
        assert again[figure]["mean"] == pytest.approx(got["results"][figure]["mean"], rel=0.01), figure


def test_a_bank_and_the_encoder_add_rows_and_fgd(folder: Path, tmp_path: Path) -> None:
    recipe = gesture_features.GestureFeatureRecipe.read(resolve(f"{CONFIG}:debug"), "debug")
    motions = {"train": waving(0.4), "val": waving(0.7), "test": beating(BEATS, 63)}
    clips = [Clip(s, m, [], "made", "", "train" if s == "test" else s) for s, m in motions.items()]
    Store.write(clips, tmp_path / "store")
    args = argparse.Namespace(threads=1, device="cpu", store=tmp_path / "store", output=tmp_path / "fgd", config=CONFIG)
    args.until = None
    gesture_features.gesture_features_stage(recipe, args)
    made = GestureFeatureEncoder.load(tmp_path / "fgd")
    assert made(motions["val"]).shape == ((600 - 64) // 8 + 1, 4)
    log = [json.loads(line) for line in (tmp_path / "fgd" / "log.jsonl").read_text().splitlines()]
    assert any("val_lost" in row for row in log) and (tmp_path / "fgd" / "config.yaml").is_file()
    Store.write(clips[2:], tmp_path / "short")
    args.store = tmp_path / "short"
    with pytest.raises(UserError, match="short: no training clip of 2.1 s"):
        gesture_features.gesture_features_stage(recipe, args)

    stroke = MeasuredStroke(beating(np.array([0.5]), 45), 0.5)
    suite = evaluation.load("gesture")
    got = gesture.score(suite, gesture.read_talks(folder), {}, [stroke], made)["results"]
    assert got["fgd/real"]["mean"] >= 0 and got["fgd/mean pose"]["mean"] is not None
    assert {"jerk/retrieval", "jerk/strokes", "fgd/retrieval"} <= set(got)
    assert "beat_alignment/strokes" not in got


def test_mistakes_are_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    suite = evaluation.load("gesture")
    short = [gesture.Talk("s", voice(BEATS), beating(BEATS, 300))]
    (tmp_path / "only.wav").write_bytes((folder / "c.wav").read_bytes())
    np.savez(tmp_path / "rows.npz", rot=np.ones(3), fps=30)
    mistakes = {
        "name their folder": lambda: gesture.evaluate(Run(suite, None)),
        "no such folder": lambda: gesture.read_talks(tmp_path / "nowhere"),
        "1 sounds, none with a motion": lambda: gesture.read_talks(tmp_path),
        "accepted: talks of at least 20 s": lambda: gesture.score(suite, short, {}),
        "a model of type int": lambda: gesture.evaluate(Run(suite, 3, folder)),
        "network: 1.0 s of motion for a talk of 24.0 s": lambda: gesture.evaluate(
            Run(suite, lambda talk: beating(BEATS, 30), folder)
        ),
        "missing root": lambda: gesture.read_rows(tmp_path / "rows.npz"),
    }  # fmt: skip
    for said, call in mistakes.items():
        with pytest.raises(UserError, match=said) as told:
            call()  # type: ignore[no-untyped-call]
        assert "\n" not in str(told.value)
