"""Live faces: frames as of a whole file, and commands that change words and feelings without a jump."""

import io
import json
import queue
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

from avatargpt.export.udp_senders import LiveLinkSender, live_link_values
from avatargpt.face.audio_model.conditioning import FEELING_CHANGE, RELEASE, Clause, Direction, Feeling
from avatargpt.face.audio_model.controls import Controls, LiveControls, spans_after
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.instructions.parser import doubt
from avatargpt.face.pipeline import MAX_CHARACTERS, MAX_WAITING, CommandQueue, CommandReader, parse_command, run_live
from avatargpt.speech import live
from avatargpt.speech.audio import FPS
from instruct_data.face.score import Event, Score
from tests.export.readers import live_link_packet
from tests.factories import RandomGrounder
from vqvae.errors import UserError
from vqvae.face import FaceMotion


def test_frames_arrive_by_udp_and_equal_the_whole_file(driver: Driver) -> None:
    rng = np.random.default_rng(1)
    sound = (rng.normal(0, 0.2, 16_000) * 32767).clip(-32768, 32767).astype("<i2")
    expected = driver.drive(sound)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        sender = LiveLinkSender("127.0.0.1", listener.getsockname()[1], "Ada")
        parts = live.pipe_blocks(io.BytesIO(sound.tobytes() + b"\x01"))
        take = run_live(driver.stream(16_000), parts, [sender], record=1000)
        packets = [live_link_packet(listener.recv(4096)) for _ in range(take.frames)]
        sender.close()
    assert take.frames == len(expected) == 30
    assert [p.frame for p in packets] == list(range(30)) and {p.subject for p in packets} == {"Ada"}
    np.testing.assert_array_equal(np.stack([p.values for p in packets]), live_link_values(expected))
    np.testing.assert_array_equal(take.motion().weights, expected.weights)


def test_recorded_frames_are_bounded_and_changed(driver: Driver) -> None:
    def shut(frame: FaceMotion) -> FaceMotion:
        return FaceMotion(frame.weights * 0, frame.head)

    take = run_live(driver.stream(16_000), [np.zeros(16_000, np.float32)], change=shut, record=7)
    assert take.frames == 7 and not take.motion().weights.any()
    with pytest.raises(UserError, match="no sound came"):
        run_live(driver.stream(16_000), [])


def direction(feelings: tuple[Feeling, ...] = (), clauses: tuple[Clause, ...] = ()) -> Direction:
    return Direction.make(feelings, clauses, RandomGrounder())


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("smile", "not JSON"), ("[" * 8000, "not JSON"), ("[1]", "no JSON object"), ("{}", "no JSON object"),
        ('{"text": "smile", "speed": 2}', "'speed': unknown"), ('{"text": 1}', "text: accepted a text of at most"),
        ('{"text": "\\ud800"}', "text: accepted a text"),
        (json.dumps({"text": "x" * (MAX_CHARACTERS + 1)}), "at most 1000"), ('{"text": "..."}', "text: signs alone"),
        ('{"emotion": "happpy"}', "happy"),
        ('{"emotion": "happy:2"}', "emotion happy:2: intensity 2; accepted 0 to 1"), ('{"emotion": ""}', "emotion"),
    ],
)  # fmt: skip
def test_messages_that_are_refused(message: str, error: str) -> None:
    with pytest.raises(UserError, match=error) as refusal:
        parse_command(message)
    assert "\n" not in str(refusal.value)


def test_messages_that_are_accepted() -> None:
    assert parse_command('{"text": " Smile\\n twice "}').text == "Smile twice"
    assert parse_command('{"text": ""}').text == ""
    command = parse_command('{"emotion": "sad:0.7+angry:0.2"}')
    assert command.text is None and command.feelings == (Feeling(0, "sad", 0.7, (("angry", 0.2),)),)
    assert parse_command('{"text": "🙂"}').text == "🙂"


def test_a_feeling_changes_from_the_present_one() -> None:
    before = direction((Feeling(0, "sad", 0.8), Feeling(4, "happy", 0.4)))
    after = before.follow_with(direction((Feeling(0, "angry", 1.0), Feeling(2, "calm", 0.0))), 2.0, False)
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
    over, lasting = Clause("smile", 0.0, 0.2), Clause("frown", 0.5, 20.0)
    before = direction((Feeling(0, "sad"),), (nod, later, over, lasting))
    after = before.follow_with(direction((), (Clause("raise both brows", 0.2, 1.2),)), 2.0, True)
    assert len(after.seconds) == 1
    np.testing.assert_allclose(after.spans[:, :2], [[1, 2 + RELEASE], [0.5, 2 + RELEASE], [2.2, 3.2]])
    assert after.spans[0, 3] == pytest.approx(8 * (1 + RELEASE) / 4)  # the nods go on as fast
    assert after.states.shape[:2] == after.words.shape and len(after.kinds) == 3
    assert after.words[2].sum() == direction((), (Clause("raise both brows", 0, 1),)).words.sum()
    ended = before.follow_with(Direction(), 2.0, True)
    np.testing.assert_allclose(ended.spans[:, :2], [[1, 2 + RELEASE], [0.5, 2 + RELEASE]])


