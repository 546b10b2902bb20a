"""Live sound: when that of a pipe is due, raw samples, recordings in real time and microphones."""

import io
import math
import os
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from avatargpt.speech import live
from avatargpt.speech.live import Listener, Playout
from vqvae.errors import UserError

RATE, FRAME, NEAR = 16_000, 1 / 30, 1e-4  # frames have 533 or 534 samples
# as documented: s that sound may be late, be ahead, and wait
MAX_LATE, MIN_AHEAD, MAX_WAITING = 0.2, 0.5, 30.0
Arrivals = list[tuple[float, float]]  # (second, seconds of sound)
Blocks = list[tuple[float, int, bool]]


def played(
    arrivals: Arrivals, begin: float = 0.0, end: float | None = None, stalls: float = math.inf
) -> tuple[Blocks, float]:
    """(time, samples, whether silence) of each block of sound that counts up from 1, and the seconds dropped.

    Args:
        end: when the source ends; None = after the last arrival. stalls: when blocks are not asked for during 0.44 s.
    """
    play, due, out, dropped, first = Playout(RATE, 0.0), sorted(arrivals), [], None, 1
    now, end = 0.0, max(at for at, _ in arrivals) if end is None else end
    while True:
        while due and due[0][0] <= now:
            at, seconds = due.pop(0)
            size = round(seconds * RATE)
            play.receive(np.arange(first, first + size), at)
            first += size
        if not due and now >= end:
            play.end()
        events = [at for at, _ in due[:1]] or [end]
        if dropped is None:
            if now < begin:
                now = min(min(t for t in [*events, begin] if t > now), begin)
                continue
            dropped = play.begin(now)
        got = play.next(now)
        if got is None:
            return out, dropped
        if isinstance(got, float):
            now = min([now + got, *(t for t in events if t > now)])
        else:
            out.append((now, len(got), not got.any()))
            if now >= stalls:
                now, stalls = now + 0.44, math.inf


def even(count: int, start: float = 0.1) -> np.ndarray:
    """Times of frames in a row."""
    return np.asarray(start + np.arange(count) * FRAME)


def tenths(count: int, late: int = -1) -> Arrivals:
    """A microphone's chunks of 0.1 s, one of them 0.1 s late."""
    return [(0.1 * k + 0.1 + 0.1 * (k == late), 0.1) for k in range(count)]


def test_chunks_of_a_microphone_become_even_frames_without_delay() -> None:
    blocks, dropped = played(tenths(20))
    assert dropped == 0 and not any(silent for *_, silent in blocks) and {n for _, n, _ in blocks} <= {533, 534}
    np.testing.assert_allclose([t for t, _, _ in blocks], even(60), atol=NEAR)


def test_late_chunks_and_stalls_of_the_machine_are_made_up_for() -> None:
    times = np.array([t for t, _, silent in played(tenths(100, late=10))[0] if not silent])
    late = times - even(300)
    assert late[40] == pytest.approx(0.1, abs=0.02) and late[150:].max() < 0.01
    assert np.diff(times[36:]).min() > 0.9 * FRAME  # and not in a hurry
    blocks, _ = played(tenths(40), stalls=1.5)
    late = np.array([t for t, _, _ in blocks]) - even(120)
    assert not any(silent for *_, silent in blocks) and late.max() > 0.4 and np.abs(late[60:]).max() < NEAR


def test_a_sentence_that_comes_at_once_is_played_at_its_speed_and_pauses_are_silent() -> None:
    blocks, dropped = played([(0.1, 1), (5, 2)])
    sound = [t for t, _, silent in blocks if not silent]
    assert dropped == 0 and len(sound) in (90, 91) and sound[30] == pytest.approx(5, abs=FRAME + NEAR)
    for sentence in (sound[:30], sound[31:]):
        np.testing.assert_allclose(np.diff(sentence), FRAME, atol=NEAR)
    pause = [t for t, _, silent in blocks if silent]
    assert pause[0] == pytest.approx(0.1 + 29 * FRAME + MAX_LATE, abs=NEAR) and max(np.diff(pause)) < FRAME + NEAR
    assert len(pause) == pytest.approx((3.9 - MAX_LATE) * 30, abs=2)


