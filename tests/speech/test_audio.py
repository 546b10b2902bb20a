"""Sound: files, blocks, resampling, and the features of speech."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt.speech import audio
from avatargpt.speech.audio import RATE, FrameBlocks, blocks, frame_end, frames_in, inspect, load, resample, to_mono
from avatargpt.speech.features import (
    BANDS,
    PER_QUARTER,
    QUARTERS,
    WIDTH,
    RunningGain,
    SpeechFeatures,
    extract,
    level_sound,
    mel_matrix,
    silence,
)
from tests.factories import voice
from vqvae.errors import UserError


def tone(rate: int, seconds: float = 0.5, hz: float = 300) -> np.ndarray:
    return np.asarray(0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate), np.float32)


def test_frames_do_not_drift_in_an_hour() -> None:
    assert frame_end(30 * 3600 - 1) == 3600 * RATE
    lengths = {frame_end(n) - frame_end(n - 1) for n in range(1, 3000)}
    assert lengths == {533, 534}
    assert frames_in(3600 * 44_100, 44_100) == 108_000
    assert frames_in(1, 44_100) == 1


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_time_and_size(rate: int) -> None:
    audio = resample(tone(rate), rate)
    assert len(audio) == round(len(tone(rate)) * RATE / rate)
    expected = 0.5 * np.sin(2 * np.pi * 300 * np.arange(len(audio)) / RATE)
    assert np.abs(audio - expected)[200:-200].max() < 2e-3
    if rate > 2 * 11_000:  # above what 16 kHz can hold
        assert np.abs(resample(tone(rate, hz=11_000), rate)[200:-200]).max() < 1e-3


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_blocks_do_not_depend_on_chunks(rate: int) -> None:
    x = np.random.default_rng(0).standard_normal(rate).astype(np.float32)
    whole = np.concatenate(list(FrameBlocks(rate).push(x)))
    for chunk in (7, rate // 100, rate * 53 // 1000, rate // 2):
        source = FrameBlocks(rate)
        parts = [b for i in range(0, len(x), chunk) for b in source.push(x[i : i + chunk])]
        assert np.array_equal(np.concatenate(parts), whole)
    source = FrameBlocks(rate)
    first = int(rate / 30 + source.delay * rate) + 3
    assert source.delay < 0.0015 + 8 / rate and not list(source.push(x[: rate * 9375 // 300_000]))
    assert len(list(source.push(x[rate * 9375 // 300_000 : first]))) == 1  # as soon as its samples are there


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.int32, np.uint8])
def test_number_types_and_channels(kind: type) -> None:
    x = tone(RATE)
    scale = {np.float32: 1, np.int16: 32768, np.int32: 2**31, np.uint8: 128}[kind]
    shifted = x * scale + (128 if kind is np.uint8 else 0)
    seven = np.stack([shifted.astype(kind)] * 7, 1)
    assert np.abs(to_mono(seven) - x).max() < (0.01 if kind is np.uint8 else 1e-4)


def test_wrong_arrays_are_refused() -> None:
    for bad in (np.zeros((2, 3, 4), np.float32), np.zeros(5, bool), np.zeros((5, 100), np.float32)):
        with pytest.raises(UserError):
            to_mono(bad)
    with pytest.raises(UserError, match="samples a second"):
        FrameBlocks(100)


def test_numbers_that_are_none_become_silence_in_a_stream() -> None:
    x = tone(RATE)
    x[100:110] = np.nan
    source = FrameBlocks()
    assert np.isfinite(np.concatenate(list(source.push(x)))).all()
    assert source.repaired == 10


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "suffix"),
    [(8_000, 1, "PCM_U8", "wav"), (8_000, 1, "ULAW", "wav"), (44_100, 7, "PCM_16", "wav"),
     (48_000, 2, "PCM_24", "flac"), (16_000, 1, "VORBIS", "ogg"), (96_000, 2, "FLOAT", "wav")],
)  # fmt: skip
def test_files_of_many_kinds(tmp_path: Path, rate: int, channels: int, subtype: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([tone(rate)] * channels, 1), rate, subtype=subtype)
    samples, loaded_rate = load(path)
    assert loaded_rate == rate and len(samples) == round(rate * 0.5)
    assert np.abs(samples[500:-500] - tone(rate)[500:-500]).max() < 0.06
    assert inspect(path).channels == channels


def test_mistakes_have_clear_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.wav").write_text("not sound at all")
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), RATE)
    for name, message in (("a", "no such file"), ("text", "not a sound file"), ("none", "0 s long")):
        with pytest.raises(UserError, match=message):
            inspect(tmp_path / f"{name}.wav")
    bad = tone(RATE)
    bad[4000] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, RATE, subtype="FLOAT")
    with pytest.raises(UserError, match=r"not numbers.* 0\.250 s"):
        list(blocks(tmp_path / "nan.wav"))
    assert audio.MAX_SECONDS == 2 * 3600
    monkeypatch.setattr(audio, "MAX_SECONDS", 0.25)
    with pytest.raises(UserError, match="cut it into parts"):
        audio.open_sound(tone(RATE), RATE)
    assert audio.open_sound(tone(RATE)[: RATE // 4], RATE).about.samples == RATE // 4
    soundfile.write(tmp_path / "long.wav", tone(RATE), RATE)
    with pytest.raises(UserError, match="cut it into parts"):
        inspect(tmp_path / "long.wav")


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "ULAW"])
def test_a_wav_that_is_cut_off(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "whole.wav", np.tile(tone(RATE), 10), RATE, subtype=subtype)
    data = (tmp_path / "whole.wav").read_bytes()
    assert inspect(tmp_path / "whole.wav").seconds == 5
    cut, size = tmp_path / "cut.wav", data.index(b"data") + 4
    cut.write_bytes(data[: size + 4 + (len(data) - size - 4) * 2 // 5])
    for read in (inspect, load):
        with pytest.raises(UserError, match=r"cut\.wav: ends after 2\.0 s; its header says 5\.0 s"):
            read(cut)
    for unknown in (0xFFFFFFFF, 0x7FFFF000, 0x80000000):  # what streams write: ffmpeg, espeak, arecord
        cut.write_bytes(data[:size] + unknown.to_bytes(4, "little") + data[size + 4 :])
        assert len(load(cut)[0]) == 5 * RATE
    cut.write_bytes(data[:-100])  # as good as whole
    assert inspect(cut).seconds > 4.9


@pytest.mark.parametrize("suffix", ["ogg", "aiff", "wav", "flac", "mp3"])
def test_files_that_are_cut_short(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    soundfile.write(tmp_path / f"a.{suffix}", noise, RATE)
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    assert len(load(tmp_path / f"a.{suffix}")[0]) == len(noise)
    cut = "(cut short|ends after|damaged sound)"
    message = r"ends after \d\.\d s; its header says 5\.0 s" if suffix == "mp3" else cut
    for share in (0.3, 0.6, 0.85):
        (tmp_path / f"b.{suffix}").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match=rf"b\.{suffix}: {message}"):
            list(blocks(tmp_path / f"b.{suffix}"))


def test_libraries_do_not_write_to_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "a.mp3", noise, RATE)
    whole = (tmp_path / "a.mp3").read_bytes()
    capfd.readouterr()
    (tmp_path / "a.mp3").write_bytes(whole[: len(whole) // 2])
    soundfile.info(tmp_path / "a.mp3")
    assert "Warning" in capfd.readouterr().err  # what libmpg123 does when it is left to itself
    for at in range(0, len(whole), len(whole) // 7):
        (tmp_path / "a.mp3").write_bytes(whole[:at] + bytes(100) + whole[at + 100 : -50 - at // 3])
        with contextlib.suppress(UserError):
            load(tmp_path / "a.mp3")
    os.write(2, b"here again")
    assert capfd.readouterr().err == "here again"


def test_shape_and_chunks() -> None:
    x = voice(1.5, 22_050)
    whole = extract(x, 22_050)
    assert whole.shape == (45, WIDTH) and np.isfinite(whole).all()
    source, features = FrameBlocks(22_050), SpeechFeatures()
    rows = [features(b) for i in range(0, len(x), 331) for b in source.push(x[i : i + 331])]
    assert np.array_equal(np.stack(rows), whole[: len(rows)])


def test_nothing_is_heard_before_it_is_said() -> None:
    x = voice(1.0)
    changed = x.copy()
    changed[frame_end(14) :] = 0
    a, b = extract(x, RATE), extract(changed, RATE)
    assert np.array_equal(a[:15], b[:15])
    assert not np.array_equal(a[15], b[15])


def test_running_gain_evens_out_loudness() -> None:
    x = voice(8.0)
    loud, soft = extract(x, RATE), extract(x * 0.1, RATE)
    early = np.abs(loud[10:30] - soft[10:30])[:, :BANDS].mean()
    late = np.abs(loud[-30:] - soft[-30:])[:, :BANDS].mean()
    assert late < 0.3 * early


def test_a_quiet_voice_is_raised_within_two_seconds() -> None:
    gain = RunningGain()
    for k in range(60):  # syllables and gaps
        gain(10**-4.2 if k % 6 < 4 else 1e-8)
    assert gain.level < -40
    for k in range(30):  # who then goes on more softly is not raised as fast
        gain(10**-6.0 if k % 6 < 4 else 1e-8)
    assert gain.level > -48


def test_whole_sounds_are_as_loud_as_each_other() -> None:
    x = voice(2.0)
    assert np.allclose(level_sound(x), level_sound(x * 0.01), atol=1e-3)
    assert len(level_sound(np.zeros(100, np.float32))) == 100


def test_silence_does_not_turn_the_gain_up() -> None:
    gain = RunningGain()
    for _ in range(60):
        gain(1e-2)
    loud = gain.level
    for _ in range(150):  # five seconds of silence are no reason to turn up the noise
        gain(1e-8)
    assert gain.level == pytest.approx(loud, abs=0.2)


def test_pitch_and_voicing() -> None:
    rng = np.random.default_rng(0)
    for hz in (90, 150, 260):
        t = np.arange(RATE) / RATE
        wave = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 8)) * 0.1
        row = extract(np.asarray(wave, np.float32), RATE)[20].reshape(QUARTERS, PER_QUARTER)
        assert row[:, BANDS + 1].min() > 0.9
        assert np.allclose(150 * np.exp(row[:, BANDS + 2] / row[:, BANDS + 1]), hz, rtol=0.04)
    noisy = extract((0.1 * rng.standard_normal(RATE)).astype(np.float32), RATE)[20].reshape(QUARTERS, PER_QUARTER)
    assert noisy[:, BANDS + 1].max() < 0.6


def test_silence_is_steady_and_no_band_is_empty() -> None:
    rows = silence(20)
    assert rows.shape == (20, WIDTH) and np.array_equal(rows[10], rows[19])
    assert (mel_matrix().sum(0) > 0.2).all()
