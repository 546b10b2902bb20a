"""Figures of faces, of speech and of gestures from words on clips of known answers."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt import evaluation, resources
from avatargpt.evaluation import face_distances, face_instructions, speech, suites
from avatargpt.evaluation.face_distances import face_features, face_fid, fdd, lve
from avatargpt.evaluation.speech import GUESSES, SENTENCES, StrokeMatcher, guesses
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.face.audio_model.driver import Driver
from avatargpt.gesture.semantics import ClassGuesser, GestureBank
from avatargpt.metrics import face
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data import corpus
from avatargpt.train.speech_data.corpus import SpeechClip
from instruct_data.face.render import render
from instruct_data.face.score import Event, Score
from instruct_data.factory.gesture.bank import make_keyed_strokes
from instruct_data.gesture.plan import MARKS, read_classes, word_classes
from instruct_data.gesture.strokes import Stroke, motion_of
from tests.factories import speech_clip
from tests.gesture.made_up import TABLE
from vqvae import arkit
from vqvae.arkit import INDEX
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion


def test_lve_is_the_largest_lip_error_of_each_frame() -> None:
    real = np.zeros((2, 3, 3))
    made = real.copy()
    made[0, 1] = [3, 4, 0]  # 5 away, the farthest of frame 0
    made[0, 2] = [1, 0, 0]
    made[1, 0] = [0, 0, -2]
    assert lve(made, real) == pytest.approx(3.5)
    assert lve(real, real) == 0
    with pytest.raises(ValueError, match="accepted"):
        lve(made, real[:1])


def test_fdd_is_what_the_upper_face_moves_less() -> None:
    rest = np.array([[0.0, 1, 0], [0, 2, 0]])
    real = np.tile(rest, (4, 1, 1))
    real[::2, 0, 0] += 2  # squared distances 4, 0, 4, 0: deviation 2
    made = np.tile(rest, (4, 1, 1))
    made[::2, 1, 2] += 1  # 1, 0, 1, 0: deviation 0.5
    assert fdd(made, real, rest) == pytest.approx((2 - 0 + 0 - 0.5) / 2)
    assert fdd(real, made, rest) == pytest.approx(-0.75) and fdd(real, real, rest) == 0
    with pytest.raises(ValueError, match="rest"):
        fdd(made, real, rest[:1])


def clip(seed: int, size: float = 1.0, fps: float = 30.0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    t = np.arange(45)[:, None] / 30
    waves = 0.5 + 0.4 * size * np.sin(2 * np.pi * rng.uniform(0.5, 2, arkit.COUNT) * t + rng.uniform(0, 6, arkit.COUNT))
    return FaceMotion(waves, np.zeros((45, 3)), fps)


def test_features_are_means_deviations_and_speeds() -> None:
    weights = np.zeros((4, arkit.COUNT))
    weights[:, 7] = [0, 0.5, 0, 0.5]
    features = face_features(FaceMotion(weights, np.zeros((4, 3))))
    assert features.shape == (165,) and np.count_nonzero(features) == 3
    assert features[[7, 62, 117]] == pytest.approx([0.25, 0.25, 15.0])


def test_fid_of_faces() -> None:
    real = [clip(i) for i in range(40)]
    assert face_fid(real, real) == pytest.approx(0, abs=1e-6)
    near, far = face_fid([clip(i) for i in range(40, 80)], real), face_fid([clip(i, 0.4) for i in range(40, 80)], real)
    assert near < 0.5 < 2 < far
    assert far == pytest.approx(face_fid([clip(i, 0.4) for i in range(40, 80)], real))
    with pytest.raises(ValueError, match="at least 2"):
        face_fid(real[:1], real)
    with pytest.raises(ValueError, match="all the same"):
        face_fid(real, [real[0]] * 3)


ROWS = [
    Score(4.0, (Event("wink_left", 0.4, 0.5), Event("nod", 1.4, 1.8, 0.7, 2)), (), "Wink left, then nod twice."),
    Score(3.0, (Event("raise_brows", 0.3, 1.5, 0.9),), (), "Raise your brows strongly."),
]


class Rendered:
    """Reads its own texts perfectly (others as a smile) and renders them."""

    def __init__(self, wrong: bool = False) -> None:
        self.wrong = wrong

    def read(self, texts: list[str], seconds: list[float] | None = None) -> list[Score]:
        known = {s.text: s for s in ROWS}
        smile = Score(3.0, (Event("smile", 0.4, 1.6),))
        return [smile if self.wrong else known.get(t, smile) for t in texts]

    def perform(self, text: str, score: Score, seconds: float, **_: Any) -> FaceMotion:
        return render(score, 3).slice(0, round(seconds * 30))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (face_instructions.OWN, face_instructions.EVERYDAY):
        (tmp_path / name).write_text("".join(json.dumps(s.to_json()) + "\n" for s in ROWS))
    (tmp_path / face_instructions.LEARNT).write_text("wink\n")
    monkeypatch.setattr(face_instructions, "folder", lambda: tmp_path)
    monkeypatch.setattr(face_instructions, "action_names", lambda: ["smile", "nod", "wink_left", "raise_brows"])
    monkeypatch.setattr(face_instructions, "emotion_names", lambda: ["happy"])


def test_the_renderer_does_what_is_asked(small: None) -> None:
    suite = evaluation.load("face_instructions")
    result = face_instructions.score(suite, Rendered(), None, None)  # type: ignore[arg-type]
    figures = {k: v["mean"] for k, v in result["results"].items()}
    assert figures["events/own"] == figures["clips/own"] == figures["events_told/own"] == 1.0
    assert figures["events/everyday"] == 1.0
    assert figures["reading_actions/own"] == figures["reading_sequences/own"] == 1.0
    assert figures["rising/told"] == 1.0 and figures["rising/worded"] == 0.0
    assert figures["auf1/own"] > 0.8
    assert {k.split("/")[0] for k in figures} <= set(suite.metrics)
    assert result["baselines"] == ["rendered score", "shuffled score", "neutral face"]
    assert figures["events/own/rendered score"] == 1.0 > figures["events/own/shuffled score"]
    assert figures["events/own/neutral face"] == 0.0
    assert abs(figures["fdd/own"]) < figures["fdd/own/neutral face"] and "lve/own" in figures
    assert [row["faults"] for row in result["samples"]] == [{}, {}] * 2


def test_a_wrong_reading_is_seen(small: None) -> None:
    suite = evaluation.load("face_instructions")
    result = face_instructions.score(suite, Rendered(wrong=True), None, None)  # type: ignore[arg-type]
    assert result["results"]["events/own"]["mean"] == 0.0
    assert result["results"]["events_told/own"]["mean"] == 1.0
    assert result["results"]["reading_actions/own"]["mean"] == 0.0
    assert np.all([row["faults"] for row in result["samples"]])


def test_learnt_texts_are_left_out_of_a_share() -> None:
    done = [("smile", [1.0]), ("wink", [1.0, 1.0]), ("nod", [0.0])]
    figures = face_instructions.all_events(done, ["wink"])
    assert [figures[f"events/{k}"]["n"] for k in ("together", "unlearnt")] == [4, 2]
    assert [figures[f"events/{k}"]["mean"] for k in ("together", "unlearnt")] == [0.75, 0.5]


def test_a_corpus_is_measured_together_with_our_own(small: None, tmp_path: Path) -> None:
    (tmp_path / "val.jsonl").write_text("".join(json.dumps(s.to_json()) + "\n" for s in ROWS))
    suite = evaluation.load("face_instructions")
    results = face_instructions.score(suite, Rendered(), tmp_path, None)["results"]  # type: ignore[arg-type]
    assert results["events/together"]["n"] == 2 * results["events/own"]["n"]
    assert results["events/together"]["mean"] == results["events/unlearnt"]["mean"] == 1.0


def test_shipped_instructions_are_held_out() -> None:
    from instruct_data.face.score import EVERYDAY, FURTHER, OWN, SEQUENCES, SIBLINGS, read_instructions

    def texts(path: Path) -> set[str]:
        return {one.score.text.lower().strip(" .!*") for one in read_instructions(path)}

    taught = set().union(*(texts(path) for path in (OWN, SEQUENCES, FURTHER, SIBLINGS, EVERYDAY)))
    own, everyday = (texts(evaluation.folder() / n) for n in (face_instructions.OWN, face_instructions.EVERYDAY))
    assert len(own) == 100 and len(everyday) > 120 and len(taught) > 50_000 and not (own | everyday) & taught


SUITE = Suite("speech_face", 1, "speech", "", {}, options={"drift_minutes": 0.5}, measure="face")


def test_all_figures_of_a_cache(driver: Driver, tmp_path: Path) -> None:
    corpus.save([speech_clip(), speech_clip("val", seed=4)], tmp_path)
    results = speech.score_face(SUITE, driver, None, tmp_path)["results"]
    for name in ("closure/made", "false_closure_vowel/made", "contact/made", "still/noise", "drift"):
        assert name in results
    assert results["closure/made"]["n"] == 2
    assert abs(results["drift"]["mean"]) < 1


def test_something_to_measure_is_needed(driver: Driver) -> None:
    with pytest.raises(UserError, match="--data"):
        speech.score_face(SUITE, driver, None, None)


def test_ridge_finds_what_is_linear_and_the_driver_is_beside_it(driver: Driver) -> None:
    clips = []
    for seed, split in ((1, "train"), (2, "train"), (3, "val")):
        c = speech_clip(seed=seed)
        curves = np.zeros_like(c.curves)
        energy = c.features[:, 80]
        curves[:, INDEX["jawOpen"]] = (energy - energy.min()) / 20
        clips.append(SpeechClip(c.features, curves, c.phones, kind="paired", split=split, name=f"pairs/{seed}"))
    results = speech.score_recorded_faces(driver, clips)
    assert results["paired_jaw/ridge"]["mean"] > 0.9
    assert {"paired_jaw/paired", "paired_jaw/taught", "paired_jaw/log_energy"} <= set(results)
    assert "paired_rounding/ridge" not in results  # nothing is rounded there


def test_distances_from_recordings_rank_what_needs_no_model() -> None:
    t = np.arange(330) / 30

    def take(rate: float) -> np.ndarray:
        curves = np.zeros((len(t), 55), np.float32)
        curves[:, INDEX["jawOpen"]] = 0.4 + 0.3 * np.sin(rate * t)
        return curves

    validation, training = [take(7.0), take(5.0)], [take(6.0)]
    rows = face_distances.measure_recordings({"near": [x * np.float32(0.9) for x in validation]}, validation, training)
    means = {k: v["mean"] for k, v in rows.items()}
    assert means["lve/real"] == means["fdd/real"] == 0.0
    assert 0 < means["lve/near"] < means["lve/mean face"] < means["lve/neutral face"]
    assert means["lve/near"] < means["lve/shuffled recording"]
    assert rows["lve/real"]["n"] == 4  # windows of five seconds


def test_lag_of_a_shifted_curve() -> None:
    x = np.convolve(np.random.default_rng(0).standard_normal(200), np.hanning(9), "same")
    assert face.best_lag(x[:-2], x[2:]) == pytest.approx(2000 / 30, abs=5)
    assert face.best_lag(x, x) == pytest.approx(0, abs=1)


def test_errors_are_those_of_words_that_both_have() -> None:
    true = speech.Timed("a", np.zeros(0), "", (Word("So", 0.1, 0.2), Word("it's", 0.3, 0.4), Word("me", 0.5, 0.6)))
    found = Words((Word("so,", 0.15, 0.2), Word("um", 0.2, 0.3), Word("me", 0.48, 0.6)), 1.0, "network")
    name, errors, missed, by_network = speech._errors(true, found)
    assert name == "a" and errors == pytest.approx([50, 20]) and missed == pytest.approx(1 / 3) and by_network == 1
    mixed = Words(found.words, 1.0, "pocketsphinx, network for 2 of 3 words")
    assert speech._errors(true, mixed)[3] == pytest.approx(2 / 3)


PACKAGED = SimpleNamespace(source=resources.weights())


def test_recordings_are_needed(tmp_path: Path) -> None:
    suite = evaluation.load("word_times")
    with pytest.raises(UserError, match="aligned_speech_misc"):
        speech.evaluate_words(Run(suite, PACKAGED))
    (tmp_path / "aligned_speech_misc" / "mfa").mkdir(parents=True)
    with pytest.raises(UserError, match="aligned_speech_misc"):
        speech.evaluate_words(Run(suite, PACKAGED, tmp_path))
    soundfile.write(tmp_path / "aligned_speech_misc" / "mfa" / "a.wav", np.zeros(16_000), 16_000)
    (tmp_path / "aligned_speech_misc" / "mfa" / "a.TextGrid").write_text("nothing")
    with pytest.raises(UserError, match="no word times in it"):
        speech.evaluate_words(Run(suite, PACKAGED, tmp_path))


def test_one_real_recording(shared: Path, tmp_path: Path) -> None:
    inside = tmp_path / "aligned_speech_misc" / "librivox_pocketsphinx"
    inside.mkdir(parents=True)
    for path in (shared / "data" / "face" / "aligned_speech_misc" / "librivox_pocketsphinx").glob("*-0890.*"):
        (inside / path.name).write_bytes(path.read_bytes())
    results = speech.evaluate_words(Run(evaluation.load("word_times"), PACKAGED, tmp_path))["results"]
    assert results["onset/librivox_0890/network"]["mean"] < 40 and results["refused/own"]["mean"] == 0


NAMES = ("count_two", "count_four", "wave", "big")


@pytest.fixture(scope="module")
def strokes() -> list[Stroke]:
    return make_keyed_strokes(0, 1, NAMES)


def at_rest(stroke: Stroke, before: int) -> Motion:
    rest = np.repeat(stroke.rest_pose[None], before, 0)
    return motion_of(np.concatenate([rest, stroke.turns, np.repeat(stroke.rest_pose[None], 60, 0)]))


def test_gestures_are_told_from_one_another_when_they_are_made(strokes: list[Stroke]) -> None:
    shown = StrokeMatcher(GestureBank.of(strokes, strokes[0].rest_pose))
    for other in make_keyed_strokes(5, 1, NAMES):  # of other sizes, places and tempos
        when = (40 + other.emphasis) / 30
        assert shown.nearest(at_rest(other, 40), when + 0.2) == other.name


def test_a_gesture_that_is_over_is_not_seen(strokes: list[Stroke]) -> None:
    shown = StrokeMatcher(GestureBank.of(strokes, strokes[0].rest_pose))
    still = motion_of(np.repeat(strokes[0].rest_pose[None], 200, 0))
    two = next(s for s in strokes if s.name == "count_two")
    late = (40 + len(two.turns) + 30) / 30
    assert shown.nearest(at_rest(two, 40), late) == shown.nearest(still, late)


def test_what_guesses_are_worth(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(TABLE)
    table = read_classes(tmp_path / "classes.yaml")
    directions = {"never": (1.0, 0.0), "nowhere": (0.9, 0.1), "stone": (0.95, 0.0), "gigantic": (0.1, 0.9),
                  "table": (0.0, 1.0)}  # fmt: skip
    vectors = lambda texts: np.array([directions.get(t, (0.0, -1.0)) for t in texts])  # noqa: E731
    near = ClassGuesser(table, vectors, lambda word: None)
    rows = [("nowhere", "negation"), ("gigantic", "size"), ("stone", ""), ("table", "")]
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps({"word": w, "text": w, "class": c}) + "\n" for w, c in rows))
    found = guesses(path, near, table)
    assert [found[f"guess_{k}"]["mean"] for k in ("precision", "recall", "false")] == [0.5, 0.5, 0.5]
    path.write_text(json.dumps({"word": "never", "text": "never", "class": "negation"}))
    with pytest.raises(UserError, match="line 1: never, negation; accepted: a word that the table lacks"):
        guesses(path, near, table)


def test_the_lists_are_what_they_say() -> None:
    table = word_classes()
    for name in (SENTENCES, GUESSES):
        for line, row in json_rows(suites.folder() / name):
            said = [w.strip(MARKS).lower() for w in row["text"].split()]
            assert row["word"].lower() in said and row["class"] in (*table.classes, ""), (name, line)
    held = {row["word"] for _, row in json_rows(suites.folder() / GUESSES)}
    assert not {(w,) for w in held} & set(table.words) and len(held) > 100
