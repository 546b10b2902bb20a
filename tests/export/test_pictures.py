"""Pictures of bodies and faces: the renderers, contact sheets, .gif and .mp4 with sound."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.head import head, shaped, turn_vertices
from avatargpt.export.mesh import PALETTE
from avatargpt.export.renderers import BodyRenderer, MeshRenderer, View, capsule_ends, fit_view
from avatargpt.export.sheet import _strongest, contact_sheet, expressive_frames, shorten
from avatargpt.export.video import encode_gif, encode_mp4, pictures
from tests.export.avatars import face_weights
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.motion import Motion


def colour_centre(picture: np.ndarray, key: str) -> np.ndarray:
    """Mean (x, y) of the pixels whose hue is that of a palette colour."""
    want = np.array(PALETTE[key], float)
    have = picture.astype(float)
    norm = np.linalg.norm(have, axis=-1) * np.linalg.norm(want)
    ys, xs = np.nonzero((have @ want) / np.maximum(norm, 1) > 0.992)
    assert len(xs) > 30, key
    return np.array([xs.mean(), ys.mean()])


def standing(lift_left: float = -75.0) -> Motion:
    local = rot.identity((2, 22))
    local[:, 16] = rot.from_axis_angle(np.radians([0, 0, lift_left]))
    local[:, 17] = rot.from_axis_angle(np.radians([0, 0, 75.0]))
    return Motion(local, np.tile([0.0, 0.97, 0.0], (2, 1)), 20.0)


def shot(motion: Motion, view: View, size: int = 300) -> np.ndarray:
    return BodyRenderer(size, size, view).frame(capsule_ends(motion)[0], motion.root[0])


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
    view = fit_view(capsule_ends(motion), motion.root)
    renderer = BodyRenderer(200, 200, view)
    empty = renderer.frame(capsule_ends(motion)[0] + np.array([0, -50, 0], np.float32), motion.root[0])
    for k in (0, 20, 40):
        picture = renderer.frame(capsule_ends(motion)[k], motion.root[k])
        hue = picture.max(-1).astype(int) - picture.min(-1) > 60
        assert hue.any() and not hue[[0, -1]].any() and not hue[:, [0, -1]].any()
    assert not (empty.max(-1).astype(int) - empty.min(-1) > 60).any()


def test_sheet(motion: Motion, tmp_path: Path) -> None:
    path = contact_sheet([motion, standing()], ["one", "two " * 1_000], tmp_path / "s.png", frames=4)
    single = contact_sheet([motion], ["one"], tmp_path / "t.png", frames=4)
    with Image.open(path) as two_rows, Image.open(single) as one_row:
        assert two_rows.width == one_row.width and two_rows.height > 1.7 * one_row.height
    assert export.save(motion, tmp_path / "u.png", frames=3).stat().st_size > 5000


@pytest.mark.parametrize(("count", "captions", "frames"), [(0, 0, 8), (1, 2, 8), (1, 1, 1), (1, 1, 41)])
def test_sheet_limits(motion: Motion, tmp_path: Path, count: int, captions: int, frames: int) -> None:
    for clip in (motion, face(4)):
        with pytest.raises(UserError, match="accepted"):
            contact_sheet([clip] * count, ["x"] * captions, tmp_path / "s.png", frames)
    assert not list(tmp_path.iterdir())


def test_gif(motion: Motion, tmp_path: Path) -> None:
    with Image.open(export.save(motion.slice(0, 10), tmp_path / "a.gif", size=96)) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (10, (96, 96), 50, 0)
        first = np.asarray(gif.convert("RGB")).astype(int)
        gif.seek(9)
        assert np.abs(np.asarray(gif.convert("RGB")) - first).max() > 40


@pytest.mark.parametrize("fps", [12, 15, 30])
def test_gif_lasts_as_long_as_the_clip(motion: Motion, tmp_path: Path, fps: int) -> None:
    clip = motion.resampled(fps).slice(0, 11)
    with Image.open(export.save(clip, tmp_path / "a.gif", size=48)) as gif:
        total = 0
        for k in range(gif.n_frames):
            gif.seek(k)
            total += gif.info["duration"]
        assert gif.n_frames <= np.ceil(20 * clip.seconds)
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
    for clip, size, limit in ((step, 5, 4096), (step, 4097, 4096), (face(4), 4, 2048), (face(4), 2049, 2048)):
        with pytest.raises(UserError, match=f"size {size}; accepted 16 to {limit}"):
            export.save(clip, tmp_path / name, size=size)


def face(frames: int, fps: float = 30.0, **weights: float) -> FaceMotion:
    return FaceMotion(face_weights(frames, **weights), np.zeros((frames, 3)), fps)


def drawn_face(size: int = 128, yaw: float = 0.0, **weights: float) -> np.ndarray:
    motion = face(1, **weights)
    points = turn_vertices(shaped(motion.weights[0]), turns(np.array([[yaw, 0, 0]]))[0])
    return MeshRenderer(size, size).frame(points).astype(float)


def test_the_picture_is_symmetric_and_lit() -> None:
    picture = drawn_face()
    head_only = picture[16:96, 32:96]
    assert 60 < head_only.mean() < 220 and head_only.std() > 30
    shape = drawn_face()[..., 0] < 180  # hair and pupils against skin and background: the light comes from one side
    assert np.mean(shape != shape[:, ::-1]) < 0.08


def test_left_is_on_the_viewers_right() -> None:
    change = np.abs(drawn_face(eyeBlinkLeft=1) - drawn_face()).sum(2)
    half = change.shape[1] // 2
    assert change[:, half:].sum() > 50 * max(change[:, : half - 2].sum(), 1)
    turning = np.abs(drawn_face(yaw=0.6) - drawn_face())
    assert turning.mean() > 2


def test_nearer_triangles_cover_farther_ones() -> None:
    """Against a slow z-buffer that looks at one triangle after the other."""
    points = shaped(face(1, jawOpen=0.7).weights[0])
    renderer = MeshRenderer(48, 48, sharp=1)
    fast = renderer.frame(points)
    local = (points - np.array([0.0, -0.030, 0.02])) @ renderer._axes.T
    depth = 0.78 - local[:, 2]
    x, y = 24 + local[:, 0] / depth * renderer._focal, 24 - local[:, 1] / depth * renderer._focal
    nearest, owner = np.full((48, 48), np.inf), np.full((48, 48), -1)
    for k, (a, b, c) in enumerate(head().triangles.astype(int)):
        area = (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])
        if area > -1e-9:
            continue
        for row in range(max(0, int(min(y[a], y[b], y[c]))), min(48, int(max(y[a], y[b], y[c])) + 1)):
            for col in range(max(0, int(min(x[a], x[b], x[c]))), min(48, int(max(x[a], x[b], x[c])) + 1)):
                px, py = col + 0.5 - x[a], row + 0.5 - y[a]
                u = (px * (y[c] - y[a]) - py * (x[c] - x[a])) / area
                v = ((x[b] - x[a]) * py - (y[b] - y[a]) * px) / area
                z = depth[a] + u * (depth[b] - depth[a]) + v * (depth[c] - depth[a])
                if u >= 0 and v >= 0 and u + v <= 1 and z < nearest[row, col]:
                    nearest[row, col], owner[row, col] = z, k
    pixel, triangle = renderer._visible(np.stack([x, y], 1), depth)
    drawn = np.full(48 * 48, -1)
    drawn[pixel] = triangle
    assert (drawn.reshape(48, 48) == owner).mean() > 0.995
    assert fast.shape == (48, 48, 3)


@pytest.mark.parametrize("rate", [44_100, 22_255])
def test_sound_and_pictures_run_together(tmp_path: Path, rate: int) -> None:
    av = pytest.importorskip("av")
    moments = (15, 40)  # frames with an open mouth and a click
    motion = face(60)
    motion.weights[[f + k for f in moments for k in range(3)], arkit.INDEX["jawOpen"]] = 1
    wave = np.zeros(3 * rate, np.float32)  # longer than the pictures
    for f in moments:
        wave[round(f / 30 * rate) :][: rate // 200] = 0.9
    soundfile.write(tmp_path / "click.wav", np.stack([wave, wave], 1), rate)
    path = export.save(motion, tmp_path / "a.mp4", size=160, audio=tmp_path / "click.wav")
    with av.open(str(path)) as film:
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="gray").astype(float)) for f in film.decode(video=0)]
    assert len(frames) == 60 and frames[0][0] == 0
    opened = [t for t, p in frames if np.abs(p - frames[0][1]).mean() > 1.2]
    assert np.allclose(opened, [(f + k) / 30 for f in moments for k in range(3)], atol=1e-3)
    with av.open(str(path)) as film:
        sound = [(float(f.pts * f.time_base), f.sample_rate, f.to_ndarray()[0]) for f in film.decode(audio=0)]
    assert sound[0][0] == 0
    samples, out = np.concatenate([s for _, _, s in sound]), sound[0][1]
    loud = np.flatnonzero(np.abs(samples) > 0.4) / out
    onsets = [loud[0], loud[loud > loud[0] + 0.1][0]]
    assert np.allclose(onsets, [f / 30 for f in moments], atol=0.001)
    assert 1.9 < len(samples) / out < 2.1


def test_words_of_a_sheet_stay_in_their_room() -> None:
    weights = face(1, browOuterUpRight=0.58, browInnerUp=0.16, jawOpen=0.1, noseSneerLeft=0.07).weights[0]
    assert _strongest(weights, lambda s: len(s) < 60) == (
        "browOuterUpRight .58  browInnerUp .16  jawOpen .10\nnoseSneer .07"
    )
    assert _strongest(weights, lambda s: len(s) < 32) == "browOuterUpRight .58\nbrowInnerUp .16  jawOpen .10"
    assert _strongest(np.zeros(52), lambda s: True) == ""
    for caption, text in (("Raise  the brow.", "Raise the brow."), ("Raise the brow and hold it", "Raise the brow ..."),
                          ("x" * 30, "..."), ("two " * 1_000_000, "two two two two ..."), ("", "")):  # fmt: skip
        assert shorten(caption, lambda s: len(s) < 20) == text


def test_a_sheet_shows_what_is_short() -> None:
    wink = face(90)
    wink.weights[50:54, arkit.INDEX["eyeBlinkRight"]] = 0.9
    frames = expressive_frames(wink, 6)
    assert frames[0] == 0 and (np.diff(frames) > 0).all() and 50 in frames
    wink.weights[5:8, arkit.INDEX["eyeBlinkLeft"]] = 0.9
    assert expressive_frames(wink, 6)[0] == 5
    assert list(expressive_frames(face(90), 6)) == [0, 15, 30, 45, 60, 75]  # nothing happens
    assert list(expressive_frames(face(2), 4)) == [0, 0, 1, 1]


def test_gif_and_sheet(tmp_path: Path) -> None:
    motion = face(12, jawOpen=0.5)
    with Image.open(export.save(motion, tmp_path / "a.gif", size=32)) as gif:
        assert gif.n_frames >= 1 and gif.size == (32, 32)
    with Image.open(export.save(motion.with_caption("open"), tmp_path / "a.png", frames=4)) as sheet:
        assert sheet.width > 700 and np.asarray(sheet).std() > 10
    with pytest.raises(UserError, match="no such file"):
        export.save(motion, tmp_path / "b.mp4", audio=tmp_path / "none.wav", size=32)
    assert not (tmp_path / "b.mp4").exists()


def test_a_sheet_of_an_avatar_has_its_body_above_its_face(tmp_path: Path) -> None:
    body = replace(standing(), fingers=rot.identity((2, 30)), modality="gesture")
    face = FaceMotion(np.zeros((2, 52)), np.zeros((2, 3)), 20.0)
    avatar = AvatarMotion(body, face, caption="hello")
    bare, face = replace(avatar.body, fingers=None, modality="body"), avatar.face.with_caption("hello")
    above, below = (Image.open(export.save(part, tmp_path / f"{part.modality}.png", frames=2)) for part in (bare, face))
    whole = np.asarray(Image.open(export.save(avatar, tmp_path / "avatar.png", frames=2)))
    assert whole.shape[:2] >= (above.height + 100, above.width) and (whole[30:272, : above.width - 100] == np.asarray(
        above)[30:272, : above.width - 100]).mean() > 0.98
    assert whole[above.height + 40 :].std() > 10


def test_pictures_come_one_by_one() -> None:
    stream = pictures(face(1000), 16)
    assert next(stream).shape == (16, 16, 3)
