"""Scores of faces as rows and words, and instructions composed of them."""

import json
import lzma
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt.cli import face as face_command
from avatargpt.metrics.face import emotions_shown
from avatargpt.metrics.face_events import check_score
from instruct_data.face import emotions as aus
from instruct_data.face.actions import action_names, actions, load_fitted
from instruct_data.face.emotions import emotion_names, prototypes
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score, mirror_action, mirror_words, parse_score, read_instructions
from instruct_data.factory.face.compose import (
    by_clock,
    by_spans,
    compose_scores,
    draw_held_action,
    draw_timed_instructions,
    list_named,
    phrases,
    side_after_side,
    so_long_each,
)
from scripts import fit_faces
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

ROW = {
    "text": "Wink with the left eye, then look happy.", "kind": "both", "length": 4.0,
    "events": [{"action": "wink_left", "start": 0.3, "duration": 0.5, "intensity": 0.7, "repeat": 1}],
    "emotion": [{"name": "happy", "intensity": 0.7, "start": 1.0, "end": 4.0}],
}  # fmt: skip


def test_a_row_comes_back_as_it_was() -> None:
    score = parse_score(ROW)
    assert score.to_json() == ROW and score.kind == "both" and score.sided
    assert score.events[0].end == pytest.approx(0.8)
    half, triple = score.scale(0.5), score.scale(3)
    assert half.events[0].intensity == pytest.approx(0.35) and triple.emotions[0].intensity == 1.0


def test_mirrored_scores_swap_actions_and_words() -> None:
    mirrored = parse_score(ROW).mirror()
    assert mirrored.events[0].action == "wink_right" and "right eye" in mirrored.text
    assert mirrored.mirror() == parse_score(ROW)
    assert mirror_action("raise_left_brow") == "raise_right_brow" and mirror_action("smile") == "smile"


