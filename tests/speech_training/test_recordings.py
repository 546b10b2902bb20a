"""Synthesizers and recordings: phones in time, folders in the usual layouts, stamps, the archive of a game, faces."""

import ctypes.util
import io
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt.face.audio_model.driver import PAIRED_CHANNELS
from avatargpt.speech.audio import RATE, frames_in, load
from avatargpt.speech.features import WIDTH
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data import corpus, recordings
from avatargpt.train.speech_data.clips import SpeechData, flite_clips, label_sentences, sentences_of
from avatargpt.train.speech_data.labels import Labeller
from avatargpt.train.speech_data.synthesizers import Espeak, Flite, phones_of
from tests.factories import voice
from vqvae.errors import UserError


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="only building data needs espeak-ng")
def test_espeak_gives_phones_in_time() -> None:
    espeak = Espeak()
    sound, phones = espeak.speak("Bob's map, please. Five shoes.", "en-us", 160)
    names = [p.name for p in phones if p.name != "SIL"]
    assert names[:3] == ["B", "AA", "B"] and "SH" in names and "F" in names
    assert all(a.end <= b.start + 1e-6 for a, b in zip(phones, phones[1:], strict=False))
    levels = {p: rms(sound[round(p.start * espeak.rate) : round(p.end * espeak.rate)]) for p in phones}
    vowels = [v for p, v in levels.items() if p.name in ("AA", "AE", "AY")]
    assert min(vowels) > max(v for p, v in levels.items() if p.name == "P")
    with pytest.raises(UserError, match="no voice"):
        espeak.speak("a", "nobody")


def test_phones_of_flite(monkeypatch: pytest.MonkeyPatch) -> None:
    phones = phones_of("pau:0.220 dh:0.254 ax:0.304 b:0.394 el:0.5 el:0.5 pau:0.6\n")
    assert [p.name for p in phones] == ["SIL", "DH", "AH", "B", "L", "SIL"]
    assert phones[3] == Phone("B", 0.304, 0.394) and phones[-1].end == 0.6
    for wrong in ("pau", "pau:x", "qq:0.3", "pau:0.5 b:0.4"):
        with pytest.raises(UserError, match="no phone"):
            phones_of(wrong)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="apt install flite"):
        Flite()


@pytest.mark.skipif(shutil.which("flite") is None, reason="only building data needs flite")
def test_flite_gives_phones_in_time() -> None:
    flite = Flite()
    sound, rate, phones = flite.speak("Bob's map.", "slt")
    assert [p.name for p in phones if p.name != "SIL"][:3] == ["B", "AA", "B"]
    assert phones[-1].end == pytest.approx(len(sound) / rate, abs=0.2)
    assert flite.speak("Bob's map.", "slt", 1.3)[2][-1].end > 1.15 * phones[-1].end
    with pytest.raises(UserError, match="accepted: awb, rms, slt, kal16"):
        flite.speak("a", "nobody")
    clips, again = (list(flite_clips(["Papa made a map."], SpeechData(flite=2), flite)) for _ in range(2))
    assert len(clips) == 2 and all(c.source == "flite" and c.curves.max() > 0.2 for c in clips)
    assert np.array_equal(clips[1].features, again[1].features)


def test_folders_in_the_layouts_of_public_corpora(tmp_path: Path) -> None:
    for path in ("19/198/19-198-0001.flac", "wavs/LJ001-0002.wav", "own/b.wav", "own/silent.wav", "own/dots.wav"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / path, voice(0.5), RATE)
    (tmp_path / "19/198/19-198.trans.txt").write_text("19-198-0001 NORTHANGER ABBEY\n19-198-0002 GONE\n")
    (tmp_path / "metadata.csv").write_text("LJ001-0002|in 1455|in fourteen fifty-five\n")
    (tmp_path / "own/b.lab").write_text("papa\n")
    (tmp_path / "own/dots.txt").write_text("...")
    def spell(text: str) -> tuple[str, ...]:
        return tuple(text.replace(".", "").split())

    sentences = {s.name: s.phones for s in recordings.load_transcribed(tmp_path, spell)}
    expected = {"19-198-0001": "northanger abbey", "LJ001-0002": "in fourteen fifty-five", "b": "papa"}
    assert sentences == {f"real/{name}": tuple(text.split()) for name, text in expected.items()}
    assert len(list(sentences_of(tmp_path, spell))) == 3
    with pytest.raises(UserError, match="no recordings with their words"):
        next(sentences_of(tmp_path / "19", lambda text: ()))


