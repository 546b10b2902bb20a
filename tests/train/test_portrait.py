"""The portrait: landmarks of our head, videos it learns from, that it learns, resumes and refuses."""

import gc
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from avatargpt.config import resolve
from avatargpt.export.head import head, shaped, turn_vertices
from avatargpt.export.renderers import Appearance, MeshRenderer
from avatargpt.face.portrait import (
    COUNT,
    FILE,
    Portrait,
    PortraitNetwork,
    PortraitShape,
    carried,
    landmark_image,
    landmarks,
    spline_flow,
    square_around,
    warp,
)
from avatargpt.train.command import main
from avatargpt.train.portrait import measure_portrait
from avatargpt.train.portrait_pictures import PortraitTake, load_films, render_people
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "portrait.yaml"
LEFT_LIDS, RIGHT_LIDS = (43, 47), (37, 41)  # the person's left eye is on the picture's right
LIPS = (62, 66)


def face(**weights: float) -> np.ndarray:
    out = np.zeros(len(arkit.NAMES))
    for name, value in weights.items():
        out[arkit.NAMES.index(name)] = value
    return out


def distance(points: np.ndarray, pair: tuple[int, int]) -> float:
    return float(points[pair[1], 1] - points[pair[0], 1])


def test_landmarks_follow_the_face() -> None:
    renderer = MeshRenderer(64, 64)
    rest = renderer.project(landmarks(head().points.astype(float)))
    assert rest.shape == (COUNT, 2) and ((rest > 0.1) & (rest < 0.9)).all()
    mirrored = rest * [-1, 1] + [1, 0]
    order = [*range(16, -1, -1), *range(26, 16, -1)]  # jaw and brows from the other side
    assert np.abs(mirrored[order] - rest[:27]).max() < 0.012
    wink = renderer.project(landmarks(shaped(face(eyeBlinkLeft=1.0))))
    assert distance(wink, LEFT_LIDS) < 0.25 * distance(rest, LEFT_LIDS)
    assert distance(wink, RIGHT_LIDS) == pytest.approx(distance(rest, RIGHT_LIDS))
    assert distance(renderer.project(landmarks(shaped(face(jawOpen=0.7)))), LIPS) > distance(rest, LIPS) + 0.03


def test_pictures_of_landmarks() -> None:
    points = MeshRenderer(64, 64).project(landmarks(head().points.astype(float)))
    image = landmark_image(points, 64)
    assert image.shape == (64, 64, 3) and all(image[..., c].max() > 100 for c in range(3))
    lips = np.argwhere(image[..., 2] > 100).mean(0) / 64
    assert np.abs(lips - points[48:68].mean(0)[::-1]).max() < 0.03
    blind = points.copy()
    blind[48:68] = np.nan
    assert landmark_image(blind, 64)[..., 2].max() == 0
    assert (landmark_image(points[:68], 64)[..., 2] == image[..., 2]).all()


def test_a_look_changes_colours_and_light_alone() -> None:
    points = head().points.astype(float)
    plain = MeshRenderer(48, 48).frame(points).astype(int)
    dark = (
        MeshRenderer(48, 48, look=Appearance({"skin": (0.3, 0.2, 0.15)}, back=(0.0, 1.0, 0.0)))
        .frame(points)
        .astype(int)
    )
    assert (MeshRenderer(48, 48, look=Appearance()).frame(points) == plain).all()
    assert dark[24, 24].sum() < 0.7 * plain[24, 24].sum() and tuple(dark[0, 0]) == (0, 255, 0)
    left, right = (
        MeshRenderer(48, 48, look=Appearance(light=(x, 0.2, 0.5))).frame(points).astype(int) for x in (1, -1)
    )
    side = (slice(20, 28), slice(28, 32))  # the person's left cheek
    assert left[side].sum() > right[side].sum()


