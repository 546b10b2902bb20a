"""A talk as lines of JSON: tags, sentences, and one stream from the first to the last."""

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from avatargpt.avatar.events import EventSound, EventTalk, SpokenLine, feelings_at, lines_of, read_sentence, strip_tags
from avatargpt.avatar.live import join_pieces
from avatargpt.avatar.pipeline import ARMS, AvatarPipeline
from avatargpt.face.audio_model.conditioning import parse_emotions
from avatargpt.speech.words import Word
from tests.factories import voice
from vqvae.errors import UserError

RATE = 16_000


def wav(seconds: float, rate: int = RATE) -> str:
    file = io.BytesIO()
    soundfile.write(file, voice(seconds, rate), rate, format="WAV")
    return base64.b64encode(file.getvalue()).decode()


class Heard:
    """What an `EventSound` says of its sentences: each call with its line, None for the end, and second."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int | None, float]] = []

    def plan(self, sentence: SpokenLine, second: float) -> None:
        self.calls.append(("plan", sentence.line, second))

    def begin(self, sentence: SpokenLine, second: float) -> None:
        self.calls.append(("begin", sentence.line, second))

    def end(self, second: float) -> None:
        self.calls.append(("end", None, second))


def row(**fields: Any) -> str:
    return json.dumps(fields)


def test_tags_are_feelings_before_words() -> None:
    text, tags, (note,) = strip_tags("[happy] Hello! It is [sad:0.5] raining [inaudible] again.")
    assert "[inaudible] stays among the words" in note and "accepted neutral, happy" in note
    assert text == "Hello! It is raining [inaudible] again."
    assert [(n, f.text, f.strength) for n, f in tags] == [(0, "happy", 0.7), (3, "sad", 0.5)]
    words = [Word(w, k, k + 0.8) for k, w in enumerate(("Hello", "It", "is", "raining", "again"))]
    keyframes = feelings_at(tags, words)
    assert [f.second for f in keyframes] == [0.0, 2.7, 3.0]
    assert keyframes[1].strength == 0.7 and keyframes[2].strength == 0.5
    assert strip_tags("no tag") == ("no tag", [], [])


def test_a_face_is_calm_before_its_first_tag() -> None:
    _, tags, _ = strip_tags("I see. [surprised] Oh!")
    words = [Word(w, k, k + 0.8) for k, w in enumerate(("I", "see", "Oh"))]
    keys = [(f.second, f.text) for f in feelings_at(tags, words)]
    assert keys == [(0, "calm"), (1.7, "calm"), (2, "surprised")]
    (given,) = parse_emotions("sad")
    assert [f.text for f in feelings_at(tags, words, [given])] == ["sad", "sad", "surprised"]


def test_a_line_without_effect_is_noted() -> None:
    (misspelt, silent) = read_sentence(row(text="[hapy] Hello"), 4, RATE, None).notes  # type: ignore[arg-type]
    assert "line 4: [hapy] stays among the words" in misspelt and "line 4: without a sound nothing is said" in silent


def test_words_that_do_not_go_with_their_sound_or_text_are_noted() -> None:
    line = row(text="In being so late", wav=wav(1.0), words=[["In", 0.1, 0.3], ["being", 0.3, 9.5]])
    assert read_sentence(line, 2, RATE, None).notes == (  # type: ignore[arg-type]
        "line 2: 'being' ends at 9.5 s, and the sound at 1", "line 2: 4 words of text, 2 with times"
    )  # fmt: skip


def test_a_line_is_a_sentence() -> None:
    line = row(text="[happy] Good morning", wav=wav(1.0, 24_000), words=[["Good", 0.1, 0.3], ["morning", 0.3, 0.8]],
               pause=0.25, gesture="morning=wave")  # fmt: skip
    sentence = read_sentence(line, 3, RATE, None)  # type: ignore[arg-type]
    assert len(sentence.samples) == RATE and sentence.text == "Good morning" and sentence.pause == 0.25
    assert [w.text for w in sentence.words] == ["Good", "morning"] and sentence.gesture == "wave"
    assert sentence.gesture_word == sentence.words[1] and sentence.feelings[0].second == 0
    pcm = base64.b64encode((voice(0.5, RATE) * 32767).astype("<i2").tobytes()).decode()
    assert len(read_sentence(row(pcm=pcm), 1, RATE, None).samples) == RATE // 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 7: no JSON"), ("[1]", "no JSON object"), (row(txt="a"), "'txt' unknown; accepted text, file"),
        (row(text=3), "text: accepted text"), (row(wav="!"), "wav: no base64"), (row(wav="aGVsbG8="), "no sound file"),
        (row(wav="aa", pcm="aa"), "more than one sound"), (row(file="/none.wav"), "none.wav"),
        (row(pause=-1), "pause -1"), (row(words=[["a", 1]]), "word 1: accepted"),
        (row(gesture="wave"), "gesture: the line takes no time"),
        (row(words=[["a", 1, 2], ["b", 0.5, 3]]), "one after another"), (row(emotion="hapy"), "happy"),
        (row(words=[["a", 9, 10]], wav=wav(0.2)), "the sound is 0.2 s"),
        (row(text="a", gesture="b=wave"), "'b' has no"),
    ],
)  # fmt: skip
def test_bad_lines_say_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(UserError, match="line 7|none.wav") as caught:
        read_sentence(line, 7, RATE, None)  # type: ignore[arg-type]
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_lines_come_in_any_chunks() -> None:
    data = 'a\n{"text": "\u00e9"}\nlast'.encode()

    class Slow:
        def __init__(self) -> None:
            self.at = 0

        def read(self, size: int) -> bytes:
            self.at += 3
            return data[self.at - 3 : self.at]

    assert list(lines_of(Slow())) == ["a", '{"text": "\u00e9"}', "last"]  # type: ignore[arg-type]


def test_sentences_are_one_talk_on_one_clock(avatars: AvatarPipeline) -> None:
    lengths, pause = [0.5, 0.8, 0.3, 0.6], 0.2
    lines = [row(wav=wav(s), words=[["hello", 0.1, 0.25]], emotion="happy" if k % 2 else "sad", pause=pause)
             for k, s in enumerate(lengths)]  # fmt: skip
    reports: list[dict[str, Any]] = []
    stream = avatars.stream(RATE, words=[], seed=3)
    talk = EventTalk(avatars, stream, reports.append)
    blocks = list(talk.sound(lines, RATE, live=False))
    pieces = [stream.push(b) for b in blocks]
    pieces.append(stream.finish())
    take = join_pieces([p for p in pieces if p is not None])
    starts = np.cumsum([0, *(s + pause for s in lengths[:-1])])
    assert [r["start"] for r in reports] == pytest.approx(starts, abs=1e-3)
    assert [r["line"] for r in reports] == [1, 2, 3, 4] and talk.sentences == 4
    assert len(take) == int((sum(lengths) + 4 * pause) * 30)
    # the body is that of the whole sound at once: nothing begins anew with a sentence
    whole = avatars.stream(RATE, words=[], seed=3)
    parts = [whole.push(np.concatenate(blocks)), whole.finish()]
    assert np.allclose(take.body.root, join_pieces([p for p in parts if p is not None]).body.root)
    boundary = [round(s * 30) for s in starts[1:]]
    steps = np.linalg.norm(np.diff(take.body.joints, axis=0), axis=-1).max(1)
    assert max(steps[b - 1] for b in boundary) <= steps.max() and np.isfinite(take.face.weights).all()


def test_a_sentence_is_planned_while_the_one_before_sounds() -> None:
    heard, lines = Heard(), [row(wav=wav(s)) for s in (0.5, 3.0, 0.2)]
    sound = EventSound(lines, RATE, None, heard)  # type: ignore[arg-type]
    at = {}
    for _ in sound.blocks():
        for call in heard.calls:
            at.setdefault(call, (sound.samples - 1) // (RATE // 30) / 30)
    assert [(what, line) for what, line, _ in heard.calls] == [
        ("plan", 1), ("begin", 1), ("plan", 2), ("begin", 2), ("plan", 3), ("begin", 3), ("end", None)
    ]  # fmt: skip
    assert at["plan", 2, 0.5] == 0 and at["begin", 2, 0.5] == pytest.approx(0.5, abs=0.04)
    assert at["plan", 3, 3.5] <= 3.5 - 1.9 and heard.calls[-1] == ("end", None, 3.7)


def test_a_talk_ends_at_rest(avatars: AvatarPipeline) -> None:
    stream = avatars.stream(RATE, words=[], seed=1)
    talk = EventTalk(avatars, stream, lambda row: None)
    pieces = [stream.push(b) for b in talk.sound([row(wav=wav(1.5)), row(wav=wav(1.5))], RATE, live=False)]
    take = join_pieces([p for p in [*pieces, stream.finish()] if p is not None])
    alone = avatars.stream(RATE, words=[], seed=1, seconds=3.0)
    whole = join_pieces([p for p in (alone.push(np.zeros(3 * RATE, np.float32)), alone.finish()) if p is not None])
    arms = [i for arm in ARMS for i in arm]
    assert len(take) == len(whole) == 90
    np.testing.assert_allclose(take.body.rotations[-1, arms], whole.body.rotations[-1, arms], atol=1e-4)


def test_a_live_talk_keeps_its_own_time_and_survives_bad_lines() -> None:
    heard = Heard()
    faults: list[tuple[int, str]] = []
    lines = [row(wav=wav(0.2)), "{", row(wav=wav(0.2))]
    sound = EventSound(lines, RATE, None, heard,  # type: ignore[arg-type]
                       lambda n, text: faults.append((n, text)), live=True)  # fmt: skip
    start = time.monotonic()
    blocks = list(sound.blocks())
    elapsed = time.monotonic() - start
    seconds = sum(map(len, blocks)) / RATE
    assert elapsed >= seconds - 0.02 and 0.4 <= seconds < 2
    begun = [(line, at) for what, line, at in heard.calls if what == "begin"]
    assert [line for line, _ in begun] == [1, 3] and faults[0][0] == 2 and "no JSON" in faults[0][1]
    assert begun[1][1] >= begun[0][1] + 0.2
    with pytest.raises(UserError, match="line 1"):  # not live: nothing is half written
        list(EventSound(["{"], RATE, None, Heard()).blocks())  # type: ignore[arg-type]


def test_words_may_be_laid_along_their_sound(tmp_path: Path) -> None:
    sentence = read_sentence(row(text="\u4f60\u597d", wav=wav(0.4)), 1, RATE, None)  # type: ignore[arg-type]
    assert sentence.words == () and "words are off" in sentence.notes[0]
    spoken = row(text="Buenos d\u00edas a todos, hoy hablamos de los animales del bosque", wav=wav(2.0))
    sentence = read_sentence(spoken, 1, RATE, None)  # type: ignore[arg-type]
    assert sentence.words == () and "words are off (transcript 'Buenos" in sentence.notes[0]