def test_spans_without_blinks_change() -> None:
    assert spans_after(((0.0, np.inf), (3.0, 4.0)), ((0.5, 1.0),), 2.0) == ((0.0, 2.0), (2.5, 3.0))
    lively = LiveControls(Controls(blink_rate=15), 30, lids=((0.0, np.inf),))
    lively.direct(2.0, (), (), ())
    assert lively._blinker.spans == ((0.0, 2.0),)


class Pipeline:
    """Reads every instruction as one smile; the first waits until it may."""

    def __init__(self, waits: bool = False) -> None:
        self.may, self.begun = threading.Event(), threading.Event()
        if not waits:
            self.may.set()

    def read(self, texts: list[str]) -> list[Score]:
        self.begun.set()
        assert self.may.wait(5)
        if texts == ["broken"]:
            raise UserError("cannot be\nread")
        return [Score(2.0, (Event("smile", 0.0, 1.0),) if "smile" in texts[0] else (), (), texts[0])]

    def doubt(self, text: str, score: Score | None) -> str:
        return "" if score is None else doubt(text, score, 0.4 if "shop" in text else 0.9)

    def direction(self, score: Score | None, feelings: tuple[Feeling, ...]) -> Direction:
        clauses = [Clause(e.action, e.start, e.end) for e in score.events] if score else []
        return Direction.make(feelings, clauses, RandomGrounder())


class Stream:
    """The directions of a stream, and the frames at which they came."""

    def __init__(self) -> None:
        self.frames, self.directions = 0, list[tuple[int, Direction]]()

    def direct(self, direction: Direction) -> None:
        self.directions.append((self.frames, direction))


def reader_of(commands: CommandQueue, stream: Stream, pipeline: Any, *describe: Any) -> CommandReader:
    return CommandReader(commands, pipeline, stream, Direction(), [], *describe)  # type: ignore[arg-type]


def apply_until(reader: CommandReader, done: Any) -> None:
    """Apply commands as frames pass, for five seconds at most."""
    for _ in range(500):
        reader.apply()
        if done():
            return
        time.sleep(0.01)


def test_commands_are_read_while_frames_go_on_and_answered() -> None:
    commands, stream, pipeline, answers = CommandQueue(), Stream(), Pipeline(waits=True), []
    came = threading.Semaphore(0)

    def answer(value: dict[str, Any]) -> None:
        answers.append(value)
        came.release()

    reader = reader_of(commands, stream, pipeline, lambda score: {"read_as": score.text})
    commands.put('{"text": "smile", "emotion": "happy"}', answer)
    assert pipeline.begun.wait(5)  # it is being read
    for _ in range(MAX_WAITING):
        commands.put('{"text": "broken"}', answer)
    commands.put('{"text": "one too many"}', answer)
    commands.put("{", answer)
    stream.frames = 30
    reader.apply()  # frames go on meanwhile
    assert not stream.directions and [next(iter(a)) for a in answers] == ["error", "error"]
    assert "orders are waiting" in answers[0]["error"] and "not JSON" in answers[1]["error"]
    pipeline.may.set()
    for _ in range(2 + MAX_WAITING):
        assert came.acquire(timeout=5)
    stream.frames = 60
    reader.apply()
    assert answers[2:-1] == [{"error": "cannot be read"}] * MAX_WAITING
    assert answers[-1] == {"told": {"text": "smile", "emotion": "happy"}, "frame": 60, "read_as": "smile"}
    ((frame, direction),) = stream.directions
    assert frame == 60 and direction.spans[0, :2].tolist() == [60 / FPS, 60 / FPS + 1]
    assert direction.strengths[-1] == 0.7


def test_commands_that_came_while_weights_were_loaded_are_carried_out() -> None:
    commands, stream, came = CommandQueue(), Stream(), queue.Queue[dict[str, Any]]()
    for message in ('{"text": "smile"}', '{"emotion": "happy"}', '{"emotion": "hapy"}'):
        commands.put(message, came.put)
    assert "happy" in came.get_nowait()["error"]  # at once
    apply_until(reader_of(commands, stream, Pipeline()), lambda: came.qsize() == 2)
    assert [came.get()["told"] for _ in range(2)] == [{"text": "smile"}, {"emotion": "happy"}]
    assert len(stream.directions) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("das ist ein ganz anderer Satz mit vielen Worten", "English"), ("a rock", "rests"),
        ("smile to the shop", "differ (agreement 0.40"),
    ],
)  # fmt: skip
def test_instructions_that_cannot_be_followed_are_warned_of(text: str, message: str) -> None:
    commands, answers = CommandQueue(), list[dict[str, Any]]()
    commands.put(json.dumps({"text": text}), answers.append)
    apply_until(reader_of(commands, Stream(), Pipeline()), lambda: answers)
    assert message in answers[0]["warning"]


def test_a_fault_is_not_hidden() -> None:
    commands, pipeline = CommandQueue(), Pipeline()
    pipeline.read = lambda texts: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    commands.put('{"text": "smile"}', lambda value: None)
    with pytest.raises(ZeroDivisionError):
        apply_until(reader_of(commands, Stream(), pipeline), lambda: False)