def test_a_photo_is_moved_like_our_head() -> None:
    clip = FaceMotion(np.stack([face(), face(jawOpen=0.8)]).astype(np.float32), np.zeros((2, 3), np.float32), 30.0)
    renderer = MeshRenderer(64, 64)
    rest = renderer.project(landmarks(head().points.astype(float)))
    photo = (rest - 0.5) * 0.5 + [0.4, 0.6]  # half as large, elsewhere
    moved = carried(photo, clip)
    assert np.allclose(moved[0], photo, atol=1e-6)
    truth = (
        renderer.project(landmarks(turn_vertices(shaped(face(jawOpen=0.8)), np.array([1.0, 0, 0, 0])))) - 0.5
    ) * 0.5
    assert np.allclose(moved[1], truth + [0.4, 0.6], atol=1e-6)
    assert carried(photo[:68], clip).shape == (2, 68, 2)
    lost = photo.copy()
    lost[3, 0] = np.nan
    for points, words in ((lost, "number 3 is not finite"), (np.zeros((71, 2)), r"\(71, 2\); accepted: \(68, 2\)"),
                          (np.stack([photo] * 3), r"\(3, 70, 2\); accepted")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            carried(points, clip)


def test_a_turned_photo_and_narrow_eyes() -> None:
    renderer, points = MeshRenderer(64, 64), head().points.astype(float)
    yawed = np.array([0.4, 0, 0])
    turn = turns(yawed[None])[0]
    photo = renderer.project(landmarks(turn_vertices(points, turn)))
    blink = face(eyeBlinkLeft=1.0, eyeBlinkRight=1.0, jawOpen=0.6)
    clip = FaceMotion(blink[None].astype(np.float32), np.zeros((1, 3), np.float32), 30.0)
    truth = renderer.project(landmarks(turn_vertices(shaped(blink), turn)))
    assert np.allclose(carried(photo, clip, yawed)[0], truth, atol=1e-6)
    assert np.abs(carried(photo, clip)[0] - truth).max() > 0.005
    narrow = renderer.project(landmarks(points))
    for eye in (range(36, 42), range(42, 48)):
        lids = np.array([*eye])[[1, 2, 4, 5]]
        middle = narrow[lids].mean(0)
        narrow[lids, 1] = middle[1] + 0.4 * (narrow[lids, 1] - middle[1])
    shut = carried(narrow, clip)[0]
    for pair in (LEFT_LIDS, RIGHT_LIDS):  # shut, and no lid has passed the other
        assert -0.1 * distance(narrow, pair) < distance(shut, pair) < 0.3 * distance(narrow, pair)


def test_a_spline_carries_a_face_and_leaves_the_edge() -> None:
    rest = torch.from_numpy(MeshRenderer(64, 64).project(landmarks(head().points.astype(float))))[None]
    assert spline_flow(rest, rest, 16).abs().max() < 1e-6
    there = rest + torch.tensor([0.04, -0.02])
    flow = spline_flow(rest, there, 65)
    nose = (there[0, 30] * 64).round().long()
    assert np.allclose(flow[0, :, nose[1], nose[0]], [-0.08, 0.04], atol=2e-3)  # shares of half the picture
    edge = torch.cat([flow[0, :, 0], flow[0, :, -1], flow[0, :, :, 0], flow[0, :, :, -1]], 1)
    assert edge.abs().max() < 0.02
    lost = there.clone()
    lost[0, 68:] = torch.nan
    partly = spline_flow(rest, lost, 65)
    assert (partly - flow).abs().max() < 5e-3
    picture = torch.zeros(1, 1, 65, 65)
    x, y = (rest[0, 30] * 64).round().long().tolist()
    picture[0, 0, y, x] = 1
    spot = warp(picture, flow)[0, 0]
    assert divmod(int(spot.argmax()), 65) == (pytest.approx(int(nose[1]), abs=1), pytest.approx(int(nose[0]), abs=1))


def test_the_square_lies_in_the_picture() -> None:
    points = np.array([[10.0, 20], [70, 80], [np.nan, np.nan]])
    corner, side = square_around(points)
    assert side == pytest.approx(60 * 1.9) and np.allclose(corner, [40 - side / 2, 50 - side / 2])
    corner, side = square_around(points, (200, 90))
    assert side == 90 and np.allclose(corner, [0, 0])
    corner, side = square_around(points + 100, (400, 400))
    assert (corner >= 0).all() and (corner + side <= 400).all()


def run(tmp_path: Path, out: str, settings: dict[str, Any], *options: Any) -> int:
    """Exit code of the stage with a configuration."""
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(settings))
    where = ["--config", tmp_path / "p.yaml", "--threads", 1, "--device", "cpu", "-o", tmp_path / out]
    return main([str(a) for a in ("portrait", *where, *options)])