def test_what_a_microphone_sent_while_weights_were_loaded_is_dropped() -> None:
    blocks, dropped = played([(0.01, 0.7), *tenths(60)], begin=3.05)  # 0.7 s lay in the pipe when listening began
    assert dropped == pytest.approx(3.7) and not any(silent for *_, silent in blocks)
    np.testing.assert_allclose([t for t, _, _ in blocks[:3]], even(3, 3.1), atol=NEAR)


@pytest.mark.parametrize(
    ("arrivals", "end"),
    [
        ([(0.0, 2.0), (0.01, 40.0)], None), ([(1.0, MIN_AHEAD + 2), (4, 1)], None),
        ([(0.1 * k, 0.2) for k in range(40)], None), ([(0.5, 0.3)], 0.6),  # the last ends before playing begins
    ],
)  # fmt: skip
def test_what_comes_faster_than_speech_waits_for_its_turn(arrivals: Arrivals, end: float | None) -> None:
    blocks, dropped = played(arrivals, begin=3.5, end=end)
    samples = sum(n for _, n, silent in blocks if not silent)
    assert dropped == 0 and samples == round(sum(s for _, s in arrivals) * RATE)
    assert blocks[0][0] == pytest.approx(3.5 + FRAME, abs=NEAR)


@pytest.mark.parametrize("chunk", [0.55, 0.6, 0.8, 1.0, 1.5])
@pytest.mark.parametrize("first", [0.0, 0.04, 0.3])
def test_long_chunks_at_the_speed_of_speech_wait_for_their_turn(chunk: float, first: float) -> None:
    """Also where the first of them lay in the pipe when listening began, which says nothing of how it comes."""
    arrivals = [(first + chunk * k, chunk) for k in range(6)]
    blocks, dropped = played(arrivals, begin=2.5)
    assert dropped == 0 and sum(n for _, n, silent in blocks if not silent) == round(6 * chunk * RATE)


