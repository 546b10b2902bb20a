"""Pictures of the head: what is drawn, and that sound and pictures run together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt import export
from avatargpt.export.face.render import FaceRenderer
from avatargpt.export.face.video import _shortened, _strongest, face_sheet, pictures, telling
from avatargpt.export.head.head import head, turned
from avatargpt.export.head.morphs import shaped
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns


def clip(frames: int, fps: float = 30.0, **weights: float) -> FaceMotion:
    values = np.zeros((frames, 52))
    for name, w in weights.items():
        values[:, [arkit.INDEX[n] for n in arkit.expand(name)]] = w
    return FaceMotion(values, np.zeros((frames, 3)), fps)


def drawn(size: int = 128, yaw: float = 0.0, **weights: float) -> np.ndarray:
    motion = clip(1, **weights)
    points = turned(shaped(motion.weights[0]), turns(np.array([[yaw, 0, 0]]))[0])
    return FaceRenderer(size, size).frame(points).astype(float)


def test_the_picture_is_symmetric_and_lit() -> None:
    picture = drawn()
    head_only = picture[16:96, 32:96]
    assert 60 < head_only.mean() < 220 and head_only.std() > 30
    shape = drawn(yaw=0.0)[..., 0] < 180  # hair and pupils against skin and background: the key light is from one side
    assert np.mean(shape != shape[:, ::-1]) < 0.08


def test_left_is_on_the_viewers_right() -> None:
    change = np.abs(drawn(eyeBlinkLeft=1) - drawn()).sum(2)
    half = change.shape[1] // 2
    assert change[:, half:].sum() > 50 * max(change[:, : half - 2].sum(), 1)
    turning = np.abs(drawn(yaw=0.6) - drawn())
    assert turning.mean() > 2


def test_nearer_triangles_cover_farther_ones() -> None:
    """Against a slow z-buffer that looks at one triangle after the other."""
    points = shaped(clip(1, jawOpen=0.7).weights[0])
    renderer = FaceRenderer(48, 48, sharp=1)
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
    found = np.full(48 * 48, -1)
    found[pixel] = triangle
    assert (found.reshape(48, 48) == owner).mean() > 0.995
    assert fast.shape == (48, 48, 3)


@pytest.mark.parametrize("rate", [44_100, 22_255])
def test_sound_and_pictures_run_together(tmp_path: Path, rate: int) -> None:
    av = pytest.importorskip("av")
    moments = (15, 40)  # frames with an open mouth and a click
    motion = clip(60)
    motion.weights[[f + k for f in moments for k in range(3)], arkit.INDEX["jawOpen"]] = 1
    wave = np.zeros(3 * rate, np.float32)  # longer than the pictures
    for f in moments:
        wave[round(f / 30 * rate) :][: rate // 200] = 0.9
    soundfile.write(tmp_path / "click.wav", np.stack([wave, wave], 1), rate)
    path = export.save(motion, tmp_path / "a.mp4", size=64, audio=tmp_path / "click.wav")
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
    weights = clip(1, browOuterUpRight=0.58, browInnerUp=0.16, jawOpen=0.1, noseSneerLeft=0.07).weights[0]
    assert _strongest(weights, lambda s: len(s) < 60) == (
        "browOuterUpRight .58  browInnerUp .16  jawOpen .10\nnoseSneer .07"
    )
    assert _strongest(weights, lambda s: len(s) < 32) == "browOuterUpRight .58\nbrowInnerUp .16  jawOpen .10"
    assert _strongest(np.zeros(52), lambda s: True) == ""
    assert _shortened("Raise  the brow.", lambda s: len(s) < 20) == "Raise the brow."
    assert _shortened("Raise the brow and hold it", lambda s: len(s) < 20) == "Raise the brow ..."


def test_a_sheet_shows_what_is_short() -> None:
    wink = clip(90)
    wink.weights[50:54, arkit.INDEX["eyeBlinkRight"]] = 0.9
    shown = telling(wink, 6)
    assert shown[0] == 0 and (np.diff(shown) > 0).all() and 50 in shown
    wink.weights[5:8, arkit.INDEX["eyeBlinkLeft"]] = 0.9
    assert telling(wink, 6)[0] == 5
    assert list(telling(clip(90), 6)) == [0, 15, 30, 45, 60, 75]  # nothing happens
    assert list(telling(clip(2), 4)) == [0, 0, 1, 1]


def test_gif_and_sheet(tmp_path: Path) -> None:
    from PIL import Image

    motion = clip(12, jawOpen=0.5)
    with Image.open(export.save(motion, tmp_path / "a.gif", size=32)) as gif:
        assert gif.n_frames >= 1 and gif.size == (32, 32)
    with Image.open(export.save(motion.with_caption("open"), tmp_path / "a.png", frames=4)) as sheet:
        assert sheet.width > 700 and np.asarray(sheet).std() > 10
    with pytest.raises(UserError, match="2 to 40"):
        face_sheet([motion], ["x"], tmp_path / "b.png", frames=1)
    with pytest.raises(UserError, match="16 to 2048"):
        export.save(motion, tmp_path / "b.gif", size=4)
    with pytest.raises(UserError, match="no such file"):
        export.save(motion, tmp_path / "b.mp4", audio=tmp_path / "none.wav", size=32)
    assert not (tmp_path / "b.mp4").exists()


def test_pictures_come_one_by_one() -> None:
    stream = pictures(clip(1000), 16)
    assert next(stream).shape == (16, 16, 3)
