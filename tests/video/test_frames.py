"""Reading films and folders of pictures."""

import os
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from avatargpt.video import frames as video_frames
from avatargpt.video.frames import Shots, frames, inspect
from avatargpt.video.sound import write_sound
from vqvae.errors import UserError

av = pytest.importorskip("av")


def grey(k: int, width: int = 96, height: int = 64) -> np.ndarray:
    """A picture whose brightness is its number, with a bright upper left corner."""
    picture = np.full((height, width, 3), 20 + 4 * (k % 50), np.uint8)
    picture[: height // 4, : width // 4] = 250
    return picture


def film(path, times, sound=False):
    """A film with frames at these times, seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 600)
        track = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for k, t in enumerate(times):
            frame = av.VideoFrame.from_ndarray(grey(k), format="rgb24")
            frame.pts, frame.time_base = round(t * 600), Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None:
            tone = np.sin(np.arange(48_000 * 2) * 0.05).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate = 48_000
            fifo = av.AudioFifo()
            fifo.write(frame)
            for piece in fifo.read_many(1024):
                container.mux(track.encode(piece))
            container.mux(track.encode(None))
    return path


def test_times_are_the_films_own(tmp_path):
    times = [0.0, 0.05, 0.1, 0.4, 0.45, 0.9]
    about = inspect(film(tmp_path / "a.mp4", times))
    assert (about.width, about.height, about.sound) == (96, 64, False)
    assert [f.time for f in frames(about)] == pytest.approx(times, abs=1e-3)
    cut = list(frames(about, start=0.08, end=0.5))
    assert [f.time for f in cut] == pytest.approx([0.1, 0.4, 0.45], abs=1e-3)
    assert abs(int(cut[0].picture[40, 60, 0]) - int(grey(2)[40, 60, 0])) < 6


def test_rate_and_size_are_bounded(tmp_path):
    about = inspect(film(tmp_path / "a.mp4", np.arange(60) / 60))
    assert len(list(frames(about, rate=30))) == pytest.approx(30, abs=1)
    assert next(frames(about, longest=48)).picture.shape == (32, 48, 3)


def test_a_folder_is_read_by_number(tmp_path):
    for k in (10, 9, 2):
        Image.fromarray(grey(k)).save(tmp_path / f"shot_{k}.png")
    about = inspect(tmp_path, rate=10)
    got = list(frames(about))
    assert [f.time for f in got] == pytest.approx([0, 0.1, 0.2])
    assert [int(f.picture[-1, -1, 0]) for f in got] == [28, 56, 60]


def test_metadata_turns_a_film(tmp_path):
    path = film(tmp_path / "a.mp4", [0, 0.1, 0.2])
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # the matrix of the track; this one turns clockwise, as phones held upright write it
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(data)
    about = inspect(path)
    picture = next(frames(about)).picture
    assert (about.width, about.height) == (64, 96) and picture.shape == (96, 64, 3)
    assert picture[2, -3, 0] > 200 and picture[2, 2, 0] < 60


def test_cuts_are_counted():
    columns = np.linspace(0, 6, 128)
    plain = [np.full((96, 128, 3), 60 + k, np.uint8) for k in range(9)]  # slowly brighter
    waves = [np.tile(128 + 100 * np.sin(columns + 0.1 * k), (96, 1)).astype(np.uint8)[..., None].repeat(3, 2)
             for k in range(9)]  # fmt: skip
    shots = Shots()
    assert [shots.of(p) for p in (*plain, *waves, *plain)] == [0] * 9 + [1] * 9 + [2] * 9


def test_sound_begins_with_the_stretch(tmp_path):
    import soundfile

    path = film(tmp_path / "a.mp4", np.arange(60) / 30, sound=True)
    out = write_sound(path, tmp_path / "a.wav", start=0.5, seconds=1.0)
    data, rate = soundfile.read(out)
    assert len(data) == rate and np.abs(data).max() > 0.3
    assert write_sound(film(tmp_path / "b.mp4", [0, 0.1]), tmp_path / "b.wav") is None


def sound_alone(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def header_alone(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()


def test_forms_are_read_alike(tmp_path):
    Image.fromarray(grey(0)).save(
        tmp_path / "a.gif", save_all=True, append_images=[Image.fromarray(grey(k)) for k in (9, 18)], duration=100
    )
    film(tmp_path / "a.mkv", [0, 0.1, 0.2])
    for name in ("a.gif", "a.mkv"):
        got = list(frames(inspect(tmp_path / name)))
        assert [f.time for f in got] == pytest.approx([0, 0.1, 0.2], abs=0.011)


@pytest.mark.parametrize(
    "kind", ["missing", "text", "empty", "folder", "fifo", "beyond", "cut", "sound", "header", "hours"]
)
def test_bad_films_are_one_line(tmp_path, kind):
    path = tmp_path / "a.mp4"
    if kind in ("text", "empty"):
        path.write_text("not a film\n" * 50 * (kind == "text"))
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("beyond", "cut"):
        film(path, np.arange(30) / 30)
    elif kind == "hours":
        film(path, [0, 7300])
    elif kind in ("sound", "header"):
        {"sound": sound_alone, "header": header_alone}[kind](path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError, match="a.mp4") as error:
        list(frames(inspect(path), start=99.0 if kind == "beyond" else 0.0))
    text = str(error.value)
    assert "\n" not in text and "Errno" not in text and text.count("a.mp4") == 1


def test_a_film_that_cannot_be_read_from_its_middle_is_read_from_its_beginning(tmp_path, monkeypatch):
    about = inspect(film(tmp_path / "a.mp4", np.arange(30) / 10))
    whole = [f.time for f in frames(about, 1.5, 2.3)]
    decode, calls = video_frames._decode_frames, []

    def fail_once(path, container):
        calls.append(path)
        return decode(path, container) if len(calls) > 1 else iter(())

    monkeypatch.setattr(video_frames, "_decode_frames", fail_once)
    assert [f.time for f in frames(about, 1.5, 2.3)] == whole and len(calls) == 2