def test_options_for_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from avatargpt.train.command import main

    (tmp_path / "speech.yaml").write_text("data: {}")
    argv = ["speech", "--config", str(tmp_path / "speech.yaml"), "--faces", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main([*argv, "--spoken", str(tmp_path / "no")]) == 2 and "no: no such folder" in capsys.readouterr().err


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="only building data needs espeak-ng")
def test_synthetic_and_recorded_voices_in_one_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pocketsphinx")
    from avatargpt.train.command import main

    text = "She reads this letter at night"
    (tmp_path / "voice").mkdir()
    espeak = Espeak()
    soundfile.write(tmp_path / "voice" / "a.wav", espeak.speak(text, "en-us", 150)[0], espeak.rate)
    (tmp_path / "voice" / "a.txt").write_text(text)
    (tmp_path / "one.yaml").write_text("data: {clips: 1, held_out: 1, still: 1, copies: 0, further_copies: 0}")
    argv = ["speech", "--config", str(tmp_path / "one.yaml"), "--faces", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main([*argv, "--spoken", str(tmp_path / "voice")]) == 0
    assert {c.source for c in corpus.load(tmp_path / "out")} == {"clean", "espeak", "real", "recorded", "still"}
    assert "left out: none" in capsys.readouterr().out


def test_stamps(tmp_path: Path) -> None:
    folder = tmp_path / "stamps" / "animals"
    folder.mkdir(parents=True)
    (folder / "cat.txt").write_text("A cat.\nfr.utf8=Un chat.\nzh_TW.utf8=貓\n", encoding="utf-8")
    for name in ("cat_desc_fr.ogg", "cat_desc.ogg", "cat_desc_zh.ogg", "cat_desc_es.ogg", "dog_desc_fr.ogg"):
        soundfile.write(folder / name, voice(0.5), RATE, format="OGG", subtype="VORBIS")
    calls = []

    def spell(text: str, name: str) -> tuple[str, ...]:
        calls.append((text, name))
        return ("K", "AE", "T")

    sentences = {s.name: s for s in recordings.stamps(tmp_path, spell)}
    assert sorted(calls) == [("A cat.", "en-us"), ("Un chat.", "fr")]
    assert {n: s.split for n, s in sentences.items()} == {"stamps/en/cat": "val", "stamps/fr/cat": "train"}
    assert len(sentences["stamps/fr/cat"].audio) == RATE // 2
    (folder / "ant.txt").write_text("An ant.\nfr.utf8=Une fourmi.\n", encoding="utf-8")
    shutil.copy(folder / "cat_desc_fr.ogg", folder / "ant_desc_fr.ogg")
    assert [s.name[7:9] for s in sentences_of(tmp_path, spell)] == ["en", "fr", "fr"]  # speaker by speaker
    with pytest.raises(UserError, match="no spoken descriptions"):
        next(recordings.stamps(folder / "cat.txt", spell))


def test_recorded_speech_and_faces(shared: Path) -> None:
    faces = shared / "data" / "face"
    pair = next(recordings.load_paired_clips(faces / "facegood"))
    assert pair.features.shape[1] == WIDTH and len(pair.features) == len(pair.curves)
    assert np.all(np.delete(pair.curves, PAIRED_CHANNELS, axis=1) == 0)
    sentences = list(recordings.lj_sentences(faces / "ljspeech_sample"))
    assert [s.split for s in sentences].count("train") == recordings.LJ_TEST - 1  # 3 of 32 have a word without phones
    assert [s.split for s in sentences].count("val") == 6
    short = min((s for s in sentences if s.split == "train"), key=lambda s: len(s.audio))
    assert len(list(label_sentences([short], Labeller(), 1, 0))) == 2
    name, audio, phones = next(recordings.load_timed_speech(faces / "aligned_speech_misc" / "librivox_pocketsphinx"))
    assert phones[-1].end == pytest.approx(len(audio) / RATE, abs=0.2) and name
    sound, rate = load(faces / "voice2motion" / "example.wav")
    assert frames_in(len(sound), rate) > 300


GAME_RATE = 22050


def mp3(seconds: float) -> bytes:
    av = pytest.importorskip("av")
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as file:
        stream = file.add_stream("mp3", rate=GAME_RATE, layout="mono")
        sound = np.interp(np.arange(0, seconds, 1 / GAME_RATE), np.arange(RATE) / RATE, voice(1.0)[:RATE])
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = GAME_RATE
        for part in (frame, None):
            file.mux(stream.encode(part))
    return out.getvalue()


def text(line: str, align: int, at: int) -> bytes:
    body = bytes([len(line)]) + line.encode("latin-1")
    return body + b"\0" * (-(at + len(body)) % align if line else 0)


def talk(key: int, hero: dict[int, str], person: dict[int, str], again: tuple[str, str]) -> bytes:
    """A dialogue of one level."""
    at, parts, begins = 32 + 96, [], []
    for lines in (hero, person):
        begins.append(at)
        for number, line in lines.items():
            parts.append(struct.pack(">HH", 0, number) + text(line, 4, at + 4))
            at += len(parts[-1])
    second = at
    for line in again:
        parts.append(text(line, 2, at))
        at += len(parts[-1])
    head = struct.pack(">5h6hHHH", 1, 7, key, len(hero), len(person), *[0] * 6, begins[1], 0, second)
    return b"\0" * 20 + head.ljust(32 + 96, b"\0") + b"".join(parts)


def scene(lines: list[str]) -> bytes:
    at, parts = 12, []
    for line in ("*FL", *lines):
        parts.append(text(line, 2, at))
        at += len(parts[-1])
    return b"\0" * 20 + struct.pack(">6h", 0, -len(lines), 0, 0, 12, 0) + b"".join(parts)


def archive(folder: Path, files: dict[str, bytes]) -> Path:
    table, bodies, at = b"", b"", 15 + 21 * len(files)
    for name, body in files.items():
        table += struct.pack(">12sBII", name.encode(), 1, at + len(bodies), len(body))
        bodies += body
    path = folder / "deep" / recordings.ARCHIVE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"QTBLCEM10".ljust(13, b"\0") + struct.pack(">H", len(files)) + table + bodies)
    return path


