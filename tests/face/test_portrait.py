"""Landmarks of our head, and the portrait: what it learns from, that it learns, resumes and refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from avatargpt.config import resolve
from avatargpt.export.head import head, shaped, turned
from avatargpt.export.landmarks import COUNT, carried, landmark_image, landmarks
from avatargpt.export.mesh_renderer import Look, MeshRenderer
from avatargpt.face.portrait import FILE, Portrait, PortraitNetwork, PortraitShape
from avatargpt.train.command import main
from avatargpt.train.portrait import Take, measured, rendered
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "portrait.yaml"
LEFT_LIDS, RIGHT_LIDS = (43, 47), (37, 41)  # the person's left eye is on the picture's right
LIPS = (62, 66)


def face(**weights: float) -> np.ndarray:
    out = np.zeros(len(arkit.NAMES))
    for name, value in weights.items():
        out[arkit.NAMES.index(name)] = value
    return out


def apart(points: np.ndarray, pair: tuple[int, int]) -> float:
    return float(points[pair[1], 1] - points[pair[0], 1])


def test_landmarks_follow_the_face() -> None:
    renderer = MeshRenderer(64, 64)
    rest = renderer.project(landmarks(head().points.astype(float)))
    assert rest.shape == (COUNT, 2) and ((rest > 0.1) & (rest < 0.9)).all()
    mirrored = rest * [-1, 1] + [1, 0]
    order = [*range(16, -1, -1), *range(26, 16, -1)]  # jaw and brows from the other side
    assert np.abs(mirrored[order] - rest[:27]).max() < 0.012
    wink = renderer.project(landmarks(shaped(face(eyeBlinkLeft=1.0))))
    assert apart(wink, LEFT_LIDS) < 0.25 * apart(rest, LEFT_LIDS)
    assert apart(wink, RIGHT_LIDS) == pytest.approx(apart(rest, RIGHT_LIDS))
    assert apart(renderer.project(landmarks(shaped(face(jawOpen=0.7)))), LIPS) > apart(rest, LIPS) + 0.03


def test_pictures_of_landmarks() -> None:
    points = MeshRenderer(64, 64).project(landmarks(head().points.astype(float)))
    whole = landmark_image(points, 64)
    assert whole.shape == (64, 64, 3) and all(whole[..., c].max() > 100 for c in range(3))
    lips = np.argwhere(whole[..., 2] > 100).mean(0) / 64
    assert np.abs(lips - points[48:68].mean(0)[::-1]).max() < 0.03
    blind = points.copy()
    blind[48:68] = np.nan
    assert landmark_image(blind, 64)[..., 2].max() == 0
    assert (landmark_image(points[:68], 64)[..., 2] == whole[..., 2]).all()


def test_a_look_changes_colours_and_light_alone() -> None:
    points = head().points.astype(float)
    plain = MeshRenderer(48, 48).frame(points).astype(int)
    dark = MeshRenderer(48, 48, look=Look({"skin": (0.3, 0.2, 0.15)}, back=(0.0, 1.0, 0.0))).frame(points).astype(int)
    assert (MeshRenderer(48, 48, look=Look()).frame(points) == plain).all()
    assert dark[24, 24].sum() < 0.7 * plain[24, 24].sum() and tuple(dark[0, 0]) == (0, 255, 0)
    left, right = (MeshRenderer(48, 48, look=Look(light=(x, 0.2, 0.5))).frame(points).astype(int) for x in (1, -1))
    side = (slice(20, 28), slice(28, 32))  # the person's left cheek
    assert left[side].sum() > right[side].sum()


def test_a_photo_is_moved_like_our_head() -> None:
    clip = FaceMotion(np.stack([face(), face(jawOpen=0.8)]).astype(np.float32), np.zeros((2, 3), np.float32), 30.0)
    renderer = MeshRenderer(64, 64)
    rest = renderer.project(landmarks(head().points.astype(float)))
    photo = (rest - 0.5) * 0.5 + [0.4, 0.6]  # half as large, elsewhere
    found = carried(photo, clip)
    assert np.allclose(found[0], photo, atol=1e-6)
    truth = (renderer.project(landmarks(turned(shaped(face(jawOpen=0.8)), np.array([1.0, 0, 0, 0])))) - 0.5) * 0.5
    assert np.allclose(found[1], truth + [0.4, 0.6], atol=1e-6)
    assert carried(photo[:68], clip).shape == (2, 68, 2)
    lost = photo.copy()
    lost[3, 0] = np.nan
    for points, words in ((lost, "number 3 is not finite"), (np.zeros((71, 2)), r"\(71, 2\); accepted: \(68, 2\)"),
                          (np.stack([photo] * 3), r"\(3, 70, 2\); accepted")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            carried(points, clip)


def test_the_stage_learns_resumes_and_is_used(tmp_path: Path) -> None:
    settings = resolve(f"{CONFIG}:debug")
    settings["train"] |= {"steps": 40, "log_every": 5, "val_every": 40, "save_every": 20, "lr": 0.003}
    config = tmp_path / "portrait.yaml"
    config.write_text(yaml.safe_dump(settings))

    def run(out: Path, *more: Any) -> None:
        common = ["portrait", "--config", config, "--threads", 1, "--device", "cpu", "-o", out, *more]
        assert main([str(a) for a in common]) == 0

    run(tmp_path / "whole")
    import json

    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    losses = [r["loss"] for r in rows if "loss" in r]
    assert losses[-1] < 0.8 * losses[0]
    assert {"val_db", "val_db_copy", "face_db", "face_db_copy"} <= set(rows[-1])
    assert (tmp_path / "whole" / "portrait.png").stat().st_size > 0
    run(tmp_path / "parts", "--until", 20)
    run(tmp_path / "parts")
    assert (tmp_path / "whole" / FILE).read_bytes() == (tmp_path / "parts" / FILE).read_bytes()
    portrait = Portrait.load(tmp_path / "whole")
    take = rendered(1, 3, 48, 5)[0]
    pictures = list(portrait.animate(take.frames[0], take.points))
    assert len(pictures) == 3 and pictures[0].shape == (32, 32, 3) and pictures[0].dtype == np.uint8
    assert not (pictures[1] == pictures[2]).all()
    with pytest.raises(UserError, match="square"):
        list(portrait.animate(take.frames[0][:10], take.points))
    with pytest.raises(UserError, match="landmarks of shape"):
        list(portrait.animate(take.frames[0], take.points[:, :5]))


def test_figures_are_numbers_whatever_the_pictures_show() -> None:
    network = PortraitNetwork(PortraitShape(size=32, width=8, most=16, heads=4)).eval()
    still, away = np.full((3, 32, 32, 3), 90, np.uint8), np.zeros((3, 32, 32, 3), np.uint8)
    found = measured(network, [Take(still, away, np.full((3, 68, 2), 9.0))], torch.device("cpu"))
    assert found["val_db_copy"] == 100 and np.isfinite(list(found.values())).all() and "face_db" not in found


def test_another_shape_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = resolve(f"{CONFIG}:debug")
    settings["train"] |= {"steps": 2}
    settings["data"] |= {"people": 1, "held": 0}
    argv = ["portrait", "--config", str(tmp_path / "p.yaml"), "--device", "cpu", "-o", str(tmp_path / "p")]
    for heads, code in ((2, 0), (4, 2)):
        settings["model"] |= {"heads": heads}
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(settings))
        assert main([*argv, "--until", "1"]) == code
    assert "of another shape (heads: 2, now 4)" in capsys.readouterr().err


def test_a_run_goes_on_with_its_own_pictures_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = resolve(f"{CONFIG}:debug")
    settings["train"] |= {"steps": 3}
    argv = ["portrait", "--config", str(tmp_path / "p.yaml"), "--device", "cpu", "-o", str(tmp_path / "p")]
    for frames, until, code in ((3, "1", 0), (4, "2", 2), (3, "2", 0)):
        settings["data"] |= {"people": 1, "held": 0, "frames": frames}
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(settings))
        assert main([*argv, "--until", until]) == code
    assert "taught on other pictures (our head 0/0: 3 frames, now 4); resume with" in capsys.readouterr().err


@pytest.mark.parametrize(("section", "key", "value", "least"), [
    ("data", "frames", 0, 2), ("data", "people", 0, 1), ("data", "held", -1, 0), ("data", "held_frames", -3, 0),
    ("train", "near", -5, 0), ("train", "edges", -0.1, 0),
])  # fmt: skip
def test_numbers_out_of_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, key: str, value: float, least: int
) -> None:
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({section: {key: value}}))
    assert main(["portrait", "--config", str(tmp_path / "p.yaml"), "-o", str(tmp_path / "x")]) == 2
    said = capsys.readouterr().err
    assert f"{section}: {key}: {value}; accepted: " in said and f"greater than or equal to {least}" in said


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "p.yaml"
    config.write_text("model: {size: 65}\n")
    assert main(["portrait", "--config", str(config), "-o", str(tmp_path / "x")]) == 2
    assert "size: 65; accepted: 32, 64" in capsys.readouterr().err
    config.write_text("model: {size: 32, width: 6}\n")
    assert main(["portrait", "--config", str(config), "-o", str(tmp_path / "x")]) == 2
    assert "width 6" in capsys.readouterr().err and not (tmp_path / "x").exists()
    with pytest.raises(UserError, match="portrait stage"):
        Portrait.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable portrait"):
        Portrait.load(tmp_path)
