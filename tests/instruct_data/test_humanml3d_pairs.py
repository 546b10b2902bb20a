"""Which clips and captions of HumanML3D its protocol takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instruct_data.sources.humanml3d_pairs import parse_caption, read_pairs
from instruct_data.sources.report import Report
from vqvae.errors import UserError

LINE = "a person walks.#a/DET person/NOUN walk/VERB#0.0#0.0"


def write(folder: Path, clips: dict[str, int], texts: dict[str, list[str]] | None = None) -> Path:
    """Clips of so many frames; frame t of each is t in all channels."""
    for name in ("new_joint_vecs", "texts"):
        (folder / name).mkdir(parents=True)
    for name, frames in clips.items():
        np.save(folder / f"new_joint_vecs/{name}.npy", np.tile(np.arange(frames, dtype=np.float32)[:, None], (1, 263)))
        (folder / f"texts/{name}.txt").write_text("\n".join((texts or {}).get(name, [LINE])) + "\n")
    (folder / "test.txt").write_text("\n".join(clips) + "\n")
    return folder


def test_forty_to_199_frames(tmp_path: Path) -> None:
    report = Report()
    pairs = read_pairs(write(tmp_path, {"d": 39, "b": 199, "a": 40, "c": 200}), "test", report)
    assert [(p.id, len(p)) for p in pairs] == [("a", 40), ("b", 199)]
    assert report.read == 2 and [name for name, _ in report.skipped] == ["c", "d"]


def test_captions_of_parts_are_clips_of_their_own(tmp_path: Path) -> None:
    lines = [LINE, "he stops.#he/PRON stop/VERB#nan#nan", "he turns.#he/PRON turn/VERB#1.0#4.05",
             "too short.#too/ADV short/ADJ#1.0#2.0", "past the end.#past/ADP end/NOUN#3.0#100.0"]  # fmt: skip
    report = Report()
    pairs = read_pairs(write(tmp_path, {"a": 120}, {"a": lines}), "test", report)
    assert [(p.id, p.start, p.stop) for p in pairs] == [("a_2", 20, 81), ("a_4", 60, 120), ("a", 0, 120)]
    assert [c.text for c in pairs[2].captions] == ["a person walks.", "he stops."]
    assert pairs[2].captions[1].tokens == ("he/PRON", "stop/VERB")
    assert pairs[0].features()[:, 0].tolist() == list(range(20, 81))
    assert pairs[0].features(5, 10)[:, 7].tolist() == list(range(25, 35))
    assert report.notes == {"caption of a part that is not 40 to 199 frames": 1}


@pytest.mark.parametrize(
    ("line", "said"),
    [("a person walks.", "not caption#tokens"), ("x#x/NOUN#0.0#soon", "could not convert"),
     ("x##0.0#0.0", "not word/TAG"), ("x#x y#0.0#0.0", "not word/TAG"), ("x#x/NOUN#3.0#1.0", "before its start")],
)  # fmt: skip
def test_lines_of_another_form(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_caption(line)


def test_damage_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path, {"a": 50, "b": 50, "c": 50, "d": 50, "e": 50}, {"e": ["nothing of it"]})
    np.save(tmp_path / "new_joint_vecs/b.npy", np.full((50, 263), np.nan, np.float32))
    np.save(tmp_path / "new_joint_vecs/c.npy", np.zeros((50, 251), np.float32))
    (tmp_path / "texts/d.txt").unlink()
    report = Report()
    assert [p.id for p in read_pairs(tmp_path, "test", report)] == ["a"]
    assert [name for name, _ in report.skipped] == ["b", "c", "d"] and sum(report.notes.values()) == 1
    assert any("not finite" in line for line in report.reasons())


def test_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; accepted: a HumanML3D folder"):
        read_pairs(tmp_path)
    write(tmp_path, {"a": 10})
    for split, said in (("test", "none of its 1 clips takes part .*not 40 to 199"), ("val", "no such file"),
                        ("most", "accepted train")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            read_pairs(tmp_path, split)
