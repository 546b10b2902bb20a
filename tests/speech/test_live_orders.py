"""Words and feelings that change while a face runs: messages in, answers back, and no jump in between."""

from __future__ import annotations

import json
import queue
import threading
from typing import Any

import numpy as np
import pytest

from avatargpt.face.audio_model.conditioning import FEELING_CHANGE, RELEASE, Clause, Direction, Feeling
from avatargpt.face.audio_model.controls import Controls, LiveControls, spans_after
from avatargpt.face.instructions.parser import doubt
from avatargpt.face.live import MAX_CHARACTERS, MAX_WAITING, CommandQueue, CommandReader, parse_command
from avatargpt.speech.audio import FPS
from instruct_data.face.score import Event, Score
from tests.speech.conftest import Words
from vqvae.errors import UserError


def direction(feelings: tuple[Feeling, ...] = (), clauses: tuple[Clause, ...] = ()) -> Direction:
    return Direction.make(feelings, clauses, Words())


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("smile", "not JSON"),
        ("[" * 8000, "not JSON"),
        ("[1]", "no JSON object"),
        ("{}", "no JSON object"),
        ('{"text": "smile", "speed": 2}', "'speed': unknown"),
        ('{"text": 1}', "text: accepted a text of at most"),
        ('{"text": "\\ud800"}', "text: accepted a text"),
        (json.dumps({"text": "x" * (MAX_CHARACTERS + 1)}), "at most 1000"),
        ('{"text": "..."}', "text: signs alone"),
        ('{"emotion": "happpy"}', "happy"),
        ('{"emotion": "happy:2"}', "emotion happy:2: intensity 2; accepted 0 to 1"),
        ('{"emotion": ""}', "emotion"),
    ],
)
def test_messages_that_are_refused(message: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        parse_command(message)
    assert "\n" not in str(error.value)


def test_messages_that_are_taken() -> None:
    assert parse_command('{"text": " Smile\\n twice "}').text == "Smile twice"
    assert parse_command('{"text": ""}').text == ""
    order = parse_command('{"emotion": "sad:0.7+angry:0.2"}')
    assert order.text is None and order.feelings == (Feeling(0, "sad", 0.7, (("angry", 0.2),)),)
    assert parse_command('{"text": "🙂"}').text == "🙂"


def test_a_feeling_turns_from_what_is_felt() -> None:
    before = direction((Feeling(0, "sad", 0.8), Feeling(4, "happy", 0.4)))
    after = before.followed(direction((Feeling(0, "angry", 1.0), Feeling(2, "calm", 0.0))), 2.0, False)
    for at in (2.0, 2.0 + FEELING_CHANGE, 4.0 + FEELING_CHANGE):
        vector, strength = after.feeling(np.array([at]))
        then = direction((Feeling(0, "angry"),)).feeling(np.zeros(1))
        wanted = {2.0: before.feeling(np.array([2.0])), 2.0 + FEELING_CHANGE: then}
        expected = wanted.get(at, (np.zeros((1, 384)), np.zeros((1, 1))))
        np.testing.assert_allclose(vector, expected[0], atol=1e-6)
        np.testing.assert_allclose(strength, expected[1], atol=1e-6)
    np.testing.assert_array_equal(after.spans, before.spans)


def test_clauses_end_at_their_tempo_and_others_begin() -> None:
    nod, later = Clause("nod", 1.0, 5.0, repeat=8), Clause("wink", 4.0, 5.0)
    over, held = Clause("smile", 0.0, 0.2), Clause("frown", 0.5, 20.0)
    before = direction((Feeling(0, "sad"),), (nod, later, over, held))
    after = before.followed(direction((), (Clause("raise both brows", 0.2, 1.2),)), 2.0, True)
    assert len(after.seconds) == 1
    np.testing.assert_allclose(after.spans[:, :2], [[1, 2 + RELEASE], [0.5, 2 + RELEASE], [2.2, 3.2]])
    assert after.spans[0, 3] == pytest.approx(8 * (1 + RELEASE) / 4)  # the nods go on as fast
    assert after.states.shape[:2] == after.words.shape and len(after.kinds) == 3
    assert after.words[2].sum() == direction((), (Clause("raise both brows", 0, 1),)).words.sum()
    ended = before.followed(Direction(), 2.0, True)
    np.testing.assert_allclose(ended.spans[:, :2], [[1, 2 + RELEASE], [0.5, 2 + RELEASE]])


def test_spans_without_blinks_change() -> None:
    assert spans_after(((0.0, np.inf), (3.0, 4.0)), ((0.5, 1.0),), 2.0) == ((0.0, 2.0), (2.5, 3.0))
    lively = LiveControls(Controls(blink_rate=15), 30, lids=((0.0, np.inf),))
    lively.direct(2.0, (), (), ())
    assert lively._blinker.spans == ((0.0, 2.0),)


class Performer:
    """Reads every instruction as one smile; the first waits until it may."""

    def __init__(self) -> None:
        self.may, self.begun = threading.Event(), threading.Event()

    def read(self, texts: list[str]) -> list[Score]:
        self.begun.set()
        assert self.may.wait(5)
        if texts == ["broken"]:
            raise UserError("cannot be\nread")
        return [Score(2.0, (Event("smile", 0.0, 1.0),) if "smile" in texts[0] else (), (), texts[0])]

    def doubt(self, text: str, score: Score) -> str:
        return doubt(text, score, 0.4 if "shop" in text else 0.9)

    def direction(self, score: Score | None, feelings: tuple[Feeling, ...]) -> Direction:
        clauses = [Clause(e.action, e.start, e.end) for e in score.events] if score else []
        return Direction.make(feelings, clauses, Words())


class Stream:
    """What a stream was told, and when."""

    frames = 0

    def __init__(self) -> None:
        self.told: list[tuple[int, Direction]] = []

    def direct(self, told: Direction) -> None:
        self.told.append((self.frames, told))


def orders_of(performer: Any, stream: Any, *more: Any) -> tuple[CommandQueue, CommandReader]:
    inbox = CommandQueue()
    return inbox, CommandReader(inbox, performer, stream, Direction(), [], *more)


def test_orders_are_read_beside_the_frames_and_answered() -> None:
    performer, stream, answers = Performer(), Stream(), []
    came = threading.Semaphore(0)

    def answer(value: dict[str, Any]) -> None:
        answers.append(value)
        came.release()

    inbox, following = orders_of(performer, stream, lambda score: {"read_as": score.text})
    inbox.put('{"text": "smile", "emotion": "happy"}', answer)
    assert performer.begun.wait(5)  # it is being read
    for _ in range(MAX_WAITING):
        inbox.put('{"text": "broken"}', answer)
    inbox.put('{"text": "one too many"}', answer)
    inbox.put("{", answer)
    stream.frames = 30
    following.apply()  # frames go on meanwhile
    assert not stream.told and [next(iter(a)) for a in answers] == ["error", "error"]
    assert "orders are waiting" in answers[0]["error"] and "not JSON" in answers[1]["error"]
    performer.may.set()
    for _ in range(2 + MAX_WAITING):
        assert came.acquire(timeout=5)
    stream.frames = 60
    following.apply()
    assert answers[2:-1] == [{"error": "cannot be read"}] * MAX_WAITING
    assert answers[-1] == {"told": {"text": "smile", "emotion": "happy"}, "frame": 60, "read_as": "smile"}
    (frame, told), = stream.told
    assert frame == 60 and told.spans[0, :2].tolist() == [60 / FPS, 60 / FPS + 1] and told.strengths[-1] == 0.7


def test_orders_that_came_while_weights_were_loaded_are_done() -> None:
    inbox, stream, came = CommandQueue(), Stream(), queue.Queue[dict[str, Any]]()
    inbox.put('{"text": "smile"}', came.put)
    inbox.put('{"emotion": "happy"}', came.put)
    inbox.put('{"emotion": "hapy"}', came.put)
    assert "happy" in came.get_nowait()["error"]  # at once
    performer: Any = Performer()
    performer.may.set()
    following = CommandReader(inbox, performer, stream, Direction(), [])  # type: ignore[arg-type]
    for _ in range(500):
        following.apply()
        if came.qsize() == 2:
            break
        threading.Event().wait(0.01)
    assert [came.get()["told"] for _ in range(2)] == [{"text": "smile"}, {"emotion": "happy"}] and len(stream.told) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("das ist ein ganz anderer Satz mit vielen Worten", "English"),
        ("a rock", "rests"),
        ("smile to the shop", "differ (agreement 0.40"),
    ],
)
def test_what_cannot_be_obeyed_is_said(text: str, said: str) -> None:
    performer, stream, answers = Performer(), Stream(), []
    performer.may.set()
    inbox, following = orders_of(performer, stream)
    inbox.put(json.dumps({"text": text}), answers.append)
    for _ in range(500):
        following.apply()
        if answers:
            break
        threading.Event().wait(0.01)
    assert said in answers[0]["warning"]


def test_a_fault_is_not_hidden() -> None:
    performer, stream = Performer(), Stream()
    performer.may.set()
    performer.read = lambda texts: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    inbox, following = orders_of(performer, stream)
    inbox.put('{"text": "smile"}', lambda value: None)
    with pytest.raises(ZeroDivisionError):
        for _ in range(500):
            following.apply()
            threading.Event().wait(0.01)