def debug_settings(**train: Any) -> dict[str, Any]:
    settings: dict[str, Any] = resolve(f"{CONFIG}:debug")
    settings["train"] |= train
    return settings


def test_the_stage_learns_resumes_and_is_used(tmp_path: Path) -> None:
    settings = debug_settings(steps=40, log_every=5, val_every=40, save_every=20, lr=0.003)
    assert run(tmp_path, "unbroken", settings) == 0
    rows = [json.loads(line) for line in (tmp_path / "unbroken" / "log.jsonl").read_text().splitlines()]
    losses = [r["loss"] for r in rows if "loss" in r]
    assert losses[-1] < 0.95 * losses[0]
    assert {"val_db", "val_db_copy", "face_db", "face_db_copy"} <= set(rows[-1])
    assert (tmp_path / "unbroken" / "portrait.png").stat().st_size > 0
    assert run(tmp_path, "parts", settings, "--until", 20) == run(tmp_path, "parts", settings) == 0
    assert (tmp_path / "unbroken" / FILE).read_bytes() == (tmp_path / "parts" / FILE).read_bytes()
    portrait = Portrait.load(tmp_path / "unbroken")
    take = render_people(1, 3, 48, 5)[0]
    pictures = list(portrait.animate(take.frames[0], take.points[0], take.points))
    assert len(pictures) == 3 and pictures[0].shape == (32, 32, 3) and pictures[0].dtype == np.uint8
    assert not (pictures[1] == pictures[2]).all()
    portrait.save(tmp_path / "small", torch.int8)  # as shipped
    assert (tmp_path / "small" / FILE).stat().st_size < 0.4 * (tmp_path / "unbroken" / FILE).stat().st_size
    small = list(Portrait.load(tmp_path / "small").animate(take.frames[0], take.points[0], take.points))
    assert np.abs(np.stack(small).astype(int) - np.stack(pictures)).mean() < 1
    large = list(portrait.animate(take.frames[0], take.points[0], take.points, 96))[1]
    assert large.shape == (96, 96, 3)
    shrunk = np.asarray(Image.fromarray(large).resize((32, 32), Image.Resampling.BOX)).astype(int)
    assert np.abs(shrunk - pictures[1]).mean() < 8  # the same picture
    for photo, here, points, size, message in (
        (take.frames[0][:10], take.points[0], take.points, None, "square"),
        (take.frames[0], take.points[0], take.points[:, :5], None, "landmarks of shape"),
        (take.frames[0], take.points[0, :68], take.points, None, "landmarks of the picture"),
        (take.frames[0], take.points[0], take.points, 5000, "size 5000; accepted: 32 to 1024"),
    ):
        with pytest.raises(UserError, match=message):
            list(portrait.animate(photo, here, points, size))


def test_a_face_at_rest_is_the_photo_itself() -> None:
    torch.manual_seed(0)
    network = PortraitNetwork(PortraitShape(size=64, width=8, most=16, heads=2)).eval()
    with torch.no_grad():  # paints half of everything, and bends it
        network.paint.bias.fill_(0.0)
        network.guide[0].bias.fill_(0.5)
    photo = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    points = np.random.default_rng(1).uniform(0.2, 0.8, (68, 2))
    other = points.copy()
    other[48:] += 0.1
    rest, moved = Portrait(network).animate(photo, points, np.stack([points, other]))
    assert np.abs(rest.astype(int) - photo).max() <= 1
    assert np.abs(moved.astype(int) - photo).max() > 20


