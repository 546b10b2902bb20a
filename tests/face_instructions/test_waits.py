"""Waits, denials and the ways in which people write times: rules around the reader."""

import numpy as np
import pytest

from avatargpt.face.audio_model.blinks import told
from avatargpt.face.audio_model.idle import calm_spans
from avatargpt.face.performer import FacePerformer
from avatargpt.language.face.laughter import laughing
from avatargpt.language.face.negation import allowed, denials, denies_moving
from avatargpt.language.face.waits import parted, waited
from avatargpt.language.numbers import in_seconds, value
from avatargpt.model.folder import packaged
from instruct_data.face.score import Emotion, Event, Score
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def performer() -> FacePerformer:
    return FacePerformer.load(packaged())


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("smile for two minutes", "smile for 120 seconds"),
        ("nod for a minute and a half", "nod for 90 seconds"),
        ("for one minute and 20 seconds nod", "for 80 seconds nod"),
        ("smile for 1m20s", "smile for 80 seconds"),
        ("wink at 0:05", "wink at 5 seconds"),
        ("0:00-0:08 smile, 0:08 frown", "from 0 to 8 seconds smile, at 8 seconds frown"),
        ("wink at 1:20", "wink at 80 seconds"),
        ("a blink of 1500 ms", "a blink of 1.5 seconds"),
        ("from 2,5 to 7,5 seconds", "from 2.5 to 7.5 seconds"),
    ],
)
def test_times_are_told_in_seconds(text: str, plain: str) -> None:
    assert in_seconds(text) == plain and in_seconds(plain) == plain


@pytest.mark.parametrize(
    "text",
    ["at 3:45 pm yawn", "yawn as if you had waited for ten minutes", "for a minute of silence", "at 2,4 and 8 seconds",
     "a ratio of 16:9", "You have been on hold for forty minutes", "after forty minutes a human voice picks up"],
)  # fmt: skip
def test_what_is_no_such_time_stays(text: str) -> None:
    assert in_seconds(text) == text


def test_number_words() -> None:
    told_as = {"twenty-five": 25, "Thirty five": 35, "a dozen": 12, "a hundred": 100, "two and a half": 2.5, "7.5": 7.5}
    assert {word: value(word) for word in told_as} == told_as


def test_what_waits_is_read_in_parts() -> None:
    assert parted("Smile, wait 9 seconds, then frown.") == ("Smile", 9.0, "frown.")
    assert parted("Wait for two minutes, then nod") == ("", 120.0, "nod")
    assert parted("Smile. Ten seconds later, wink.") == ("Smile", 10.0, "wink.")
    assert parted("Pause 5 s before smiling") == ("", 5.0, "smiling")
    assert parted("Wait about 3,5 seconds, then nod") == ("", 3.5, "nod")
    for left in ("Wait two seconds, then nod.", "Pause 5 s between nods", "Wait 5 s, at 9 s wink", "Wait 5 seconds.",
                 "wait a minute, what?", "wait 5 seconds while smiling, then frown", "don't wait 5 seconds, smile now",
                 "smile as if you had to wait 10 seconds, then frown"):  # fmt: skip
        assert parted(left) is None, left


def test_what_comes_after_a_wait() -> None:
    parts = {"nod": Score(2.0, (Event("nod", 0.2, 1.0),)), "wink": Score(1.0, (Event("wink_left", 0.3, 0.5),)),
             "be happy": Score(3.0, (), (Emotion("happy", 0.7, 0.0, 3.0),)),
             "be sad": Score(3.0, (), (Emotion("sad", 0.7, 0.0, 3.0),))}  # fmt: skip
    def read(text: str, seconds: float | None) -> Score:
        return parts[text]

    made = waited("nod, wait 5 seconds, wink", read)
    assert made is not None and made.text == "nod, wait 5 seconds, wink"
    assert [(e.action, round(e.start, 3)) for e in made.events] == [("nod", 0.2), ("wink_left", 6.2)]
    felt = waited("be happy, wait 5 seconds, then be sad", read)
    assert felt is not None and [(f.name, f.start, f.end) for f in felt.emotions] == [("happy", 0, 5), ("sad", 5, 8)]
    lasting = waited("be happy, wait 5 seconds, wink", read)
    assert lasting is not None and lasting.emotions[0].end == lasting.length
    assert waited("nod, then wink", read) is None
    with pytest.raises(UserError, match="accepted up to 600"):
        waited("nod, wait 599 seconds, then nod", read)
    with pytest.raises(UserError, match="waits until 6.2 s; accepted before 5, the end of the clip"):
        waited("nod, wait 5 seconds, wink", read, 5.0)


def test_denials() -> None:
    assert denials("Don't blink for five seconds, nod without smiling. No winking!") == ["blink", "smiling", "winking"]
    assert denials("Please do not close your eyes. Don't smile, laugh, or grin.") == [
        "close your eyes", "smile, laugh, or grin"]  # fmt: skip
    for other in ("Don't smile until you nod", "without letting go of it", "you don't smile", "don't laugh it off"):
        assert denials(other) == [], other
    blinks = Score(5.0, (Event("blink", 0.2, 4.0, 0.7, 5), Event("smile", 0.2, 3.0)), (), "smile without blinking")
    assert [e.action for e in allowed(blinks).events] == ["smile"]
    assert told(blinks) == ((0.0, float("inf")),)
    nothing = allowed(Score(3.0, (Event("smile", 0.2, 2.0),), (), "Don't smile for 8 seconds, please."))
    assert not nothing.events and nothing.length == 8
    mixed = Score(3.0, (Event("nod", 0.2, 2.0),), (), "Don't smile, just nod.")
    assert allowed(mixed) is mixed
    assert denies_moving("keep your head perfectly still") and denies_moving("smile without moving your head")
    assert calm_spans(Score(3.0, (), (), "hold still")) == ((0.0, float("inf")),)
    assert not denies_moving("without moving your lips")


def test_laughter() -> None:
    felt = (Emotion("surprised", 0.7, 0.0, 1.5), Emotion("amused", 0.8, 1.5, 3.5))
    made = laughing(Score(3.5, (), felt, "Look surprised, then burst out laughing."))
    assert made.events == (Event("laugh", 1.6, 1.6, 0.8),)
    for text in ("Look surprised, then amused.", "You laughed at it.", "Press your lips not to laugh."):
        assert not laughing(Score(3.5, (), felt, text)).events, text
    has = Score(3.5, (Event("laugh", 0.5, 1.0),), felt, "Laugh.")
    assert laughing(has) is has


def test_waits_and_denials_as_read(performer: FacePerformer) -> None:
    texts = ["Wait 12 seconds, then frown.", "Do not smile.", "Stare without blinking.", "wink at 0:08"]
    late, none, stare, wink = performer.read(texts)
    assert [(e.action, round(e.start, 2)) for e in late.events] == [("frown", 12.0)]
    assert not none.events and not none.emotions
    assert "blink" not in [e.action for e in stare.events]
    assert [(e.action, e.start) for e in wink.events] in ([("wink_right", 8.0)], [("wink_left", 8.0)])
    still = performer.perform("Do not smile.", seconds=1.0)
    assert float(np.abs(still.weights).max()) < 0.2