SMILE: dict[str, Any] = {"action": "smile", "start": 0, "duration": 1}
HAPPY: dict[str, Any] = {"name": "happy", "intensity": 1, "start": 0, "end": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [({"length": 0}, "length"), ({"length": "long"}, "not a score"), ({"events": [{"action": "smile"}]}, "not a score"),
     ({"events": [SMILE | {"action": "smlie"}]}, "did you mean 'smile'"),
     ({"events": [SMILE | {"start": 9}]}, "inside"),
     ({"events": [SMILE | {"intensity": 2}]}, "intensity"), ({"events": [SMILE | {"repeat": 0}]}, "times"),
     ({"events": [SMILE | {"repeat": 2.7}]}, "2.7; accepted whole numbers"),
     ({"events": [SMILE | {"repeat": float("inf")}]}, "not a score"),
     ({"events": [SMILE | {"rise": 2}]}, "accepted 0 to 1"),
     ({"emotion": [HAPPY | {"name": "hapy"}]}, "did you mean 'happy'"),
     ({"emotion": [HAPPY | {"start": 2}]}, "before its end"),
     ({"emotion": [HAPPY | {"start": 10, "end": 12}]}, "10.0 to 12.0 s in 4.0 s"),
     *(({"emotion": [HAPPY | {"to": to}]}, "intensity|not a score") for to in (0.0, 1.5, "much"))],
)  # fmt: skip
def test_bad_scores(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_score(ROW | change)


def test_reading_a_corpus(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(ROW) + "\n\n" + json.dumps(ROW) + "\n")
    items = list(read_instructions(tmp_path))
    assert [(i.id, i.split) for i in items][2:] == [("val_00001", "val"), ("val_00003", "val")]
    (tmp_path / "of.mine.jsonl.xz").write_bytes(lzma.compress((tmp_path / "val.jsonl").read_bytes()))
    packed = next(read_instructions(tmp_path / "of.mine.jsonl.xz"))
    assert (packed.id, packed.split) == ("of.mine_00001", "of.mine")
    (tmp_path / "bad.jsonl").write_text("{}\n{")
    for name, message in (("bad.jsonl", "bad.jsonl: line 1"), ("none.jsonl", "none.jsonl")):
        with pytest.raises(UserError, match=message):
            list(read_instructions(tmp_path / name))


def test_tables_are_whole() -> None:
    assert len(action_names()) == 56 and len(emotion_names()) == 20
    assert all(a.hold.any() or a.keys or a.form in ("close", "neutral") for a in actions().values())
    assert all(p.pose.any() for n, p in prototypes().items() if n != "neutral")
    assert load_fitted()["takes"] >= 10 and 0.05 < load_fitted()["blinks"]["closing_seconds"][1] < 0.2


def test_units_are_written_and_read_back() -> None:
    pose = aus.targets("6D 12E 25E L14C 51B")
    assert pose[arkit.INDEX["mouthSmileLeft"]] == pytest.approx(0.88)
    assert pose[arkit.INDEX["mouthDimpleLeft"]] > 0 and pose[arkit.INDEX["mouthDimpleRight"]] == 0
    assert np.degrees(pose[arkit.COUNT]) == pytest.approx(12)
    face = FaceMotion(np.tile(pose[: arkit.COUNT], (3, 1)), np.tile(pose[arkit.COUNT :], (3, 1)))
    seen = aus.read_units(face)
    assert seen[12][0] == pytest.approx(1) and seen[6][0] == pytest.approx(0.8, abs=1e-6)
    assert seen[14][0] == pytest.approx(0.3, abs=1e-6)  # one side: half
    assert seen[51][0] == pytest.approx(0.4, abs=1e-6) and seen[52][0] == 0
    assert seen[25][0] > 0.5 and seen[26][0] == 0 and seen[4][0] == 0


def test_lines_of_json_end_at_line_feeds_alone(tmp_path: Path) -> None:
    lines = ['{"text": "nod\u2028twice", "length": 2}', '{"text": "b", "length": 2}', ""]
    (tmp_path / "a.jsonl").write_text("\r\n".join(lines), "utf-8")
    assert [row.score.text for row in read_instructions(tmp_path / "a.jsonl")] == ["nod\u2028twice", "b"]


def test_fitting_a_folder_without_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["fit_faces", str(tmp_path), "-o", str(tmp_path / "x.yaml")])
    assert fit_faces.main() == 2 and "no Live Link take" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_jaw_units_exclude_each_other() -> None:
    for opening, unit in ((0.08, 25), (0.4, 26), (0.9, 27)):
        weights = np.zeros((2, 52))
        weights[:, arkit.INDEX["jawOpen"]] = opening
        seen = aus.read_units(FaceMotion(weights, np.zeros((2, 3))))
        assert [n for n in (25, 26, 27) if seen[n][0] > 0] == [unit]


@pytest.mark.parametrize("text", ["", "12F", "99A", "Lx", "LL12", "²"])
def test_bad_units(text: str) -> None:
    with pytest.raises(UserError, match="action unit"):
        aus.parse_unit(text)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [("Wink with your left eye.", "Wink with your right eye."),
     ("Turn slowly right until noon.", "Turn slowly left until noon."),
     ("L12D, then head L; R&B stays", "R12D, then head R; R&B stays"), ("John L. winks right", "John L. winks left"),
     ("AU61 then AU62, AU4.", "AU62 then AU61, AU4."), ("Squint with what is left of your left eye.", None)],
)  # fmt: skip
def test_mirrored_words(text: str, mirrored: str | None) -> None:
    assert mirror_words(text) == (mirrored or "Squint with what is left of your right eye.")


def test_changing_feelings_and_rising_events_as_rows_and_words() -> None:
    feelings = (Emotion("happy", 0.2, 0.0, 3.0, 0.9), Emotion("sad", 0.5, 3.0, 4.0))
    score = Score(4.0, (Event("smile", 0.0, 3.0, 0.7, 1, 0.5), Event("nod", 1.0, 1.0)), feelings, "x")
    row = score.to_json()
    assert row["emotion"] == [{"name": "happy", "intensity": 0.2, "start": 0.0, "end": 3.0, "to": 0.9},
                              {"name": "sad", "intensity": 0.5, "start": 3.0, "end": 4.0}]  # fmt: skip
    assert row["events"][0]["rise"] == 0.5 and "rise" not in row["events"][1] and parse_score(row) == score
    assert face_command.score_summary(score) == (
        "smile 0-3 s slowly, nod 1-2 s; happy 0-3 s from 0.20 to 0.90, sad 3-4 s at 0.50; 4 s"
    )
    assert score.scale(0.5).emotions[0].to == 0.45