def test_figures_are_numbers_whatever_the_pictures_show() -> None:
    network = PortraitNetwork(PortraitShape(size=32, width=8, most=16, heads=4)).eval()
    still, away = np.full((3, 32, 32, 3), 90, np.uint8), np.zeros((3, 32, 32, 3), np.uint8)
    figures = measure_portrait(network, [PortraitTake(still, away, np.full((3, 68, 2), 9.0))], torch.device("cpu"))
    assert figures["val_db_copy"] == 100 and np.isfinite(list(figures.values())).all() and "face_db" not in figures


def test_runs_of_another_shape_or_other_pictures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = debug_settings(steps=3)
    settings["data"] |= {"people": 1, "held": 0, "frames": 3}
    for section, change, until, message in (
        ("model", {"heads": 2}, 1, ""), ("model", {"heads": 4}, 2, "of another shape (heads: 2, now 4)"),
        ("data", {"frames": 4}, 2, "taught on other pictures (our head 0/0: 3 frames, now 4); resume with"),
        ("model", {"heads": 2}, 2, ""),
    ):  # fmt: skip
        changed = {**settings, section: {**settings[section], **change}}
        changed["model"] = {**changed["model"], "heads": changed["model"].get("heads", 2) if section == "model" else 2}
        assert run(tmp_path, "p", changed, "--until", until) == (2 if message else 0)
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(("section", "key", "value", "message"), [
    ("data", "frames", 0, "or equal to 2"), ("data", "people", 0, "or equal to 1"),
    ("data", "held", -1, "or equal to 0"), ("data", "held_frames", -3, "or equal to 0"),
    ("train", "near", -5, "or equal to 0"),
    ("train", "edges", -0.1, "accepted: greater than or equal to 0"), ("model", "size", 65, "accepted: 32, 64"),
    ("model", "width", 6, ""),
])  # fmt: skip
def test_numbers_out_of_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, key: str, value: float, message: str
) -> None:
    assert run(tmp_path, "x", {section: {key: value}}) == 2 and not (tmp_path / "x").exists()
    error = capsys.readouterr().err
    assert f"{key}: {value}" in error or f"{key} {value}" in error
    assert message in error


