"""What an avatar's file has, and expressions for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import export
from avatargpt.cli import app
from avatargpt.export.avatar_file import read_avatar
from avatargpt.export.character import load_character
from avatargpt.export.expressions import MOODS, VISEMES, PresetMixer, choose_names
from tests.export.avatars import face_weights, talk, write_vrm
from tests.export.readers import contents, repacked
from tests.factories import write_character
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.features import STANDING


@pytest.mark.parametrize("read", [read_avatar, load_character, export.load])
@pytest.mark.parametrize("place", ["required", "a view"])
def test_every_command_refuses_compressed_buffers_alike(tmp_path: Path, read: Any, place: str) -> None:
    gltf, blob = contents(write_character(tmp_path / "a.glb"))
    if place == "required":
        gltf["extensionsRequired"] = ["EXT_meshopt_compression"]
    else:
        gltf["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 0, "byteLength": 8, "count": 1}}
    with pytest.raises(UserError, match=r"b.glb: .*needs EXT_meshopt_compression; accepted plain buffers"):
        read(repacked(tmp_path / "b.glb", gltf, blob))


@pytest.mark.parametrize(("version", "perfect_sync"), [(0, False), (0, True), (1, False), (1, True)])
def test_presets_shapes_bones_and_scale(tmp_path: Path, version: int, perfect_sync: bool) -> None:
    avatar = read_avatar(write_vrm(tmp_path / "a.vrm", version, perfect_sync, scale=0.5))
    assert avatar.kind == f"VRM {version}" and len(avatar.presets) == 12 and not avatar.missing
    assert len(avatar.perfect_sync) == 52 * perfect_sync
    assert avatar.names == ("pascal" if perfect_sync else "presets")
    assert avatar.hips == pytest.approx(0.5 * STANDING[1])
    assert len(avatar.bones) == 52 and "LeftThumbIntermediate" in avatar.bones
    # Unity's X is to the person's right, whichever way the file looks
    assert avatar.places["LeftLowerArm"][0] < -0.05 < 0.05 < avatar.places["RightLowerArm"][0]
    assert avatar.places["LeftToes"][2] > 0.03 and avatar.places["Head"][1] > 0.02


def test_what_moves_nothing_does_not_count(tmp_path: Path) -> None:
    assert choose_names([*arkit.NAMES[:20]]) == choose_names([arkit.pascal(n) for n in arkit.NAMES[:20]]) == {}
    both = choose_names(["A", "Blink", *arkit.NAMES])
    assert set(both) == set(arkit.NAMES)  # never presets beside them
    assert choose_names(["A", "blink", "JOY"]) == {"aa": "A", "blink": "blink", "happy": "JOY"}


def test_the_command_says_which_options_to_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_vrm(tmp_path / "a.vrm", 1, True, without=("upperChest", "leftFoot"))
    assert app.run(["avatar", str(file)]) == 0
    out = capsys.readouterr().out
    assert "Perfect Sync: 52 of 52 shapes (JawOpen ...)" in out and "--names pascal" in out
    assert "missing bones: leftFoot" in out
    assert app.run(["avatar", str(file), "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert values["names"] == "pascal" and values["perfect_sync"]["jawOpen"] == "JawOpen"
    (tmp_path / "b.vrm").write_bytes(b"glTF")
    for name in ("b.vrm", "c.vrm", "a.bvh"):
        assert app.run(["avatar", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("mood", MOODS)
def test_a_mood_yields_to_talk_and_lets_lips_close(mood: str) -> None:
    weights = talk(mood)
    presets = PresetMixer()(weights)
    shut = np.flatnonzero(np.arange(90) % 9 == 1)
    moods = np.sum([presets[n] for n in MOODS], 0)
    assert moods[shut].max() < 0.02 and max(presets[n][shut].max() for n in VISEMES) == 0
    for vowel in VISEMES:
        assert (presets[vowel] + presets[mood]).max() <= 1 + 1e-6
    assert presets["aa"].max() > 0.5 and 0.1 < moods[45:].max() < 0.5
    still = PresetMixer()(np.repeat(weights[5:6] * (weights[5:6] != 0.4), 60, 0))
    assert still[mood][30:].min() > 0.95  # nobody talks


def test_pressed_lips_of_a_mood_are_no_closure() -> None:
    assert PresetMixer()(face_weights(90, browDown=1, noseSneer=1, mouthPress=0.4))["angry"].min() > 0.95


def test_frames_one_by_one_are_those_of_the_clip() -> None:
    weights = talk("happy", 0.1)
    whole, mixer = PresetMixer()(weights), PresetMixer()
    for k in range(len(weights)):
        row = mixer(weights[k : k + 1])
        assert all(row[n][0] == whole[n][k] for n in row)


def test_a_vrma_for_an_avatar_has_one_kind_of_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FaceMotion(talk("happy"), np.zeros((90, 3))).save(tmp_path / "a.npz")
    for version, perfect_sync, kind, name in ((0, False, "preset", "aa"), (1, True, "custom", "JawOpen")):
        avatar = write_vrm(tmp_path / "a.vrm", version, perfect_sync)
        run = ["export", str(tmp_path / "a.npz"), str(tmp_path / "a.vrma"), "--avatar", str(avatar)]
        assert app.run(run) == 0, capsys.readouterr().err
        gltf, _ = contents(tmp_path / "a.vrma")
        expressions = gltf["extensions"]["VRMC_vrm_animation"]["expressions"]
        assert list(expressions) == [kind] and name in expressions[kind] and "jawOpen" not in expressions[kind]
    assert app.run(["export", str(tmp_path / "a.npz"), str(tmp_path / "a.csv"), "--names", "camel"]) == 2
    assert "accepted with --vmc HOST, or -o FILE.vrma" in capsys.readouterr().err
