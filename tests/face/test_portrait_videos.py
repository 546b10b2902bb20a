"""Videos of faces: cut, turned and shrunk as they are shown, and what is refused of them."""

import gc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatargpt.train.portrait import filmed, rendered
from vqvae.errors import UserError

av = pytest.importorskip("av")


def film(path: Path, frames: np.ndarray, turn: int = 0) -> None:
    """(T, H, W, 3) uint8 -> a video; players turn it by `turn` degrees, counterclockwise."""
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


def test_videos_of_ones_own(tmp_path: Path) -> None:
    take = rendered(1, 4, 96, 3)[0]
    film(tmp_path / "me.mp4", take.frames)
    with pytest.raises(UserError, match=r"me\.npz"):
        filmed(tmp_path, 64)
    np.savez(tmp_path / "me.npz", landmarks=take.points * 96)
    found = filmed(tmp_path, 64)
    assert len(found) == 1 and found[0].frames.shape == (4, 64, 64, 3) and found[0].lines.max() > 100
    low, high = found[0].points.min((0, 1)), found[0].points.max((0, 1))
    assert (low > 0.1).all() and (high < 0.9).all()
    lost = take.points * 96
    lost[1, 68:], lost[2] = np.inf, np.nan  # of the third frame nothing was found: it is left out
    np.savez(tmp_path / "me.npz", landmarks=lost)
    kept = filmed(tmp_path, 64)[0]
    assert kept.frames.shape == (3, 64, 64, 3) and np.isfinite(kept.points[:, :68]).all()
    assert np.allclose(kept.points[:, :68], found[0].points[[0, 1, 3], :68], atol=0.05) and kept.lines[1].max() > 100
    lost[1:] = np.nan
    np.savez(tmp_path / "me.npz", landmarks=lost)
    with pytest.raises(UserError, match="landmarks in 1 of 4 frames; accepted: in at least 2"):
        filmed(tmp_path, 64)
    np.savez(tmp_path / "me.npz", landmarks=take.points[:3] * 96)
    with pytest.raises(UserError, match="landmarks for 3"):
        filmed(tmp_path, 64)
    with pytest.raises(UserError, match="no video"):
        filmed(tmp_path / "nowhere", 64)


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_a_video_that_is_shown_turned(tmp_path: Path, turn: int) -> None:
    take = rendered(1, 2, 96, 3)[0]
    wide = np.pad(take.frames, ((0, 0), (0, 0), (0, 32), (0, 0)), mode="edge")
    for name, frames, angle in (("plain", wide, 0), ("turned", np.rot90(wide, -turn // 90, (1, 2)), turn)):
        (tmp_path / name).mkdir()
        film(tmp_path / name / "me.mp4", frames, angle)
        np.savez(tmp_path / name / "me.npz", landmarks=take.points * 96)  # of the picture as it is shown
    plain, turned = (filmed(tmp_path / name, 64)[0].frames.astype(int) for name in ("plain", "turned"))
    assert np.abs(plain - turned).mean() < 4 < np.abs(plain - turned[:, ::-1, ::-1]).mean()


def test_frames_are_shrunk_without_aliases(tmp_path: Path) -> None:
    stripes = np.zeros((2, 512, 512, 3), np.uint8)
    stripes[:, :, ::4] = stripes[:, :, 1::4] = 255
    film(tmp_path / "me.mp4", stripes)
    np.savez(tmp_path / "me.npz", landmarks=box(150, 362))
    found = filmed(tmp_path, 32)[0].frames.astype(float)
    assert abs(found.mean() - 127) < 6 and found[:, 4:-4, 4:-4].std() < 12  # grey, no moving bands


def test_a_cut_over_the_edge_keeps_its_place(tmp_path: Path) -> None:
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[:, 48:] = 200
    film(tmp_path / "me.mp4", np.stack([picture] * 2))
    np.savez(tmp_path / "me.npz", landmarks=box(0.3, 79.7))
    found = filmed(tmp_path, 64)[0].frames[0, 32, :, 0].astype(float)
    side, corner = 79.4 * 1.9, 40 - 79.4 * 0.95
    for x, value in ((20, 0), (70, 200), (110, 0)):  # pixels of the video; none lie beyond 96
        assert found[int((x - corner) / side * 64)] == pytest.approx(value, abs=25)


def test_a_long_video_is_not_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "me.mp4", np.full((20, 96, 128, 3), 90, np.uint8))
    np.savez(tmp_path / "me.npz", landmarks=box(20, 60, 20))
    alive, crop = [], Image.Image.crop

    def counted(picture: Image.Image, *where: object) -> Image.Image:
        alive.append(sum(issubclass(type(o), Image.Image) and o.size == (128, 96) for o in gc.get_objects()))
        return crop(picture, *where)

    monkeypatch.setattr(Image.Image, "crop", counted)
    assert filmed(tmp_path, 32)[0].frames.shape == (20, 32, 32, 3)
    assert len(alive) == 20 and max(alive) <= 3


@pytest.mark.parametrize("points", [box(0.2, 0.8), box(200, 260), box(-80, -2), box(10, 20), box(20, 4000)])
def test_landmarks_that_are_not_of_the_video(tmp_path: Path, points: np.ndarray) -> None:
    film(tmp_path / "me.mp4", np.full((2, 96, 96, 3), 90, np.uint8))
    np.savez(tmp_path / "me.npz", landmarks=points)
    with pytest.raises(UserError, match=r"me\.npz: landmarks with x from .* 96 x 96; accepted: pixels of the video"):
        filmed(tmp_path, 64)


def test_files_that_hold_no_landmarks(tmp_path: Path) -> None:
    film(tmp_path / "me.mp4", np.full((2, 96, 96, 3), 90, np.uint8))
    beside = tmp_path / "me.npz"
    np.savez(beside, landmarks=box(20, 60))
    whole = beside.read_bytes()
    for data in (whole[:-30], b"PK\x03\x04" + bytes(60), b""):
        beside.write_bytes(data)
        with pytest.raises(UserError, match="no landmarks for me.mp4"):
            filmed(tmp_path, 64)
    with beside.open("wb") as file:
        np.save(file, box(20, 60))
    with pytest.raises(UserError, match="no landmarks for me.mp4"):
        filmed(tmp_path, 64)