def test_folders_without_a_portrait(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no portrait in it; make one: avatargpt finetune"):
        Portrait.load(tmp_path)
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a readable portrait"):
        Portrait.load(tmp_path)


def film(path: Path, frames: np.ndarray, points: np.ndarray, turn: int = 0) -> None:
    """(T, H, W, 3) uint8 -> a video with landmarks; players turn it by `turn` degrees, counterclockwise."""
    av = pytest.importorskip("av")
    path.parent.mkdir(exist_ok=True)
    np.savez(path.with_suffix(".npz"), landmarks=points)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        if turn:
            stream.set_display_rotation(turn)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def box(low: float, high: float, frames: int = 2) -> np.ndarray:
    """(frames, 68, 2) landmarks that span a square from `low` to `high`."""
    points = np.full((frames, 68, 2), (low + high) / 2)
    points[:, 0], points[:, 1] = low, high
    return points


def refused(folder: Path, message: str, size: int = 64) -> None:
    with pytest.raises(UserError, match=message):
        load_films(folder, size)


def test_videos_with_landmarks(tmp_path: Path) -> None:
    take = render_people(1, 4, 96, 3)[0]
    points = take.points * 96
    film(tmp_path / "me.mp4", take.frames, points)
    expected = load_films(tmp_path, 64)
    assert len(expected) == 1 and expected[0].frames.shape == (4, 64, 64, 3) and expected[0].lines.max() > 100
    low, high = expected[0].points.min((0, 1)), expected[0].points.max((0, 1))
    assert (low > 0.1).all() and (high < 0.9).all()
    lost = points.copy()
    lost[1, 68:], lost[2] = np.inf, np.nan  # the third frame has no landmarks: it is left out
    np.savez(tmp_path / "me.npz", landmarks=lost)
    part = load_films(tmp_path, 64)[0]
    assert part.frames.shape == (3, 64, 64, 3) and np.isfinite(part.points[:, :68]).all()
    assert np.allclose(part.points[:, :68], expected[0].points[[0, 1, 3], :68], atol=0.05) and part.lines[1].max() > 100
    lost[1:] = np.nan
    for other, message in ((lost, "landmarks in 1 of 4 frames; accepted: in at least 2"), (points[:3], "for 3")):
        np.savez(tmp_path / "me.npz", landmarks=other)
        refused(tmp_path, message)
    (tmp_path / "me.npz").unlink()
    refused(tmp_path, r"me\.npz")
    refused(tmp_path / "nowhere", "no video")


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_a_video_that_is_shown_turned(tmp_path: Path, turn: int) -> None:
    take = render_people(1, 2, 96, 3)[0]
    wide = np.pad(take.frames, ((0, 0), (0, 0), (0, 32), (0, 0)), mode="edge")
    for name, frames, angle in (("plain", wide, 0), ("turned", np.rot90(wide, -turn // 90, (1, 2)), turn)):
        film(tmp_path / name / "me.mp4", frames, take.points * 96, angle)  # landmarks of the picture as it is shown
    plain, turned = (load_films(tmp_path / name, 64)[0].frames.astype(int) for name in ("plain", "turned"))
    assert np.abs(plain - turned).mean() < 4 < np.abs(plain - turned[:, ::-1, ::-1]).mean()


def test_frames_are_shrunk_without_aliases(tmp_path: Path) -> None:
    stripes = np.zeros((2, 512, 512, 3), np.uint8)
    stripes[:, :, ::4] = stripes[:, :, 1::4] = 255
    film(tmp_path / "me.mp4", stripes, box(150, 362))
    frames = load_films(tmp_path, 32)[0].frames.astype(float)
    assert abs(frames.mean() - 127) < 6 and frames[:, 4:-4, 4:-4].std() < 12  # grey, no moving bands


def test_a_cut_over_the_edge_keeps_its_place(tmp_path: Path) -> None:
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[:, 48:] = 200
    film(tmp_path / "me.mp4", np.stack([picture] * 2), box(0.3, 79.7))
    row = load_films(tmp_path, 64)[0].frames[0, 32, :, 0].astype(float)
    side, corner = 79.4 * 1.9, 40 - 79.4 * 0.95
    for x, value in ((20, 0), (70, 200), (110, 0)):  # pixels of the video; none lie beyond 96
        assert row[int((x - corner) / side * 64)] == pytest.approx(value, abs=25)


def test_frames_of_a_long_video_are_not_all_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "me.mp4", np.full((20, 96, 128, 3), 90, np.uint8), box(20, 60, 20))
    alive, crop = [], Image.Image.crop

    def count(picture: Image.Image, *where: object) -> Image.Image:
        alive.append(sum(issubclass(type(o), Image.Image) and o.size == (128, 96) for o in gc.get_objects()))
        return crop(picture, *where)

    monkeypatch.setattr(Image.Image, "crop", count)
    assert load_films(tmp_path, 32)[0].frames.shape == (20, 32, 32, 3)
    assert len(alive) == 20 and max(alive) <= 3


GREY = np.full((2, 96, 96, 3), 90, np.uint8)


@pytest.mark.parametrize("points", [box(0.2, 0.8), box(200, 260), box(-80, -2), box(10, 20), box(20, 4000)])
def test_landmarks_that_are_not_of_the_video(tmp_path: Path, points: np.ndarray) -> None:
    film(tmp_path / "me.mp4", GREY, points)
    refused(tmp_path, r"me\.npz: landmarks with x from .* 96 x 96; accepted: pixels of the video")


def test_files_that_hold_no_landmarks(tmp_path: Path) -> None:
    film(tmp_path / "me.mp4", GREY, box(20, 60))
    path, plain = tmp_path / "me.npz", io.BytesIO()
    np.save(plain, box(20, 60))
    for data in (path.read_bytes()[:-30], b"PK\x03\x04" + bytes(60), b"", plain.getvalue()):
        path.write_bytes(data)
        refused(tmp_path, "no landmarks for me.mp4")
