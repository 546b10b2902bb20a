"""What every command writes, prints and passes on."""

import io
import json
import re
import resource
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt import __version__, export
from avatargpt.body.loops import on_treadmill
from avatargpt.cli.app import COMMANDS
from avatargpt.cli.common import progress
from avatargpt.cli.generate import request_lines
from avatargpt.options import UnheededText
from avatargpt.verbs.controls import Controls, read_pin
from avatargpt.verbs.describe import request_row
from instruct_data.requests.spec import Clause, MotionRequest
from tests.cli.conftest import walk
from tests.factories import write_character
from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig
from tests.vqvae.rigs import motion as rig_motion
from vqvae.face import FaceMotion
from vqvae.io.bvh import read_bvh_rig
from vqvae.io.gltf import read_gltf
from vqvae.io.gltf_rigs import read_rig
from vqvae.motion import Motion
from vqvae.rig import joint_map, world

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "numpy", "rich", "scipy")


def test_generate_writes_one_file_and_prints_its_path(cli, fake, tmp_path):
    out = tmp_path / "a.npz"
    r = cli("generate", "  a  person walks ", "--seconds", 3, "--seed", 4, "--guidance", 2, "--best-of", 5, "-o", out)
    assert (r.code, r.lines, r.err) == (0, [str(out)], "read as: a person walks\n")
    motion = Motion.load(out)
    assert len(motion) == 60 and motion.caption == "a person walks"
    assert fake.calls == [
        ("generate", {"texts": ["a person walks"], "seconds": 3.0, "seed": 4, "num": 1, "guidance": 2.0, "best_of": 5,
                      "temperature": 0.8, "literal": False})
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".bvh", ".vrm"])
def test_the_ground_of_a_character_moves_as_its_file_has_it(cli, fake, tmp_path, monkeypatch, suffix):
    """As fast as the same walk goes on the character where its way is not taken out."""
    away = walk(2.0)
    there, notes = on_treadmill(away, [(0, len(away))])

    def generate(self, texts, *_):
        warnings.warn(notes[0], UnheededText, stacklevel=2)
        return [replace(there, notes=("another note", *notes))]

    monkeypatch.setattr(fake, "generate", generate)
    hero = write_character(tmp_path / f"hero{suffix}")
    ran = cli("generate", "walk", "--character", hero, "-o", tmp_path / f"out{suffix}", "--json")
    unit = "units of hero.bvh" if suffix == ".bvh" else "metres"
    other, note = json.loads(ran.out)["results"][0]["notes"]
    assert other == "another note" and note.endswith(f"{unit} a second") and f"warning: {note}" in ran.err
    file = export.save(away, tmp_path / f"away{suffix}", character=hero)
    gltf = None if suffix == ".bvh" else read_gltf(file)
    rig = read_bvh_rig(file) if gltf is None else read_rig(gltf, file, gltf.animations[-1].name)
    place = world(rig)[0][:, joint_map(rig)["pelvis"]]
    goes = (place[-1] - place[0]) * rig.fps / (len(place) - 1)
    x, z = (float(note.split(f"{axis} ")[1].split()[0].rstrip(",")) for axis in "xz")
    np.testing.assert_allclose([x, z], -goes[[0, 2]], rtol=0.02, atol=0.02)


