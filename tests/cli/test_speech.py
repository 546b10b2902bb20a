"""``avatargpt gesture``, ``speak`` and ``align``: what is written and printed, with small networks."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt.cli.speech import check_english
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.audio_model.driver import Driver
from avatargpt.speech import alignment, word_files
from avatargpt.speech.words import Word, Words
from tests.cli.conftest import Cli, Result
from tests.factories import HELLO_WORDS, TEXT, sound_scores, voice
from tests.gesture.conftest import pipeline, same
from vqvae.errors import UserError
from vqvae.io import pos7
from vqvae.motion import Motion

SCORES, ONSETS = sound_scores(TEXT)
SECONDS = len(SCORES.features) / 30
MATERIAL = "Printing, in the only sense with which we are at present concerned, differs"
CYRILLIC = "Ну вот доброе утро дамы и господа"


@pytest.fixture
def gesture(cli: Cli, words: None, avatar_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``avatargpt gesture ARGS`` without Whisper; what any sound says is `TEXT`."""
    monkeypatch.setitem(sys.modules, "faster_whisper", None)  # as without the extra, installed or not
    monkeypatch.setattr(alignment, "score_sound", lambda model, samples: SCORES)
    monkeypatch.setattr(Driver, "load", classmethod(lambda cls, place=None: None))
    monkeypatch.setattr(alignment, "has_pocketsphinx", lambda: False)
    monkeypatch.setattr("avatargpt.speech.transcripts._excerpt", lambda *_: np.zeros(9, np.float32))
    return lambda *argv: cli("gesture", *argv, "--model", avatar_weights)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A sound as long as `TEXT` is."""
    soundfile.write(tmp_path / "talk.wav", voice(SECONDS, 22_050), 22_050)
    return tmp_path / "talk.wav"


def timed(shift: float = 0.0, text: str = TEXT) -> Words:
    ends = [*ONSETS[1:], SECONDS - 0.2]
    rows = zip((w.strip(".,!") for w in text.split()), ONSETS, ends, strict=True)
    return Words(tuple(Word(w, a + shift, b + shift) for w, a, b in rows))


def test_every_format_is_written(gesture: Any, talk: Path, tmp_path: Path) -> None:
    names = [tmp_path / f"a{s}" for s in (".npz", ".bvh", ".glb", ".npy", ".png")]
    result = gesture(talk, *(part for name in names for part in ("-o", name)))
    assert result.code == 0 and result.lines == [str(n) for n in names] and all(n.stat().st_size for n in names)
    motion = Motion.load(names[0])
    assert same(motion, pipeline().perform(talk)) and motion.caption == "talk" and len(motion) == int(SECONDS * 30)
    assert np.load(names[3]).shape == (len(motion), *pos7.SHAPE)
    assert result.err.splitlines() == [f"{talk}: words are off; they come with --transcript, or from Whisper "
                                       '(pip install "avatargpt[asr]")']  # fmt: skip


def test_films_have_the_sound(gesture: Any, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    soundfile.write(tmp_path / "a.wav", voice(0.5), 16_000)
    names = [tmp_path / "a.mp4", tmp_path / "a.mov"]
    assert gesture(tmp_path / "a.wav", "--asr", "off", "-o", names[0], "-o", names[1], "--size", 64).code == 0
    for name in names:
        with av.open(str(name)) as film:
            assert [s.type for s in film.streams] == ["video", "audio"] and film.streams.video[0].frames == 15
            assert max(float(np.abs(f.to_ndarray()).max()) for f in film.decode(audio=0)) > 0.05
    assert b"ftypqt" in names[1].read_bytes()[:16]


def test_words_are_laid_along_the_sound(gesture: Any, talk: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    for transcript in (TEXT, tmp_path / "t.txt"):
        result = gesture(talk, "--transcript", transcript, "-o", tmp_path / "a.npz", "--json")
        row = json.loads(result.out)["results"][0]
        assert (row["words"], row["times"], row["notes"]) == (14, "network", []) and result.err == ""
    words = alignment.align(talk, TEXT, Driver.load()).words
    assert same(Motion.load(tmp_path / "a.npz"), pipeline().perform(talk, words=words))


def test_word_times_of_files_are_kept_and_compared(gesture: Any, talk: Path, tmp_path: Path) -> None:
    def run(name: str, words: Words) -> Result:
        word_files.write(words, tmp_path / name)
        result = gesture(talk, "--transcript", tmp_path / name, "-o", tmp_path / "a.npz", "--json")
        assert result.code == 0, result.err
        return result

    result = run("t.TextGrid", timed())
    assert result.err == "" and json.loads(result.out)["results"][0]["words"] == 14
    text = " ".join(f"{MATERIAL.replace(',', '')} much".split()[:14])
    assert "do not seem to be spoken in" in run("o.ctm", timed(text=text)).err
    assert json.loads(run("t.srt", timed()).out)["results"][0]["times"] == "network"  # cues: laid along the sound
    rows = [{"word": w, "start": k / 3, "end": k / 3 + 0.2} for k, w in enumerate([*CYRILLIC.split(), "the"])]
    (tmp_path / "r.json").write_text(json.dumps({"words": rows}))
    result = gesture(talk, "--transcript", tmp_path / "r.json", "-o", tmp_path / "a.npz")
    assert "7 of 8 words are in no dictionary (Ну, вот, доброе, утро, дамы ...); is it" in result.err


def test_transcripts_that_do_not_fit(gesture: Any, talk: Path, tmp_path: Path) -> None:
    def file(name: str, content: str | Words) -> Path:
        if isinstance(content, Words):
            word_files.write(content, tmp_path / name)
        else:
            (tmp_path / name).write_text(content)
        return tmp_path / name

    fast = [{"word": "go", "start": k / 50, "end": k / 50 + 0.01} for k in range(100)]
    for transcript, message in (
        (f"{MATERIAL}.", "does not fit the sound"),
        (" ".join([TEXT] * 9), "does not fit the sound"),
        ("", "has no words"),
        (file("e.txt", " \n"), "empty file"),
        (tmp_path / "missing.TextGrid", "no such file"),
        ("missing.srt", "no such file"),
        ("Ну вот, доброе утро", "not written in the letters a to z"),
        (file("c.TextGrid", 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax ='), "c.TextGrid"),
        (file("j.json", '{"words": [{"word": "a", "start": 1, "end":'), "j.json"),
        (file("late.ctm", timed(shift=0.15 + SECONDS - timed().words[-1].end)), "late.ctm"),
        (file("other.srt", timed(shift=60)), "word times of this recording"),
        (file("fast.json", json.dumps({"words": fast})), "words a second; accepted: up to 9"),
    ):
        gesture(talk, "--transcript", transcript, "-o", tmp_path / "a.npz").refused(message)
    assert not (tmp_path / "a.npz").exists()


def test_doubtful_sound_is_reported(gesture: Any, tmp_path: Path) -> None:
    for name, pcm, rate, message in (
        ("silence", np.zeros(16_000), 16_000, "silence"), ("phone", voice(1.0, 8000), 8000, "8000 samples a second"),
        ("stereo", np.stack([voice(1.0)] * 2, 1), 16_000, "2 channels"),
        ("short", voice(0.05), 16_000, "this is a pose"),
    ):  # fmt: skip
        soundfile.write(tmp_path / f"{name}.wav", pcm, rate)
        result = gesture(tmp_path / f"{name}.wav", "-o", tmp_path / "a.npz", "--asr", "off")
        assert result.code == 0 and len(result.err.splitlines()) == 1 and message in result.err
        assert result.err.startswith(f"warning: {tmp_path / name}.wav: ")


def test_two_voices(gesture: Any, talk: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "b.wav", voice(SECONDS, seed=4), 16_000)
    both = (talk, "--interlocutor", tmp_path / "b.wav", "--asr", "off")
    gesture(*both, "-o", tmp_path / "a.npz")
    gesture(*both, "--interlocutor-transcript", TEXT, "-o", tmp_path / "b.npz")
    motion = Motion.load(tmp_path / "a.npz")
    assert same(motion, pipeline().perform(talk, other=tmp_path / "b.wav"))
    assert not same(motion, Motion.load(tmp_path / "b.npz"))


@pytest.fixture
def speak(cli: Cli, words: None, avatar_weights: Path) -> Callable[..., Result]:
    """``avatargpt speak ARGS`` without words, which must succeed."""

    def run(*argv: object) -> Result:
        result = cli("speak", *argv, "--model", avatar_weights, "--asr", "off")
        assert result.code == 0, result.err
        return result

    return run


def test_one_avatar_in_every_format(cli: Cli, speak: Any, sound: Path, tmp_path: Path) -> None:
    names = [tmp_path / f"a{s}" for s in (".npz", ".glb", ".vrma", ".bvh", ".csv")]
    result = speak(sound, *(x for n in names for x in ("-o", n)), "--seed", "3")
    assert result.lines == [str(n) for n in names] and all(n.stat().st_size for n in names)
    avatar = AvatarMotion.load(names[0])
    assert len(avatar) == 30 and avatar.caption == "talk" and avatar.sound == sound
    speak(sound, "-o", tmp_path / "b.npz", "--seed", "3")
    assert np.array_equal(AvatarMotion.load(tmp_path / "b.npz").body.joints, avatar.body.joints)
    assert cli("describe", names[0]).code == 0
    assert cli("export", names[0], tmp_path / "c.bvh", tmp_path / "c.csv").code == 0


def test_a_film_of_an_avatar_carries_the_sound(speak: Any, sound: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    speak(sound, "-o", tmp_path / "a.mp4", "--size", "32")
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert [s.type for s in film.streams] == ["video", "audio"] and film.streams.video[0].frames == 30


def test_what_is_held_or_left_out_is_noted(fake: Any, speak: Any, sound: Path, tmp_path: Path) -> None:
    bvh = tmp_path / "a.bvh"
    result = speak(sound, "--body", "a person strolls", "-o", bvh, "--json", "--text", "smile")
    row = json.loads(result.out)["results"][0]
    assert fake.calls[0][1]["texts"] == ["a person strolls"] and "score" in row
    shortened, faceless = row["notes"]
    assert shortened.startswith("the body lasts 2.0 s, the sound 1.0 s")
    assert faceless.startswith(f"{bvh}: holds no face")
    assert "a person strolls -> body: a person walks" in result.err and f"note: {shortened}" in result.err
    assert "note" not in speak(sound, "-o", tmp_path / "b.bvh", "-o", tmp_path / "b.csv").err


@pytest.fixture
def aligned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Words | None, object]]:
    """Every sound says `ALIGNED`, whatever the transcript; the list: with what that was asked."""
    calls: list[tuple[str, Words | None, object]] = []

    def align(audio: Path, transcript: str, driver: object, **options: Any) -> Words:
        calls.append((transcript, options["near"], options["aligner"]))
        return Words(HELLO_WORDS.words, 2.0, "test", ("doubtful",))

    monkeypatch.setattr(alignment, "align", align)
    return calls


def test_aligned_words_are_printed_and_written(cli: Cli, aligned: Any, talk: Path, tmp_path: Path) -> None:
    result = cli("align", talk, "Hello there, you!")
    assert result.lines == ["0.100\t0.500\thello", "0.500\t0.800\tthere", "1.200\t1.400\tyou"]
    assert result.err.splitlines() == ["warning: doubtful", "times: test"]
    result = cli("align", talk, "Hello", "-o", tmp_path / "a.TextGrid", "-o", tmp_path / "a.srt", "--json")
    row = json.loads(result.out)
    assert row["words"][0]["phones"][1] == {"phone": "AH0", "start": 0.2, "end": 0.25}
    assert row["source"] == "test" and row["files"] == [str(tmp_path / "a.TextGrid"), str(tmp_path / "a.srt")]
    assert word_files.read(tmp_path / "a.TextGrid").text == "hello there you"


def test_a_transcript_may_be_a_file(cli: Cli, aligned: Any, talk: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("One line\nand another", encoding="utf-16")
    word_files.write(Words((Word("timed", 0.2, 0.5),)), tmp_path / "t.ctm")
    cli("align", talk, f"@{tmp_path / 't.txt'}")
    cli("align", talk, tmp_path / "t.txt", "--aligner", "network")
    cli("align", talk, tmp_path / "t.ctm")
    assert aligned[:2] == [("One line\nand another", None, "auto"), ("One line\nand another", None, "network")]
    assert aligned[2][1] is not None and aligned[2][1].text == "timed"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Buenos dias a todos, hoy vamos a hablar de los animales del bosque", "Spanish"),
        ("Guten Morgen, heute sprechen wir \u00fcber die Tiere im Wald", "German"),
        ("Bonjour \u00e0 tous, aujourd'hui nous parlons des animaux de la for\u00eat", "French"),
        ("\u4eca\u65e5\u306f\u68ee\u306e\u52d5\u7269\u306b\u3064\u3044\u3066\u8a71\u3057\u307e\u3059", "Japanese"),
        ("\u5927\u5bb6\u597d \u4eca\u5929\u6211\u4eec\u8c08\u8c08\u68ee\u6797\u91cc\u7684\u52a8\u7269", "Chinese"),
    ],
)  # fmt: skip
def test_a_transcript_in_another_language_is_said_to_get_no_times(text: str, language: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"looks like {language}, and words get times in English alone"):
        check_english(text)
    word_files.write(Words(tuple(Word(w, k, k + 0.5) for k, w in enumerate(text.split()))), tmp_path / "a.ctm")
    check_english(str(tmp_path / "a.ctm"))  # times are times in any language
    check_english(MATERIAL)
    check_english("Good morning everyone, Se\u00f1or Guti\u00e9rrez and Frau M\u00fcller are here today")
