"""Pictures: the renderer, contact sheets, .gif and .mp4."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatargpt import export
from avatargpt.export.figure import PALETTE
from avatargpt.export.render import Renderer, View, fit_view, posed
from avatargpt.export.sheet import contact_sheet
from avatargpt.export.video import encode_gif, encode_mp4, pictures
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion


def colour_centre(picture: np.ndarray, key: str) -> np.ndarray:
    """Mean (x, y) of the pixels whose hue is that of a palette colour."""
    want = np.array(PALETTE[key], float)
    have = picture.astype(float)
    norm = np.linalg.norm(have, axis=-1) * np.linalg.norm(want)
    near = (have @ want) / np.maximum(norm, 1) > 0.992
    ys, xs = np.nonzero(near)
    assert len(xs) > 30, key
    return np.array([xs.mean(), ys.mean()])


def standing(lift_left: float = -75.0) -> Motion:
    local = rot.identity((2, 22))
    local[:, 16] = rot.from_axis_angle(np.radians([0, 0, lift_left]))
    local[:, 17] = rot.from_axis_angle(np.radians([0, 0, 75.0]))
    return Motion(local, np.tile([0.0, 0.97, 0.0], (2, 1)), 20.0)


def shot(motion: Motion, view: View, size: int = 300) -> np.ndarray:
    return Renderer(size, size, view).frame(posed(motion)[0], motion.root[0])


FRONT = View(0.0, 0.2, 0.95, 2.4)
BEHIND = View(np.pi, 0.2, 0.95, 2.4)


def test_a_gif_that_stands_still_for_too_long(tmp_path: Path) -> None:
    def still(seconds: int) -> Iterator[np.ndarray]:
        return (np.zeros((16, 16, 3), np.uint8) for _ in range(seconds))

    assert encode_gif(tmp_path / "a.gif", still(600), 600, 1.0, 128).is_file()
    with pytest.raises(UserError, match="more than 655 s; accepted"):
        encode_gif(tmp_path / "b.gif", still(700), 700, 1.0, 128)
    assert not (tmp_path / "b.gif").exists()


def test_left_is_orange_and_on_the_viewers_right_from_the_front() -> None:
    for view, sign in ((FRONT, 1), (BEHIND, -1)):
        left, right = (colour_centre(shot(standing(), view), key)[0] for key in ("l_arm", "r_arm"))
        assert sign * (left - right) > 30


def test_a_raised_arm_is_higher_in_the_picture() -> None:
    low, high = (shot(standing(a), FRONT).astype(int) @ [1, 0, -1] > 120 for a in (-75, 75))
    assert np.nonzero(high.any(1))[0].min() < np.nonzero(low.any(1))[0].min() - 40


def test_the_face_is_seen_from_the_front_only() -> None:
    """Depth order: at the height of the eyes there is skin in front and only hair behind."""
    shots = [shot(standing(), View(yaw, 0.0, 1.66, 0.5)).astype(int)[146:154, 120:180] for yaw in (0.0, np.pi)]
    skin = [float((s[..., 0] > 140).mean()) for s in shots]
    assert skin[0] > 0.5 and skin[1] == 0
    assert float((shots[0].max(-1) < 70).mean()) > 0.04  # the eyes


def test_nearer_capsules_cover_farther_ones() -> None:
    """Seen from the left, the orange arm hides the blue one."""
    side = shot(standing(), View(np.pi / 2, 0.05, 0.95, 2.2))
    orange, blue = (side[..., 0].astype(int) - side[..., 2], side[..., 2].astype(int) - side[..., 0])
    assert (orange > 80).sum() > 3 * (blue > 80).sum()


def test_grid_scrolls_with_travel() -> None:
    still, moved = standing(), standing()
    moved = moved.moved(0.0, np.array([0.17, 0, 0.21]))
    a, b = shot(still, FRONT), shot(moved, FRONT)
    body = a.max(-1).astype(int) - a.min(-1) > 40
    np.testing.assert_allclose(a[body].mean(0), b[body].mean(0), atol=1.5)
    assert (np.abs(a.astype(int) - b) > 8).any(-1)[250:].mean() > 0.005


def test_view_holds_the_whole_body(motion: Motion) -> None:
    view = fit_view(posed(motion), motion.root)
    renderer = Renderer(200, 200, view)
    empty = renderer.frame(posed(motion)[0] + np.array([0, -50, 0], np.float32), motion.root[0])
    for k in (0, 20, 40):
        picture = renderer.frame(posed(motion)[k], motion.root[k])
        hue = picture.max(-1).astype(int) - picture.min(-1) > 60
        assert hue.any() and not hue[[0, -1]].any() and not hue[:, [0, -1]].any()
    assert not (empty.max(-1).astype(int) - empty.min(-1) > 60).any()


def test_sheet(motion: Motion, tmp_path: Path) -> None:
    path = contact_sheet([motion, standing()], ["one", "two " * 1_000_000], tmp_path / "s.png", frames=4)
    one = contact_sheet([motion], ["one"], tmp_path / "t.png", frames=4)
    with Image.open(path) as two_rows, Image.open(one) as one_row:
        assert two_rows.width == one_row.width and two_rows.height > 1.7 * one_row.height
    assert export.save(motion, tmp_path / "u.png", frames=3).stat().st_size > 5000


@pytest.mark.parametrize(("count", "captions", "frames"), [(0, 0, 8), (1, 2, 8), (1, 1, 1), (1, 1, 41)])
def test_sheet_limits(motion: Motion, tmp_path: Path, count: int, captions: int, frames: int) -> None:
    with pytest.raises(UserError, match="accepted"):
        contact_sheet([motion] * count, ["x"] * captions, tmp_path / "s.png", frames)
    assert not list(tmp_path.iterdir())


def test_gif(motion: Motion, tmp_path: Path) -> None:
    with Image.open(export.save(motion.slice(0, 10), tmp_path / "a.gif", size=96)) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (10, (96, 96), 50, 0)
        first = np.asarray(gif.convert("RGB")).astype(int)
        gif.seek(9)
        assert np.abs(np.asarray(gif.convert("RGB")) - first).max() > 40


def test_gif_of_a_fast_clip_keeps_its_duration(step: Motion, tmp_path: Path) -> None:
    with Image.open(export.save(step, tmp_path / "a.gif", size=48)) as gif:
        assert gif.n_frames == 20 and gif.info["duration"] == 50  # 30 frames at 30 a second


@pytest.mark.parametrize("fps", [12, 15, 30])
def test_gif_lasts_as_long_as_the_clip(motion: Motion, tmp_path: Path, fps: int) -> None:
    clip = motion.resampled(fps).slice(0, 11)
    with Image.open(export.save(clip, tmp_path / "a.gif", size=48)) as gif:
        total = 0
        for k in range(gif.n_frames):
            gif.seek(k)
            total += gif.info["duration"]
    assert total == pytest.approx(1000 * clip.seconds, abs=50)  # a picture of those at 20 a second


def test_a_film_whose_name_has_a_colon(step: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    assert export.save(step, "take:1.mp4", size=32).stat().st_size > 500


def test_mp4(step: Motion, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = export.save(step, tmp_path / "a.mp4", size=97)
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
        assert stream.average_rate == Fraction(30) and len(frames) == 30 and frames[0].shape == (98, 98, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 60


def test_an_mp4_is_the_same_every_time(motion: Motion, tmp_path: Path) -> None:
    pytest.importorskip("av")
    drawn = list(pictures(motion, 320))
    films = [encode_mp4(tmp_path / f"{i}.mp4", lambda _: iter(drawn), 20, 320) for i in range(8)]
    assert len({film.read_bytes() for film in films}) == 1


def test_mp4_without_pyav_names_the_install_line(
    step: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[video\]"'):
        export.save(step, tmp_path / "a.mp4")
    with pytest.raises(UserError, match="PyAV"):
        export.check_target(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_bad_size(step: Motion, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="size 5"):
        export.save(step, tmp_path / name, size=5)