def test_every_motion_may_go_on_a_character(cli, fake, clip, tmp_path):
    hero = write_character(tmp_path / "hero.vrm")
    on = ("--character", hero, "--root", "ground", "-o", tmp_path / "out.vrm")
    for command in (("generate", "a person walks"), ("extend", clip, "--seconds", 1), ("reconstruct", clip),
                    ("inbetween", clip, clip, "--seconds", 1)):  # fmt: skip
        ran = cli(*command, *on)
        assert ran.code == 0 and str(tmp_path / "out.vrm") in ran.lines, ran.err
        assert len(read_gltf(tmp_path / "out.vrm").animations) == 2
        (tmp_path / "out.vrm").unlink()
    assert cli("export", clip, tmp_path / "out.glb", *on[:4]).lines == [str(tmp_path / "out.glb")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.npz", "--character", "hero.vrm"], "a.npz: the character is a .vrm; accepted output as .vrm or .glb"),
        (["-o", "hero.vrm", "--character", "hero.vrm"], "hero.vrm: input and output are the same file"),
        (["-o", "a.glb", "--root", "ground"], "--root ground: accepted with --character FILE"),
        (["-o", "a.vrm", "--character", "hero.vrm", "--root", "feet"], "root 'feet'; accepted hips, ground"),
        (["-o", "a.vrm", "--character", "none.vrm"], "none.vrm: no such file"),
    ],
)
def test_characters_are_refused_before_any_work(cli, fake, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    write_character(Path("hero.vrm"))
    ran = cli("generate", "a person walks", *options)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1 and not fake.loads


def test_same_seed_same_bytes(cli, fake, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("generate", "a person walks", "--seed", seed, "-o", tmp_path / f"{name}.npz").code == 0
    a, b, c = (Motion.load(tmp_path / f"{n}.npz").joints for n in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_a_file_of_texts_is_one_batch_with_one_load(cli, fake, tmp_path):
    (tmp_path / "p.txt").write_text("a person waves\n\na person runs\n", encoding="utf-8")
    r = cli("generate", f"@{tmp_path}/p.txt", "-o", tmp_path / "many.npz")
    assert r.code == 0 and r.lines == [str(tmp_path / "many" / f"0{i}.npz") for i in range(2)]
    assert [Motion.load(p).caption for p in r.lines] == ["a person waves", "a person runs"]
    assert len(fake.loads) == 1 and fake.calls[0][1]["texts"] == ["a person waves", "a person runs"]
    assert not (tmp_path / "many.npz").exists()


def test_several_results_per_text_are_numbered_in_order(cli, fake, tmp_path):
    r = cli("generate", "a person walks", "-n", 3, "-o", tmp_path / "x.npz", "--json")
    results = json.loads(r.out)["results"]
    assert [e["files"] for e in results] == [[str(tmp_path / "x" / f"0{i}.npz")] for i in range(3)]
    speeds = [np.diff(Motion.load(e["files"][0]).root[:2, 2])[0] for e in results]
    assert speeds == sorted(speeds) and speeds[0] < speeds[2]
    del results[0]["files"]
    read = ["a person walks"]
    assert results[0] == {"text": "a person walks", "seconds": 2.0, "frames": 40, "fps": 20.0, "read_as": read,
                          "known": True}  # fmt: skip


def test_generate_tells_how_texts_were_read(cli, fake, tmp_path):
    out = tmp_path / "a.npz"
    (tmp_path / "p.txt").write_text("a person waves\nshe strolls, then waves\n", encoding="utf-8")
    r = cli("generate", "she strolls, then waves", "-n", 2, "--json", "-o", out)
    assert r.err == "read as: she walks, then waves\n"
    assert [e["read_as"] for e in json.loads(r.out)["results"]] == [["she walks", "waves"]] * 2
    r = cli("generate", f"@{tmp_path}/p.txt", "-o", out)
    assert r.err.splitlines()[1] == "read 'she strolls, then waves' as: she walks, then waves"
    for option in ("--quiet", "--literal"):
        assert cli("generate", "she strolls", option, "-o", out).err == ""


def test_files_of_an_earlier_batch_do_not_stay_among_new_ones(cli, fake, tmp_path):
    out = tmp_path / "c.npz"
    assert cli("generate", "a person walks", "-n", 3, "-o", out).code == 0
    (tmp_path / "c" / "02.bvh").write_text("mine")
    (tmp_path / "c" / "notes.npz").write_text("mine")
    r = cli("generate", "a person walks", "-n", 2, "-o", out)
    assert r.code == 2 and r.err.count("\n") == 1 and "1 of an earlier batch" in r.err and "02.npz" in r.err
    assert len(fake.calls) == 1
    assert cli("generate", "a person walks", "-n", 3, "-o", out).code == 0, "the same again replaces all"
    assert cli("generate", "a person walks", "-n", 4, "-o", out).code == 0
    assert cli("generate", "a person walks", "-n", 100, "-o", out).code == 0
    (tmp_path / "p.txt").write_text("a person waves\n" * 101, encoding="utf-8")
    r = cli("generate", f"@{tmp_path}/p.txt", "-o", out)
    assert r.code == 2 and "100 of an earlier batch" in r.err, "00.npz beside 000.npz"


def test_several_formats_from_one_generation(cli, fake, tmp_path):
    names = ["m.glb", "m.bvh", "m.npz", "m.png"]
    r = cli("generate", "a person walks", "--seconds", 1, *(x for n in names for x in ("-o", tmp_path / n)))
    assert r.code == 0 and r.lines == [str(tmp_path / n) for n in names] and len(fake.calls) == 1
    heads = [(tmp_path / n).read_bytes()[:9] for n in names]
    assert heads[0][:4] == b"glTF" and heads[1] == b"HIERARCHY" and heads[2][:2] == b"PK" and heads[3][1:4] == b"PNG"


def test_a_contact_sheet_holds_all_results(cli, fake, tmp_path):
    from PIL import Image

    for name, count in (("one", 1), ("three", 3)):
        assert cli("generate", "a person walks", "--seconds", 1, "-n", count, "-o", tmp_path / f"{name}.png").code == 0
    single, three = (Image.open(tmp_path / f"{n}.png").size for n in ("one", "three"))
    assert three[0] * three[1] > 2 * single[0] * single[1]
    assert not (tmp_path / "three").exists()


def test_describe(cli, fake, clip):
    assert cli("describe", clip).lines == ["a person walks 40 frames, version 0"]
    assert cli("describe", clip, "-n", 2).lines == [f"a person walks 40 frames, version {i}" for i in range(2)]
    assert cli("describe", clip, clip).lines == [f"{clip}\ta person walks 40 frames, version 0"] * 2
    rows = json.loads(cli("describe", clip, "-n", 2, "--json").out)["results"]
    assert rows == [{"file": str(clip), "descriptions": [f"a person walks 40 frames, version {i}" for i in range(2)]}]


def test_inbetween_passes_both_clips(cli, fake, clip, tmp_path):
    out = tmp_path / "m.npz"
    r = cli("inbetween", clip, clip, "--seconds", 1.5, "--text", "turns", "--seed", 3, "-o", out)
    assert r.code == 0 and len(Motion.load(out)) == 40 + 30 + 40
    assert fake.calls == [("in_between", {"text": "turns", "seed": 3, "best_of": None})]


def test_inbetween_tells_what_its_maker_noted(cli, fake, clip, tmp_path, monkeypatch):
    in_between, plain = fake.in_between, ("inbetween", clip, clip, "--seconds", 1, "-o", tmp_path / "m.npz")
    assert "notes" not in json.loads(cli(*plain, "--json").out)["results"][0]
    monkeypatch.setattr(fake, "in_between", lambda *a, **k: replace(in_between(*a, **k), notes=("it is interpolated",)))
    r = cli(*plain, "--json")
    assert r.code == 0 and json.loads(r.out)["results"][0]["notes"] == ["it is interpolated"]


def test_candidates_of_bodies_and_faces(cli, fake, clip, tmp_path):
    face = FaceMotion(np.zeros((30, 52)), np.zeros((30, 3))).save(tmp_path / "face.npz")
    out = tmp_path / "m.npz"
    for best_of in ((), ("--best-of", 3)):
        for file in (clip, face):
            assert cli("inbetween", file, file, "--seconds", 1, *best_of, "-o", out).code == 0
        assert cli("describe", clip, *best_of).code == 0
    calls = [(name, options["best_of"]) for name, options in fake.calls]
    assert calls == [("in_between", None), ("face_in_between", None), ("describe", None),
                     ("in_between", 3), ("face_in_between", 3), ("describe", 3)]  # fmt: skip


def test_extend_takes_a_batch_of_texts(cli, fake, clip, tmp_path):
    (tmp_path / "t.txt").write_text("sits\njumps\n", encoding="utf-8")
    r = cli("extend", clip, "--seconds", 1, "--text", f"@{tmp_path}/t.txt", "-o", tmp_path / "e.npz")
    assert [Motion.load(p).caption for p in r.lines] == ["sits", "jumps"]
    assert len(fake.loads) == 1 and all(len(Motion.load(p)) == 60 for p in r.lines)
    assert cli("extend", clip, "--seconds", 1, "-o", tmp_path / "e.npz").lines == [str(tmp_path / "e.npz")]


def test_words_that_hardly_show_are_told(cli, fake, clip, tmp_path):
    r = cli("extend", clip, "--seconds", 1, "--text", "plays the harp", "-o", tmp_path / "h.npz")
    assert r.code == 0 and r.err.splitlines()[-1] == "warning: 'plays the harp' hardly shows", r.err


def test_notes_say_what_is_changed(cli, fake, clip, tmp_path):
    motion = Motion.load(clip)
    stage = replace(motion.resampled(60), root=motion.resampled(60).root + np.float32([0, 2.5, 0]))
    file, out = stage.save(tmp_path / "stage.npz"), tmp_path / "o.npz"
    rate = f"note: {file}: 60 frames a second; the result has 20\n"
    floor = f"note: {file}: the floor is taken to be at y = 2.4"
    for command, count, rates in ((("describe", file), 1, ""), (("reconstruct", file, "-o", out), 1, ""),
                                  (("extend", file, "--seconds", 1, "-o", out), 1, rate),
                                  (("inbetween", clip, file, "--seconds", 1, "-o", out), 1, rate),
                                  (("describe", clip), 0, ""), (("extend", clip, "--seconds", 1, "-o", out), 0, "")):
        r = cli(*command)
        assert r.code == 0 and r.err.startswith(rates) and r.err.count(floor) == count, command
        assert r.err.count("note:") == count + bool(rates), command


def test_reconstruct_prints_millimetres(cli, fake, clip, tmp_path):
    out = tmp_path / "r.npz"
    assert cli("reconstruct", clip, "-o", out).lines == ["mpjpe: 21.2 mm", "drift: 40.0 mm", "tokens: 10", str(out)]
    figures = json.loads(cli("reconstruct", clip, "-o", out, "--json").out)
    assert figures["mpjpe_mm"] == 21.25 and figures["files"] == [str(out)]


def test_export_needs_no_model(cli, fake, clip, tmp_path):
    assert cli("export", clip, tmp_path / "a.bvh", tmp_path / "slow.npz", "--fps", 10).code == 0
    assert cli("export", tmp_path / "a.bvh", tmp_path / "b.npz").code == 0
    back, slow = Motion.load(tmp_path / "b.npz"), Motion.load(tmp_path / "slow.npz")
    assert len(slow) == 20 and slow.fps == 10 and np.abs(back.joints - slow.joints).max() < 2e-3
    assert fake.loads == []


def test_what_a_file_does_not_say_is_told(cli, fake, clip, tmp_path):
    smpl, positions, out = tmp_path / "smpl.npz", tmp_path / "p.npy", tmp_path / "o.npz"
    assert cli("export", clip, smpl, "--layout", "smplx").code == 0
    assert cli("export", smpl, out).code == 0 and Motion.load(out).joints[0, 15, 1] > 1.4
    assert cli("export", smpl, out, "--up", "y").code == 0 and Motion.load(out).joints[0, 15, 1] < 0.5  # lies down
    assert cli("export", clip, positions, "--layout", "pos7", "--fps", 60).code == 0
    assert cli("export", positions, out, "--from-fps", 60).code == 0 and Motion.load(out).seconds == 2
    assert cli("describe", positions, "--from-fps", 60).code == 0


def test_axis_and_unit_of_positions(cli, fake, clip, tmp_path):
    joints, source, out = Motion.load(clip).joints, tmp_path / "cm.npy", tmp_path / "o.npz"
    np.save(source, joints[..., [0, 2, 1]] * [100, -100, 100] + [300, 300, 0])
    ran = cli("export", source, out)
    assert ran.code == 0 and "cm.npy: positions are in cm" in ran.err and "cm.npy: up is Z" in ran.err
    taken = Motion.load(out).joints
    assert np.abs(taken[..., 1] - joints[..., 1]).max() < 2e-3
    ran = cli("export", source, out, "--up", "z", "--unit", "cm")
    assert ran.code == 0 and "up is" not in ran.err and np.array_equal(Motion.load(out).joints, taken)
    ran = cli("export", source, out, "--map", clip)
    assert ran.code == 2 and "--map goes with .amc" in ran.err


def test_a_face_that_does_not_say_its_rate(cli, tmp_path):
    silent, rated, out = tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "o.npz"
    for path, rate in ((silent, {}), (rated, {"fps": 25.0})):
        np.savez(path, blendshapes=np.zeros((9, 52)), head_angles=np.zeros((9, 3)), **rate)
    result = cli("export", silent, out)
    assert result.code == 0 and result.err.startswith(f"note: {silent}: says no frame rate; 30 a second are taken")
    result = cli("export", silent, out, "--from-fps", 60)
    assert result.code == 0 and not result.err and FaceMotion.load(out).fps == 60
    assert not cli("export", rated, out).err and FaceMotion.load(out).fps == 25


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A file of two animations."""
    rigs = {name: as_rig(rig_motion(n), CONVENTIONS["unreal"]) for name, n in (("Walk", 40), ("Hop/High", 30))}
    return GltfFile(rigs).save(tmp_path / "pack.glb")


def test_one_of_several_animations_is_named(cli, fake, pack, tmp_path):
    walk, hop, out = f"{pack}#Walk", f"{pack}#Hop/High", tmp_path / "c.npz"
    assert cli("export", pack, tmp_path / "a.npz", "--animation", "walk").code == 0
    assert cli("export", hop, tmp_path / "b.npz").code == 0
    assert [len(export.load(tmp_path / n)) for n in ("a.npz", "b.npz")] == [40, 30]
    distance = np.linalg.norm(export.load(tmp_path / "a.npz").joints - rig_motion().joints, axis=-1)
    assert distance.max() < 1e-3
    assert len(json.loads(cli("describe", pack, "--animation", "Walk", "--json").out)["results"]) == 1
    assert [line.split("\t")[0] for line in cli("describe", walk, hop).lines] == [walk, hop]
    assert cli("extend", walk, "--seconds", "1", "-o", out).code == 0
    assert cli("inbetween", walk, hop, "--seconds", "1", "-o", out).code == 0


def test_controls_set_every_movement() -> None:
    request = MotionRequest(clauses=[Clause(action="walk", times=2, tempo="slow"), Clause(action="bow", denied=True)])
    pins = [read_pin("right_hand@1.5=0.4,1.3,0.3")]
    controls = Controls(3, -90.0, None, None, 1.5, True, True, pins)
    controls.check()
    changed = controls.on(request)
    walk, bow = changed.clauses
    assert (walk.times, walk.turn, walk.side, walk.factor, walk.tempo) == (3, 90.0, "right", 1.5, None)
    assert Controls(waypoints=[(0.0, 2.0), (1.0, 2.0)]).on(request).clauses[0].waypoints == [(0, 2), (1, 2)]
    assert bow == request.clauses[1]
    assert changed.loop and changed.treadmill and not walk.in_place and changed.pins[0].place == (0.4, 1.3, 0.3)
    assert Controls(path="circle:left:2").on(request).clauses[0].path == "circle"


def test_what_was_read_is_told_to_people_and_to_machines() -> None:
    request = MotionRequest(
        clauses=[
            Clause(action="waves", times=2, name="wave", known=True, caption="a person waves", nearest="someone waves"),
            Clause(action="hums", together=True, name="sing", known=False, nearest="a person sings", sure=0.7),
            Clause(action="bow", denied=True),
        ],
        unshown=["in the rain"], loop=True, text="waves twice in the rain, humming, no bow, in a loop",
    )  # fmt: skip
    assert request_lines(request) == [
        "waves times=2 -> someone waves", "with hums -> not known; near: a person sings", "not bow", "whole: loop=yes",
        "not shown: 'in the rain'",
    ]  # fmt: skip
    row = request_row(request)
    names = ("name", "near", "words", "known", "together", "denied")
    assert [tuple(c[k] for k in names) for c in row["clauses"]] == [
        ("wave", "wave", "waves", True, False, False), (None, "sing", "hums", False, True, False),
        (None, "", "bow", True, False, True),
    ]  # fmt: skip
    assert row["clauses"][0]["times"] == 2 and row["unshown"] == ["in the rain"] and row["loop"] is True
    assert request_row(MotionRequest(clauses=[Clause(action="bow")]))["unshown"] == []


def test_read_prints_clauses(cli, tmp_path: Path) -> None:
    walk, kick = cli("read", "walk for 3 seconds, then kick twice with the left leg", "-q").lines
    assert walk.startswith("walk") and "seconds=3 -> " in walk and "times=2" in kick and "side=left" in kick
    (tmp_path / "texts.txt").write_text("wave and do not bow\nexplodes into confetti\n")
    waves, plays = json.loads(cli("read", f"@{tmp_path}/texts.txt", "--json", "-q").out)
    lines = cli("read", f"@{tmp_path}/texts.txt", "-q").out.splitlines()
    heads = [line for line in lines if line.endswith(":")]  # each text above its clauses
    assert heads == [f"{text}:" for text in (tmp_path / "texts.txt").read_text().splitlines()] and lines[0] == heads[0]
    assert [c["denied"] for c in waves["clauses"]].count(True) == 1 and waves["text"].startswith("wave")
    assert plays["clauses"][0]["known"] is False and plays["clauses"][0]["name"] is None
    assert "blink twice" in cli("read", "blink twice", "--face", "-q").out


def test_foreign_words_are_warned_of(cli, fake, tmp_path: Path) -> None:
    result = cli("generate", "Eine Frau tanzt mit dem Mann", "-o", tmp_path / "a.npz")
    assert result.code == 0 and result.err.startswith("warning: 'Eine Frau") and "English" in result.err
    assert "warning" not in cli("generate", "a woman dances", "-o", tmp_path / "b.npz").err


def test_a_file_whose_name_is_no_text_goes_on_a_sheet(cli, clip, tmp_path):
    odd = clip.rename(tmp_path / "a\udcfe.npz")
    Motion.load(odd).with_caption("").save(odd)
    assert cli("export", odd, tmp_path / "a.png", tmp_path / "a.glb").code == 0


def test_model_options_reach_the_model(cli, fake, clip, tmp_path):
    assert cli("describe", clip, "--model", tmp_path, "--device", "cpu", "--threads", 2).code == 0
    assert fake.loads == [(tmp_path, "cpu", None, 2)]


def test_eval_runs_a_suite(cli, fake, tmp_path, monkeypatch):
    from avatargpt import evaluation

    calls = []

    def run_suite(suite, model, data, out, store, full, outputs):
        assert outputs is None
        calls.append((suite.name, type(model), data, out, store, full))
        return {"suite": suite.name, "score": 0.5}

    monkeypatch.setattr(evaluation, "run_suite", run_suite)
    r = cli("eval", "run", "prompts_known", "-o", tmp_path / "r.json")
    assert r.code == 0 and json.loads(r.out) == {"suite": "prompts_known", "score": 0.5}
    assert cli("eval", "run", "predicates", "--data", tmp_path).code == 0
    assert cli("eval", "run", "families", "--store", tmp_path, "--full").code == 0
    assert cli("eval", "run", "families", "--store", tmp_path / "none").code == 2
    assert cli("eval", "run", "inbetween", "--data", tmp_path, "--model", "none").code == 0
    assert calls == [
        ("prompts_known", fake, None, tmp_path / "r.json", None, False),
        ("predicates", type(None), tmp_path, None, None, False),
        ("families", type(None), None, None, tmp_path, True),
        ("inbetween", type(None), tmp_path, None, None, False),
    ]


def test_eval_ls(cli):
    suites = json.loads(cli("eval", "ls", "--json").out)["suites"]
    assert [f"{s['name']}: {s['description']}" for s in suites] == cli("eval", "ls").lines
    assert "prompts_known" in [s["name"] for s in suites]


def test_info(cli):
    facts = json.loads(cli("info", "--json").out)
    assert facts["avatargpt"] == __version__ and facts["packages"]["torch"].startswith("2.")
    assert {".npz", ".bvh"} <= {*facts["formats"]["read"]} and ".glb" in facts["formats"]["write"]
    assert "text_to_motion" in facts["tasks"] and "body" in facts["modalities"]
    assert "body" in facts["presets"]["tokenizer"]
    assert "non-commercial" in facts["licences"]["weights"]
    assert f"avatargpt: {__version__}" in cli("info").lines


def test_info_tells_who_moves_the_face(cli, tmp_path):
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "driver.safetensors").write_bytes(b"x")
    face = json.loads(cli("info", "--json", "--model", tmp_path).out)["face"]
    assert face["driver"].endswith("driver/driver.safetensors") and face["parser"] == face["tokens"] == "none"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli, name):
    page = cli(name, "--help")
    assert page.code == 0 and page.out.startswith(f"Usage: avatargpt {name}")
    assert name in cli("--help").out and cli().out == cli("--help").out


def test_help_of_generate_is_short_and_can_be_whole(cli):
    short, everything = cli("generate", "--help").out, cli("generate", "--help-all").out
    assert "--seconds" in short and "--pin" not in short
    assert len(re.findall(r"^  -", short.partition("Options:")[2], re.M)) == 12
    assert {*re.findall(r"--[a-z-]+", short)} < {*re.findall(r"--[a-z-]+", everything)} and "--llm-limits" in everything
    assert "--pin" not in cli("generate", "--help").out, "asked for once"


def test_version(cli):
    assert cli("--version").out.strip() == __version__


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; from avatargpt.__main__ import main; main(['--help']); main(['generate', '--help']);"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    r = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and r.stderr.strip() == "[]"
    for _ in range(10):  # processor time, and the best of some: the machine may be busy with other things
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "avatargpt", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if seconds < 0.3:
            return
    pytest.fail(f"avatargpt --help takes {seconds:.2f} s of processor time")


def test_progress_is_for_terminals(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, quiet, visible in ((Terminal(), False, True), (Terminal(), True, False), (io.StringIO(), False, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress("generating", quiet) as advance:
            assert (advance is not None) == visible
            if advance:
                advance(1, 2)
        assert ("generating" in stream.getvalue()) == visible