def pronounce(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def test_dialogue(tmp_path: Path) -> None:
    sound = mp3(0.5)
    files = {
        "APE.DOG": talk(
            8, {0: "Hello!", 0xB3: "Well*03then*XY00(237,112)go on."}, {0x1A: "Gr\xe9at."}, ("Again.", "Yes.")
        ),
        "C3C.CUT": scene(["*FR", "Run*15, quick!", ""]),
        "silent.CUT": scene(["Nobody says this."]),
        **{f"08{n}.SB": sound for n in ("SSSSJ1", "00B3J1", "00B3J3", "001AP1", "XXXXP1", "0099J1")},
        "C3C__021.SB": sound, "C3C__022.SB": sound, "08XXXXJ1.SB": b"no sound at all",
    }  # fmt: skip
    archive(tmp_path, files)
    assert next(sentences_of(tmp_path, pronounce)).name.startswith("dialogue/")
    lines = {s.name: s for s in recordings.dialogue(tmp_path, pronounce)}
    assert {n: " ".join(s.phones) for n, s in lines.items()} == {
        "dialogue/08_J/08SSSSJ1": "Hello!", "dialogue/08_J/0800B3J1": "Well", "dialogue/08_J/0800B3J3": "go on.",
        "dialogue/08_P/08001AP1": "Gr at.", "dialogue/08_P/08XXXXP1": "Again.", "dialogue/C3C___/C3C__021": "Run",
        "dialogue/C3C___/C3C__022": ", quick!",
    }  # fmt: skip
    audio = lines["dialogue/08_J/08SSSSJ1"].audio
    quiet = recordings.QUIET * RATE
    assert audio.dtype == np.float32 and len(audio) == pytest.approx(0.5 * RATE + 2 * quiet, abs=0.12 * RATE)
    assert np.abs(audio[: int(0.9 * quiet)]).max() < 0.01 < np.abs(audio).max()
    assert {s.split for s in lines.values()} <= {"train", "val"}


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no queen.1c"):
        next(recordings.dialogue(tmp_path, pronounce))
    path = archive(tmp_path, {"APE.DOG": talk(8, {1: "Hello!"}, {}, ("", ""))})
    data = path.read_bytes()
    for damaged in (b"QTB", b"RIFF" + data[4:], data[:30], data[:-60]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            list(recordings.dialogue(tmp_path, pronounce))