def test_a_delayed_reader_takes_no_source_for_fast() -> None:
    play = Playout(RATE, 0.0)
    for k in range(20):
        play.receive(np.ones(RATE // 10), 0.1 * k + 0.1, 0.1 * k)
    play.receive(np.ones(round(0.7 * RATE)), 2.7, 2.7 - 1e-4)  # lay there while another thread had the interpreter
    assert not play.fast
    play.receive(np.ones(round(0.7 * RATE)), 3.4, 2.7)
    assert play.fast


def test_memory_is_bounded_while_weights_are_loaded() -> None:
    play = Playout(RATE, 0.0)
    for k in range(round(10 * (MAX_WAITING + 60))):
        play.receive(np.ones(RATE // 10), 0.1 * k + 0.1)
        assert play.waiting <= MAX_WAITING
    assert play.begin(200.0) == pytest.approx(MAX_WAITING + 60) and play.waiting == 0


def test_a_listener_drops_old_sound_and_reports_it_once() -> None:
    read, write = os.pipe()
    dropped: list[float] = []
    with open(read, "rb", buffering=0) as source, open(write, "wb", buffering=0) as sink:
        listener = Listener(live.pipe_blocks(source), RATE, dropped.append)
        sink.write(np.full(16_000, 7, "<i2").tobytes())  # piled up: a second that is old by now
        time.sleep(0.1)
        speaking = threading.Thread(target=lambda: (time.sleep(0.1), sink.write(np.full(1600, 9, "<i2").tobytes())))
        blocks = listener.blocks()
        speaking.start()
        received = [next(blocks) for _ in range(4)]
    speaking.join()
    assert dropped == [1.0] and {int(v) for block in received for v in block} <= {0, 9}
    assert any(block.any() for block in received)


def test_a_listener_raises_what_its_source_does() -> None:
    def broken():
        yield np.ones(10)
        raise UserError("no more")

    for source, message in ((broken(), "no more"), (iter(()), "no sound came")):
        with pytest.raises(UserError, match=message):
            list(Listener(source, RATE, lambda seconds: None).blocks())


def test_silence_has_its_length() -> None:
    assert sum(len(b) for b in live.silent_blocks(16_000, 2.5)) == 40_000
    endless = live.silent_blocks(16_000)
    assert sum(len(next(endless)) for _ in range(100)) == 1_600_000


def test_a_recording_takes_its_time() -> None:
    clock, sizes, times = [0.0], [], []

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    for block in live.pace_sound([np.zeros(7999), np.zeros(534)], 16_000, lambda: clock[0], sleep):
        sizes.append(len(block))
        times.append(clock[0])
    assert sum(sizes) == 8533 and max(sizes) == 534 and len(sizes) == 17
    np.testing.assert_allclose(times, np.cumsum(sizes) / 16_000, atol=1e-9)


class Drops(io.BytesIO):
    """A pipe that gives little at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "FLAC", "OGG", "MP3"])
def test_a_file_is_no_raw_sound(kind: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(8000) / 20) / 2, 16_000, format=kind)
    data = file.getvalue()
    starts = [data, b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + data] if kind == "MP3" else [data]
    for start in starts:
        with pytest.raises(UserError, match=r"^-: a sound file \(\w+\), not raw samples; accepted"):
            list(live.pipe_blocks(Drops(start)))


@pytest.mark.parametrize(
    "start", [b"", b"\x01", b"RIFF", b"RIFF\x00\x00", b"\xff\xfb\x90\x64", b"\xff\xfb" * 9, b"ID3 mono"]
)
def test_raw_sound_that_begins_like_a_file(start: bytes) -> None:
    for data in (start, start + np.random.default_rng(0).bytes(6401), start + bytes(4000)):
        parts = list(live.pipe_blocks(Drops(data)))
        assert b"".join(p.tobytes() for p in parts) == data[: len(data) // 2 * 2]


def test_a_microphone_that_waits_keeps_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list = []

    class Stream:
        def __init__(self, rate: int, block: int, device: object, channels: int, kind: str, callback) -> None:
            calls.append(callback)

        def __enter__(self) -> None:
            for k in range(310):  # ten more than may wait
                calls[0](np.full((4, 1), k, np.float32), 4, None, None)

        def __exit__(self, *_: object) -> None:
            calls.append("closed")

    fake = SimpleNamespace(InputStream=Stream, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    blocks = live.microphone_blocks("default", 16_000)
    assert [int(next(blocks)[0]) for _ in range(300)] == list(range(300))
    calls[0](np.ones((4, 1), np.float32), 4, None, None)
    assert [len(next(blocks)), float(next(blocks)[0])] == [40, 1.0]
    blocks.close()  # type: ignore[attr-defined]
    assert calls[-1] == "closed"


def test_kept_sound_is_due_at_once_and_the_clock_is_the_sources() -> None:
    clock = live.SoundClock()
    playout = live.Playout(8000, 0.0, clock)
    for k in range(30):  # three seconds of a microphone before the first frame
        playout.receive(np.full(800, k, np.int16), 0.1 * (k + 1), 0.1 * k)
    assert playout.begin(3.0, 2.0) == pytest.approx(1.0, abs=0.11)
    blocks = []
    while isinstance(block := playout.next(3.0), np.ndarray):
        blocks.append(block)
    assert sum(map(len, blocks)) == pytest.approx(16_000, abs=900)  # all that was kept, without waiting
    assert clock(1.0) == pytest.approx(2.0, abs=0.11)  # of the stream, and of what was spoken
    assert isinstance(playout.next(4.0), np.ndarray)  # silence, which the source does not count
    assert clock(100.0) > 90 and live.SoundClock()(1.5) == 1.5
