"""Seconds and counts beyond those of the instructions to learn from, the whole time and the end of a clip."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt.face.instructions.score_tokens import LongTokens, ScoreTokens
from avatargpt.face.performer import FacePerformer
from avatargpt.language.face.counts import as_fast, checked, counted, named_counts
from avatargpt.language.face.extent import extended
from avatargpt.language.face.regular import regular
from avatargpt.language.face.scores import check_times, filled, fitted
from avatargpt.language.face.seconds import Shortened, shortened
from avatargpt.model.folder import packaged
from instruct_data.face.score import Emotion, Event, Score
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def performer() -> FacePerformer:
    return FacePerformer.load(packaged())


def times(score: Score) -> list[tuple[str, float, float]]:
    return [(e.action, round(e.start, 2), round(e.end, 2)) for e in score.events]


@pytest.mark.parametrize(
    ("text", "read", "clock", "lasting"),
    [
        ("smile for 20 seconds", "smile for 5 seconds", (), (20,)),
        ("At second 8 nod, at second 12 smile.", "At second 2 nod, at second 3 smile.", (8, 12), ()),
        ("smile from 5 to 12 seconds", "smile from 2 to 5 seconds", (5, 12), (7,)),
        ("frown for ten seconds, nod twice", "frown for 5 seconds, nod twice", (), (10,)),
        ("smile for half a minute", "smile for 5 seconds", (), (30,)),
        ("blink at 2, 4 and 8 seconds", "blink at 1, 2 and 4 seconds", (2, 4, 8), ()),
        ("0-10s smile, 10-20s frown", "0-2s smile, 2-4s frown", (0, 10, 10, 20), (10, 10)),
        ("a 20-second smile", "a 5-second smile", (), (20,)),
        ("smile for 7 s, then frown", "smile for 5 s, then frown", (), (7,)),
        ("smile for 90s", "smile for 5s", (), (90,)),
        ("look sad for twenty-five seconds", "look sad for 5 seconds", (), (25,)),
        ("At second 40 wink.", "At second 5 wink.", (40,), ()),
        ("smile for two minutes", "smile for 5 seconds", (), (120,)),
        ("smile from second 8 until second 15", "smile from second 2 until second 4", (8, 15), ()),
        ("smile for 60 seconds, then nod for 2 s", "smile for 5 seconds, then nod for 2 s", (), (60, 2)),
        ("puff from 2 to 45 seconds", "puff from 2 to 5 seconds", (2, 45), (43,)),
        ("smile for 8 to 10 seconds", "smile for 3 to 5 seconds", (), (8, 10, 9)),
    ],
)
def test_long_seconds_are_divided(
    text: str, read: str, clock: tuple[float, ...], lasting: tuple[float, ...]
) -> None:
    short = shortened(text)
    meant = tuple(tuple(n for _, n in pairs) for pairs in (short.clock, short.lasting))
    assert (short.text, *meant) == (read, clock, lasting)


@pytest.mark.parametrize(
    "text",
    ["smile for 5 seconds, nod 12 times", "At 1.5 s nod, at 5 s wink.", "20 blinks", "Look 10 years younger.",
     "like the 80s", "a 1950s movie star smile", "in your 30s, smile", "a 90s kid"],
)  # fmt: skip
def test_seconds_that_the_reader_knows_stay(text: str) -> None:
    assert shortened(text) == Shortened(text)


def test_more_seconds_than_a_score_has_are_refused() -> None:
    with pytest.raises(UserError, match="700 seconds; accepted up to 600"):
        shortened("smile for 700 seconds")


def test_only_what_the_words_name_is_multiplied() -> None:
    tokens, text = ScoreTokens(), "At 8 s wink left, then smile for 12 seconds, nod."
    short = shortened(text)
    assert short.text == "At 2 s wink left, then smile for 3 seconds, nod." and short.by == 4
    events = (Event("wink_left", 2, 0.5), Event("smile", 2.6, 3.0), Event("nod", 5.7, 1.5))
    row = tokens.encode(Score(8.0, events, (), short.text))
    back = LongTokens(short).decode(row, text)
    assert times(back) == [("wink_left", 8.0, 8.5), ("smile", 8.6, 20.6), ("nod", 20.7, 22.2)] and back.text == text


def test_counts_in_full() -> None:
    assert named_counts("Nod 12 times, once more, blink twenty times, 3x, ten timestamps.") == [12, 20, 3]
    score = Score(6.0, (Event("nod", 0.2, 3.0, 0.7, 6), Event("smile", 3.3, 2.0)), (), "nod 12 times, then smile")
    more = counted(score)
    assert [e.repeat for e in more.events] == [12, 1] and more.length == pytest.approx(9.0)
    assert times(more) == [("nod", 0.2, 6.2), ("smile", 6.3, 8.3)]
    in_time = Score(6.0, (Event("blink", 0.2, 5.0, 0.7, 6),), (), "blink 15 times in 5 seconds")
    assert counted(in_time).events == (Event("blink", 0.2, 5.0, 0.7, 15),)
    few = Score(3.0, (Event("nod", 0.2, 2.0, 0.7, 3),), (), "nod 4 times")
    assert counted(few) is few, "counts that are known are the network's"
    assert named_counts("A 10x bigger smile, twice as fast; nod twice, blink a dozen times.") == [2, 12]
    both = (Event("nod", 0.3, 2.0, 0.7, 3), Event("blink", 0.4, 2.0, 0.7, 6))
    crossed = counted(Score(3.0, both, (), "blink 10 times while nodding 3 times"))
    assert [(e.action, e.repeat) for e in crossed.events] == [("nod", 3), ("blink", 10)]
    fewer = counted(Score(6.0, (Event("nod", 0.2, 3.0, 0.7, 15), Event("blink", 1.0, 2.0)), (), "nod 10 times, blink"))
    assert [e.repeat for e in fewer.events] == [10, 1]
    with pytest.raises(UserError, match="500 times; accepted up to 100"):
        counted(Score(3.0, (Event("nod", 0.2, 2.0, 0.7, 3),), (), "nod 500 times"))


def test_what_lasts_longer_is_done_more_often() -> None:
    short = shortened("nod for 30 seconds")
    read = Score(30.5, (Event("nod", 0.2, 30.0, 0.7, 6), Event("blink", 1.0, 0.3)), (), "nod for 30 seconds")
    assert [e.repeat for e in as_fast(read, short).events] == [36, 1]
    for text in ("nod 6 times for 30 seconds", "six slow nods over 30 seconds", "nod twice for 30 seconds"):
        told = replace_text(read, text)
        assert as_fast(told, short) is told


def test_what_goes_on_and_what_comes_last() -> None:
    parts = {"smile": Score(3, (Event("smile", 0.2, 2.0),)),
             "shake your head": Score(3, (Event("shake_head", 0, 1.5),)),
             "look angry": Score(3, (), (Emotion("angry", 0.7, 0, 3),)), "nod": Score(3, (Event("nod", 0.2, 1.5),)),
             "sad": Score(3, (), (Emotion("sad", 0.7, 0, 3),))}  # fmt: skip

    def said(text: str, *acts: Event, felt: tuple[Emotion, ...] = ()) -> Score:
        return extended(Score(4.0, acts, felt, text), 13.0, parts.__getitem__)

    assert times(said("smile the whole time", Event("smile", 0.2, 2.0))) == [("smile", 0.2, 12.6)]
    blink = Event("blink", 3, 0.3)
    nods = said("nod all the time, blink.", Event("nod", 0.2, 2.0, 0.7, 2), blink)
    assert nods.events == (Event("nod", 0.2, pytest.approx(12.4), 0.7, 12), blink)  # type: ignore[arg-type]
    both = said("look angry throughout and shake your head at the end", Event("shake_head", 0.6, 1.9, 0.7, 2),
                felt=(Emotion("angry", 0.7, 0, 3),))  # fmt: skip
    assert times(both) == [("shake_head", 10.7, 12.6)] and both.emotions == (Emotion("angry", 0.7, 0, 13.0),)
    later = said("happy, then sad towards the end", felt=(Emotion("happy", 0.7, 0, 2), Emotion("sad", 0.7, 2, 4)))
    turn = pytest.approx(26 / 3)
    assert later.emotions == (Emotion("happy", 0.7, 0, turn), Emotion("sad", 0.7, turn, 13.0))  # type: ignore[arg-type]
    assert times(said("smile for the last 3 seconds", Event("smile", 0.2, 2.0))) == [("smile", 10.0, 13.0)]
    assert times(said("halfway through, nod", Event("nod", 0.2, 1.5))) == [("nod", 6.5, 8.0)]
    assert times(said("nod at the end, don't smile the whole time", Event("smile", 0.2, 2.0))) == [("smile", 0.2, 2.2)]
    plain = Score(4.0, (Event("smile", 0.2, 2.0),), (), "smile in the end credits")
    assert extended(plain, 13.0, parts.__getitem__) is plain
    assert extended(replace_text(plain, "smile the whole time"), 3.0, parts.__getitem__).events == plain.events


def test_what_comes_every_so_many_seconds() -> None:
    score = Score(4.0, (Event("blink", 0.4, 1.2, 0.7, 2),), (Emotion("happy", 0.7, 0, 4),), "blink every 3 s; be happy")
    again = extended(score, 10.0, lambda text: Score(1, (Event("blink", 0.3, 0.3),)))
    assert times(again) == [("blink", 3.0, 3.3), ("blink", 6.0, 6.3), ("blink", 9.0, 9.3)]
    assert again.emotions == (Emotion("happy", 0.7, 0, 10.0),)
    three = regular(score, None, lambda text: Score(1, (Event("blink", 0.3, 0.3),)))
    assert len(three.events) == 3 and three.length == 10
    limits = {"blink every 2 s for 7 seconds": [2, 4, 6], "blink every 2 s from 3 to 8 s": [3, 5, 7],
              "blink every 2 seconds until second 5": [2, 4]}  # fmt: skip
    limits |= {"blink every 5 s for 1 second": [5, 10, 15], "blink every 5 s, then smile for 3 seconds": [5, 10, 15],
               "smile from 2 to 5 seconds, blink every 5 seconds": [5, 10, 15],
               "for 7 seconds, blink every 2 seconds": [2, 4, 6]}  # fmt: skip
    for text, starts in limits.items():
        made = regular(replace_text(score, text), 20.0, lambda text: Score(1, (Event("blink", 0.3, 0.3),)))
        assert [e.start for e in made.events] == starts, text
    drawn = regular(replace_text(score, "blink every 2 to 4 s"), 20.0, lambda text: Score(1, (Event("blink", 0, 0.3),)))
    assert all(2 <= b.start - a.start <= 4 for a, b in zip(drawn.events, drawn.events[1:], strict=False))
    with pytest.raises(UserError, match="every 0 s; accepted 0.3 s or more"):
        regular(replace_text(score, "blink every 0 seconds"), 5.0, lambda text: Score(1, (Event("blink", 0, 0.3),)))
    assert regular(replace_text(score, "don't blink every 2 s"), 9.0, lambda text: Score(1)).events == score.events
    often = replace_text(score, "every other second, blink")
    assert [e.start for e in regular(often, 7.0, lambda text: Score(1, (Event("blink", 0, 0.3),))).events] == [2, 4, 6]


def replace_text(score: Score, text: str) -> Score:
    return Score(score.length, score.events, score.emotions, text)


def test_seconds_by_the_clock_stay_in_a_shorter_clip() -> None:
    wink = Score(3.5, (Event("smile", 0.0, 1.0), Event("wink_right", 2.5, 0.9)), (), "smile; at 2.5 s wink right")
    assert times(fitted(wink, 3.0)) == [("smile", 0.0, 1.0), ("wink_right", 2.5, 3.0)] and filled(wink, 3.0) is wink
    with pytest.raises(UserError, match="wink right at 2.5 s; accepted before 2, the end of the clip"):
        check_times(wink, 2.0)
    late = Score(9.5, (), (Emotion("angry", 0.7, 9.0, 9.5),), "at 9 s be angry")
    with pytest.raises(UserError, match="angry at 9 s; accepted before 8"):
        check_times(late, 8.0)
    free = Score(3.5, (Event("smile", 0.0, 1.0), Event("wink_right", 2.5, 0.9)), (), "smile, then wink right")
    check_times(free, 2.0)
    assert fitted(free, 2.0).events[1].start < 2


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("at second 8 stick your tongue out, at second 12 smile", [("stick_out_tongue", 8.0), ("smile", 12.0)]),
        ("smile at 2 s, raise eyebrows at 6 s, wink left at 10 s",
         [("smile", 2.0), ("raise_brows", 6.0), ("wink_left", 10.0)]),
        ("after 10 seconds, raise your brows twice", [("raise_brows", 10.0)]),
    ],
)  # fmt: skip
def test_long_seconds_as_read(performer: FacePerformer, text: str, wanted: list[tuple[str, float]]) -> None:
    assert [(e.action, e.start) for e in performer.read([text])[0].events] == wanted


def test_long_instructions_as_read(performer: FacePerformer) -> None:
    texts = ["smile for 20 seconds", "keep your eyes closed for 8 seconds", "nod 12 times"]
    smile, closed, nods = performer.read(texts)
    assert [(e.action, e.duration) for e in (*smile.events, *closed.events)] == [("smile", 20), ("close_eyes", 8)]
    assert [(e.action, e.repeat) for e in nods.events] == [("nod", 12)] and smile.length >= 20
    spoken = performer.read(["look angry throughout and shake your head at the end"], sound=13.0)[0]
    assert spoken.emotions[0].end == 13.0 and spoken.events[0].end == pytest.approx(12.6)


def test_named_seconds_beyond_the_sound_are_refused(performer: FacePerformer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at 10 s; accepted before 1, the end of the clip"):
        performer.perform("at 10 seconds wink right", audio=np.zeros(16_000, np.float32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nod 0 times", "0 times; accepted whole counts from 1 to 100"),
        ("blink zero times, then smile", "zero times; accepted whole counts"),
        ("nod 1.5 times", "1.5 times; accepted whole counts"),
        ("nod -3 times", "-3 times; accepted numbers above zero"),
        ("wait -5 seconds, then smile", "-5 seconds; accepted numbers above zero"),
        ("smile for minus two seconds", "minus two seconds"),
        ("at -2 s wink", "-2 s;"),
        ("smile for 100,000 seconds", "100000 seconds; accepted up to 600"),
        ("smile for 2 hours", "7200 seconds; accepted up to 600"),
    ],
)
def test_numbers_that_cannot_be_done_are_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        shortened(checked(text))


def test_one_time_is_once() -> None:
    assert checked("wink 1 times, then nod one times") == "wink once, then nod once" and checked("nod 1x") == "nod once"
    for text in ("nod 2-3 times", "smile for 2 - 3 seconds", "nod at 1.5 times the usual speed", "twenty-one times",
                 "lip corners at minus fifty percent"):  # fmt: skip
        assert checked(text) == text


def test_once_is_done_once(performer: FacePerformer) -> None:
    assert [e.repeat for one in performer.read(["nod 1 times", "wink 1x"]) for e in one.events] == [1, 1]