DRAWN = compose_scores(300, seed=2)


def test_the_phrases_cover_actions_and_emotions() -> None:
    table = phrases()
    actions = set(table["actions"])
    assert actions | {mirror_action(a) for a in actions} == set(action_names())
    assert set(table["emotions"]) == set(emotion_names())
    for name, entry in table["actions"].items():
        assert len(entry["say"]) >= 2, name
        assert ("left" in name) == all("left" in s for s in entry["say"]), name


def test_drawn_scores_are_different_and_reproducible() -> None:
    assert compose_scores(300, seed=2) == DRAWN != compose_scores(300, seed=3)
    texts = [s.text.lower() for s in DRAWN]
    assert len(set(texts)) == 300
    assert texts[0] not in {s.text.lower() for s in compose_scores(300, seed=2, avoid=[DRAWN[0].text])}
    kinds = {s.kind for s in DRAWN}
    assert kinds == {"motion", "emotion", "both"}


def test_words_and_scores_agree() -> None:
    table = phrases()
    counts = {"twice": 2, "two times": 2, "three times": 3, "thrice": 3, "four times": 4, "five times": 5}
    for score in DRAWN:
        text = score.text.lower()
        counted = sorted(n for w, n in counts.items() for _ in re.findall(rf"\b{w}\b", text))
        assert counted == sorted(e.repeat for e in score.events if e.repeat > 1), score
        sides = sorted(re.findall(r"\b(left|right)\b", text))
        expected = sorted(s for e in score.events for s in ("left", "right") if s in e.action.split("_"))
        assert sides == expected, score
        words_of = [*table["emotions"].items(), *table["become"].items()]
        feelings = [n for n, words in words_of for w in words if re.search(rf"(?<!-)\b{w}\b", text)]
        shown = {f.name for f in score.emotions}  # "neutral" is also what a face returns to
        assert set(feelings) - {"neutral"} == shown - {"neutral"}, score
        assert all(e.end <= score.length for e in score.events)
        assert score.text[0].isupper() and score.text.endswith(".") and "{" not in score.text


def test_drawn_instructions_can_be_done() -> None:
    clips = [render(s, i) for i, s in enumerate(DRAWN[:120])]
    assert np.mean([x.passed for c, s in zip(clips, DRAWN, strict=False) for x in check_score(c, s)]) >= 0.99
    shown = [x for c, s in zip(clips, DRAWN, strict=False) for x in emotions_shown(c, s)]
    assert len(shown) > 10 and np.mean(shown) >= 0.95


def test_every_name_has_every_degree() -> None:
    scores = {s.text: s for s in list_named()}
    for action in action_names():
        assert [e.action for e in scores[action.replace("_", " ")].events] == [action]
    steps = [scores[t].events[0].intensity for t in ("look up head slightly", "look up head", "look up head extremely")]
    assert steps == sorted(set(steps))
    assert scores["very sad"].emotions[0].intensity < scores["utterly sad"].emotions[0].intensity
    assert "slightly neutral" not in scores and "close mouth slightly" not in scores


def test_timed_instructions_say_their_times() -> None:
    scores = draw_timed_instructions(200, 1, ["Wink left, right."])
    assert len({s.text.lower() for s in scores}) == 200 and all(s.events and s.length <= 12 for s in scores)
    assert scores[:20] == draw_timed_instructions(20, 1, ["Wink left, right."])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        text, events = by_clock(rng)
        assert all(f"{e.start:g}" in text or e.start == int(e.start) for e in events), text
        text, events = by_spans(rng)
        assert all(a.end <= b.start + 1e-6 or b.end <= a.end for a, b in zip(events, events[1:], strict=False)), text
        text, events = draw_held_action(rng)
        assert events[0].end > max(e.end for e in events[1:]) and "{" not in text
        _, events = so_long_each(rng)
        assert len({e.duration for e in events}) == 1
        text, events = side_after_side(rng)
        assert "left" in text or "right" in text
        assert all(e.action.endswith(("left", "right", "brow")) for e in events)
