"""Packs of named animations: names, captions in three forms, what is left out, loops, the floor; and our captions."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instruct_data.sources.corpus import Report
from instruct_data.sources.packs import CAPTION_FOLDER, Captions, repeat_loop
from instruct_data.sources.registry import read_corpus
from instruct_data.store import Store
from instruct_data.text.english import mirror_text, side_of
from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, bvh_text, motion
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.ground import settle_motion, without_penetration
from vqvae.motion import Motion

UNREAL = CONVENTIONS["unreal"]
CSV = 'animation,caption\nWalk,a person walks\nwalk,"someone strolls, slowly"\nsub/kick,a person kicks\n'


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    GltfFile({"Walk": as_rig(motion(), UNREAL), "Big Wave": as_rig(motion(30, 2), UNREAL)}).save(tmp_path / "all.glb")
    (tmp_path / "sub" / "Kick.bvh").write_text(bvh_text(as_rig(motion(20, 1), UNREAL)))
    return tmp_path


def test_captions_by_name(pack: Path) -> None:
    (pack / "captions.csv").write_text(CSV, encoding="utf-8")
    report = Report()
    clips = {c.id: c for c in read_corpus("pack", pack, report, source="mine", licence="ours")}
    assert list(clips) == ["all/Walk", "all/Big Wave", "sub/Kick"] and report.read == 3 and not report.notes
    assert clips["all/Walk"].captions == ["a person walks", "someone strolls, slowly"]
    assert clips["sub/Kick"].captions == ["a person kicks"] and clips["all/Big Wave"].captions == []
    assert {(c.source, c.licence, c.split) for c in clips.values()} == {("mine", "ours", "train")}
    assert clips["all/Big Wave"].action == "mine_big_wave"
    for clip in clips.values():
        got = clip.load()
        assert got.fps == 20 and got.modality == "body" and abs(got.heading[0]) < 1e-3
        assert np.abs(got.root[0, [0, 2]]).max() < 1e-4
    assert Store.write(clips.values(), pack / "store").manifest["captions"] == 3


def test_rows_and_yaml_say_the_same(pack: Path) -> None:
    rows = [{"animation": "ALL/walk", "captions": ["a person walks"]}, {"animation": "gone", "captions": ["x"]}]
    (pack / "words.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = Report()
    first = next(read_corpus("pack", pack / "all.glb", report, captions=pack / "words.jsonl"))
    assert (first.id, first.captions) == ("all/Walk", ["a person walks"])
    list(read_corpus("pack", pack, report, captions=pack / "words.jsonl"))
    assert report.notes == {f"captions of no animation in {pack}, as gone": 1}
    out, kinds = "left_out: {big_wave: too high}", "kinds: {gaits: [walk]}"
    words = f"clips: {{walk: [a person walks]}}\n{out}\n{kinds}\nloops: [walk]"
    (pack / "captions.yaml").write_text(words)
    report = Report()
    clips = {c.id: c for c in read_corpus("pack", pack, report)}
    assert list(clips) == ["all/Walk", "sub/Kick"] and ("all/Big Wave", "left out: too high") in report.skipped
    assert clips["all/Walk"].action == "pack_gaits" and clips["all/Walk"].load().seconds >= 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "name,caption\nWalk,x\n", "the columns name, caption"),
        ("a.csv", "animation,caption\nWalk,\n", "line 2: needs an animation and captions"),
        ("a.jsonl", '{"animation": "Walk", "captions": "x"}', "line 1: captions that are no list"),
        ("a.jsonl", '{"captions": ["x"]}', "no 'animation'"),
        ("a.yaml", "words: {}", "needs clips, left_out, kinds or loops"),
        ("a.yaml", "clips: {walk: x}", "clips: walk: 'x'; accepted a list"),
        ("a.yaml", "clips: {Walk: [x]}\nleft_out: {walk: y}", "walk has captions and is left out"),
        ("a.txt", "x", "captions as .txt; accepted .csv, .jsonl, .yaml"),
    ],
)
def test_malformed_captions(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message) as e:
        Captions.load(tmp_path / name)
    assert str(tmp_path / name) in str(e.value) and "\n" not in str(e.value)


def test_bad_files_are_skipped(pack: Path) -> None:
    (pack / "bad.glb").write_bytes(b"glTF")
    report = Report()
    assert len(list(read_corpus("pack", pack, report))) == 3 and [name for name, _ in report.skipped] == ["bad"]


def test_clips_held_out_are_always_the_same(pack: Path) -> None:
    path = GltfFile({f"Move {k}": as_rig(motion(4, k), UNREAL) for k in range(60)}).save(pack / "many.glb")
    splits = [[c.split for c in read_corpus("pack", path, Report(), split=None)] for _ in range(2)]
    assert splits[0] == splits[1] and 0 < splits[0].count("val") < 15


def test_loops_go_on() -> None:
    """Poses come back, and the way goes on from where it was."""
    turn = np.sin(np.linspace(0, 2 * np.pi, 21))
    rotations = rot.identity((21, 22))
    rotations[:, 16] = rot.from_axis_angle(turn[:, None] * [0, 0, 0.5])
    root = np.linspace(0, 1, 21)[:, None] * [0, 0, 1.0] + [0, 0.95, 0]
    long = repeat_loop(Motion(rotations, root, 20.0), 3.5)
    assert len(long) == 81 and np.abs(long.rotations[60] - long.rotations[20]).max() < 0.02
    assert long.root[-1, 2] == pytest.approx(4, abs=0.06) and np.abs(np.diff(long.root[:, 2]) - 0.05).max() < 0.01


def test_settled() -> None:
    """What hovers is lowered, a fall into the floor is lifted where it sinks and nowhere else."""
    still = Motion(rot.identity((40, 22)), np.repeat([[0, 0.95, 0.0]], 40, 0), 20.0)
    low = float(still.joints[0, :, 1].min())
    hovering = replace(still, root=still.root + np.array([0, 0.3, 0], np.float32))
    assert np.abs(settle_motion(hovering).joints[..., 1].min(1)).max() < 1e-5
    lying = still.rotations.copy()
    lying[20:, 0] = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))
    root = still.root - np.array([0, low, 0], np.float32)
    root[20:, 1] = -0.15
    fallen = settle_motion(Motion(lying, root, 20.0))
    assert np.abs(fallen.joints[:10, :, 1].min(1)).max() < 1e-5 and fallen.joints[25:, :, 1].min() > -0.031
    assert without_penetration(still) is still


@pytest.mark.parametrize("name", ["cc0_actions.yaml", "smartbody.yaml"])
def test_our_captions_can_be_mirrored(name: str) -> None:
    by_name = Captions.load(CAPTION_FOLDER / name)
    texts = [(clip, text) for clip, captions in by_name.clips.items() for text in captions]
    assert set(by_name.kinds) == set(by_name.clips) and set(by_name.loops) <= set(by_name.clips)
    assert len(by_name.clips) > 70 and len({t for _, t in texts}) > 0.6 * len(texts)
    for clip, text in texts:
        assert 4 <= len(by_name.clips[clip]) <= 8 and text == text.strip() and text[0].islower()
        mirrored = mirror_text(text)
        assert mirror_text(mirrored) == text
        sided = any(word in text.split() for word in ("left", "right"))
        assert (mirrored != text) >= (sided and side_of(text) != "both"), text


def test_real_packs(shared: Path) -> None:
    """Every clip is captioned or left out with a reason, on the floor, and none of either is of no clip."""

    def check(clips: Iterator, report: Report, count: int, licence: str) -> None:
        read = list(clips)
        assert len(read) == count and all(len(c.captions) >= 4 and c.licence.startswith(licence) for c in read)
        assert not report.notes and all("left out: " in why for _, why in report.skipped)
        for clip in read[::8]:
            lowest = clip.load().joints[..., 1].min(1)
            assert lowest.min() > -0.04 and np.percentile(lowest, 20) < 0.12, clip.id

    report = Report()
    check(read_corpus("cc0-actions", shared / "data" / "cc0_actions", report), report, 211, "CC0")
    assert len(report.skipped) == 25
    report = Report()
    folder = shared / "data" / "gesture" / "smartbody"
    check(read_corpus("smartbody-actions", folder, report), report, 76, "LGPL")
