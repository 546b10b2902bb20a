"""Files of several animations on the command line: named by an option or behind the file's name, or listed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, motion


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    rigs = {name: as_rig(motion(n), CONVENTIONS["unreal"]) for name, n in (("Walk", 40), ("Hop/High", 30))}
    return GltfFile(rigs).save(tmp_path / "pack.glb")


def test_export_takes_the_one_that_is_named(cli, pack, tmp_path):
    assert cli("export", pack, tmp_path / "a.npz", "--animation", "walk").code == 0
    assert cli("export", f"{pack}#Hop/High", tmp_path / "b.npz").code == 0
    assert [len(export.load(tmp_path / n)) for n in ("a.npz", "b.npz")] == [40, 30]
    joints = export.load(tmp_path / "a.npz").joints
    assert np.linalg.norm(joints - motion().joints, axis=-1).max() < 1e-3


def test_other_commands_do_too(cli, pack, tmp_path):
    r = cli("describe", pack, "--animation", "Walk", "--json")
    assert r.code == 0 and len(json.loads(r.out)["results"]) == 1
    r = cli("describe", f"{pack}#Walk", f"{pack}#Hop/High")
    assert r.code == 0 and [line.split("\t")[0] for line in r.lines] == [f"{pack}#Walk", f"{pack}#Hop/High"]
    assert cli("extend", f"{pack}#Walk", "--seconds", "1", "-o", tmp_path / "c.npz").code == 0
    assert cli("inbetween", f"{pack}#Walk", f"{pack}#Hop/High", "--seconds", "1", "-o", tmp_path / "d.npz").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{pack}"], "pack.glb: 2 animations turn the joints (Walk, Hop/High)"),
        (["{pack}", "--animation", "Run"], "no animation 'Run'; accepted: Walk, Hop/High"),
        (["{pack}#Run"], "no animation 'Run'"),
        (["{pack}#Walk", "--animation", "Walk"], "the file's name says one already"),
        (["{npz}", "--animation", "Walk"], "--animation goes with .glb and .gltf"),
        (["{none}#Walk"], "no such file"),
    ],
)
def test_what_is_said(cli, pack, tmp_path, arguments, said):
    export.save(motion(), tmp_path / "m.npz")
    places = {"pack": pack, "npz": tmp_path / "m.npz", "none": tmp_path / "none.glb"}
    r = cli("export", *(a.format(**places) for a in arguments), tmp_path / "out.npz")
    assert r.code == 2 and said in r.err and len(r.err.splitlines()) == 1 and not (tmp_path / "out.npz").exists()


def test_build_takes_packs(cli, pack, tmp_path):
    (tmp_path / "words.csv").write_text("animation,caption\nWalk,a person walks\nRun,a person runs\n")
    given = ["--captions", tmp_path / "words.csv", "--source", "mine", "--licence", "ours"]
    r = cli("data", "build", "pack", pack, *given, "-o", tmp_path / "store", "--json")
    facts = json.loads(r.out)
    assert r.code == 0 and (facts["clips"], facts["captions"]) == (2, 1)
    assert facts["sources"]["mine"]["licence"] == "ours"
    assert "captions of no animation" in r.err and "as run" in r.err
