"""The body of a realtime agent: talks of events, interruptions, functions, bounds."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

import soundfile
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from avatargpt.server.app import create_app
from avatargpt.server.realtime import FACE_FRAMES, REST_FRAMES, WAITING_SECONDS, Agent
from avatargpt.server.settings import ServerSettings
from tests.server.running import StandIn, running
from tests.server.sounds import voice
from vqvae import arkit

RATE = 24_000
ROOT = Path(__file__).parents[2]
Frames = list[tuple[dict[str, Any], np.ndarray | None]]


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[TestClient]:
    settings = ServerSettings(store=tmp_path_factory.mktemp("store"), api_key="a secret key")
    headers = {"Authorization": "Bearer a secret key"}
    with TestClient(create_app(settings, StandIn()), base_url="http://localhost", headers=headers) as client:
        yield client


@pytest.fixture
def agent(client) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect("/v1/realtime") as socket:
        yield socket


def speech(seconds: float, rate: int = RATE) -> np.ndarray:
    """(n,) int16 samples of `voice` at another rate."""
    times = np.arange(round(seconds * rate)) / rate
    sound = voice(seconds)
    return np.interp(times, np.arange(len(sound)) / 16_000, sound).astype("<i2")


def delta(sound: bytes, response: str = "r1", item: str = "i1", kind: str = "output_audio") -> dict[str, Any]:
    return {"type": f"response.{kind}.delta", "response_id": response, "item_id": item,
            "delta": base64.b64encode(sound).decode()}  # fmt: skip


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"type": "response.function_call_arguments.done", "name": name, "arguments": arguments, "call_id": "c1"}


def tell(socket: WebSocketTestSession, *events: dict[str, Any]) -> None:
    for event in events:
        socket.send_text(json.dumps(event))


def until(socket: WebSocketTestSession, kind: str) -> Frames:
    """Messages up to the first of a kind, frames with their rows."""
    out: Frames = []
    while not out or out[-1][0]["type"] != kind:
        about = json.loads(socket.receive_text())
        rows = None
        if about["type"] == "frames":
            rows = np.frombuffer(socket.receive_bytes(), "<f4").reshape(about["frames"], -1)
        out.append((about, rows))
    return out


def rows_of(told: Frames) -> np.ndarray:
    """The frames that a client shows: later ones take the place of those that were sent for the same time."""
    shown: dict[int, np.ndarray] = {}
    for about, rows in told:
        if rows is not None:
            shown |= {about["start"] + k: row for k, row in enumerate(rows)}
    assert sorted(shown) == list(range(len(shown)))
    return np.stack([shown[k] for k in sorted(shown)])


def streamed(client: TestClient, sound: np.ndarray, rate: int = RATE, **fields: Any) -> np.ndarray:
    """The frames of a talk through /v1/stream."""
    with client.websocket_connect("/v1/stream") as socket:
        tell(socket, {"type": "start", "rate": rate, **fields})
        socket.send_bytes(sound.tobytes())
        tell(socket, {"type": "end"})
        return rows_of(until(socket, "done"))


def test_a_talk_in_deltas_has_the_frames_of_the_stream_and_then_comes_to_rest(client, agent):
    sound = speech(1.6)
    assert until(agent, "ready")[0][0]["fps"] == 30
    for k, first in enumerate(range(0, len(sound), 4801)):
        tell(agent, {"type": "unknown.event", "response_id": 3}, {"type": "response.created", "response": None},
             delta(sound[first : first + 4801].tobytes(), kind=("audio", "output_audio")[k % 2]),
             {**delta(b"", kind=("audio", "output_audio")[k % 2] + "_transcript"), "delta": f"w{k} "},
             {"type": "response.function_call_arguments.done", "name": "get_weather", "arguments": "{"})  # fmt: skip
    tell(agent, {"type": "response.output_audio.done", "response_id": "r1", "item_id": "i1"},
         {**delta(b"", kind="output_audio_transcript"), "delta": "end"},
         {"type": "response.done", "response": {"id": "r1", "status": "completed"}})  # fmt: skip
    told = until(agent, "done")
    assert told[0][0] == {"type": "talk", "response_id": "r1", "item_id": "i1"}
    rows, expected = rows_of(told), streamed(client, sound)
    assert len(expected) == 48 and np.array_equal(rows[:48], expected)
    assert told[-1][0] == {"type": "done", "frames": 48 + REST_FRAMES, "seconds": 1.6,
                           "caption": "".join(f"w{k} " for k in range(8)) + "end"}  # fmt: skip
    way = rows[48:]
    assert np.abs(way[FACE_FRAMES - 1 :, -arkit.COUNT :]).max() == 0 < np.abs(expected[-1, -arkit.COUNT :]).max()
    assert np.allclose(way[-1, : -arkit.COUNT], expected[0, : -arkit.COUNT], atol=1e-5)
    assert np.abs(np.diff(rows[47:, 3 : -arkit.COUNT], axis=0)).max() < 0.2  # no joint jumps


def test_a_new_item_is_a_new_talk_after_the_one_before(client, agent):
    sounds = speech(1.2), speech(0.9)[::-1]
    tell(agent, delta(sounds[0].tobytes()), delta(sounds[1].tobytes(), "r2", "i2"),
         {"type": "response.done", "response": {"id": "r2"}})  # fmt: skip
    for sound, response in zip(sounds, ("r1", "r2"), strict=True):
        told = until(agent, "done")
        assert next(about for about, _ in told if about["type"] == "talk")["response_id"] == response
        count = round(len(sound) / RATE * 30)
        assert np.array_equal(rows_of(told)[:count], streamed(client, sound))


@pytest.mark.parametrize("event", [
    {"type": "input_audio_buffer.speech_started", "item_id": "u1"},
    {"type": "response.done", "response": {"id": "r1", "status": "cancelled"}},
    {"type": "response.cancelled", "response_id": "r1"},
], ids=lambda event: event["type"])  # fmt: skip
def test_an_interruption_drops_what_waits_and_ends_neutral(agent, event):
    block = speech(1.0).tobytes()
    tell(agent, *[delta(block) for _ in range(8)])
    told = until(agent, "frames")
    tell(agent, event, delta(block))  # one that was under way
    told += until(agent, "done")
    (at,) = [about["frame"] for about, _ in told if about["type"] == "interrupted"]
    (way,) = [rows for about, rows in told if about.get("interrupted") and rows is not None]
    assert 0 <= at < 4 * 30 and told[-1][0]["frames"] == at + REST_FRAMES and told[-1][0]["interrupted"]
    assert FACE_FRAMES / 30 <= 0.2 and np.abs(way[FACE_FRAMES - 1 :, -arkit.COUNT :]).max() == 0
    tell(agent, delta(speech(0.5).tobytes(), "r2", "i2"), {"type": "response.done", "response": {"id": "r2"}})
    after = until(agent, "done")
    assert [about["response_id"] for about, _ in after if about["type"] == "talk"] == ["r2"]
    assert after[-1][0]["frames"] == 15 + REST_FRAMES and "interrupted" not in after[-1][0]


def test_sound_without_names_is_divided_by_its_ends(agent):
    for count in (12, 9):
        sound = base64.b64encode(speech(count / 30).tobytes()).decode()
        tell(agent, {"type": "response.audio.delta", "delta": sound}, {"type": "response.audio.done"})
    assert [until(agent, "done")[-1][0]["frames"] - REST_FRAMES for _ in range(2)] == [12, 9]


def test_nobody_is_interrupted_between_talks_or_by_another_response(agent):
    until(agent, "ready")
    tell(agent, {"type": "input_audio_buffer.speech_started"}, delta(speech(0.5).tobytes()),
         {"type": "response.done", "response": {"id": "r0", "status": "cancelled"}},
         {"type": "response.done", "response": {"id": "r1", "status": "completed"}})  # fmt: skip
    told = until(agent, "done")
    assert {about["type"] for about, _ in told} == {"talk", "frames", "done"}


def test_moods_expressions_and_gestures_are_those_of_the_stream(client, agent):
    sound = speech(2.0)
    until(agent, "ready")
    tell(agent, call("set_mood", '{"mood": "joyful", "strength": 0.9}'))
    assert until(agent, "directed")[-1][0] == {"type": "directed", "frame": 0}
    tell(agent, call("make_expression", '{"text": "close the eyes"}'))
    assert until(agent, "directed")[-1][0]["frame"] == 0
    tell(agent, call("make_gesture", '{"text": "wave"}'), delta(sound.tobytes()),
         {"type": "response.done", "response": {"id": "r1"}})  # fmt: skip
    rows, plain = rows_of(until(agent, "done"))[:60], streamed(client, sound)
    weights = dict(zip(arkit.NAMES, rows[:, -arkit.COUNT :].T, strict=True))
    assert weights["eyeBlinkLeft"].max() > 0.5
    smile = arkit.INDEX["mouthSmileLeft"] - arkit.COUNT
    assert rows[:, smile].mean() > plain[:, smile].mean() + 0.1
    assert np.abs(rows[:, 3 : -arkit.COUNT] - plain[:, 3 : -arkit.COUNT])[30:45].max() > 0.2  # the arm of the wave
    until(agent, "ready")
    tell(agent, delta(sound.tobytes(), "r2", "i2"), {"type": "response.done", "response": {"id": "r2"}})
    again = rows_of(until(agent, "done"))[:60]
    assert np.allclose(again, streamed(client, sound, emotion="joyful:0.9"), atol=1e-5)  # the mood alone stays


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("set_mood", "{", "Invalid JSON"), ("set_mood", '{"mood": "purple"}', "purple"),
    ("set_mood", '{"mood": "joyful", "strength": 2}', "strength"), ("set_mood", "{}", "emotion"),
    ("make_gesture", '{"text": "fly"}', "'fly': unknown; accepted: "), ("make_expression", '{"text": 3}', "text: "),
    ("make_gesture", '{"text": "wave", "hand": "left"}', "hand"),
])  # fmt: skip
def test_wrong_arguments_are_told_with_their_call(agent, name, arguments, message):
    until(agent, "ready")
    tell(agent, call(name, arguments))
    error = until(agent, "error")[-1][0]
    assert error["call_id"] == "c1" and error["message"].startswith(f"{name}: ") and message in error["message"]


@pytest.mark.parametrize("session", [
    {"output_audio_format": "g711_ulaw"}, {"output_audio_format": "g711_alaw"},
    {"audio": {"output": {"format": {"type": "audio/pcmu"}}}},
    {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 16000}}}},
    {"audio": {"output": {"voice": "marin"}}},
])  # fmt: skip
def test_a_session_names_the_format_of_its_sound(client, agent, session):
    output = session.get("audio", {}).get("output", {}).get("format", {})
    kind = session.get("output_audio_format") or output.get("type", "audio/pcm")
    rate = output.get("rate", RATE) if kind == "audio/pcm" else 8_000
    sound = speech(0.8, rate)
    data = sound.tobytes()
    if kind != "audio/pcm":
        subtype, file = ("ALAW" if kind.endswith("alaw") else "ULAW"), io.BytesIO()
        soundfile.write(file, sound, rate, format="RAW", subtype=subtype)
        data = file.getvalue()
        raw: dict[str, Any] = {"format": "RAW", "subtype": subtype, "samplerate": rate, "channels": 1, "dtype": "int16"}
        sound = soundfile.read(io.BytesIO(data), **raw)[0]
        assert len(data) == len(sound)
    tell(agent, {"type": "session.created", "session": session}, delta(data),
         {"type": "response.done", "response": {"id": "r1"}})  # fmt: skip
    assert np.array_equal(rows_of(until(agent, "done"))[:24], streamed(client, sound, rate))


def test_what_cannot_be_heard_is_told_once(agent):
    until(agent, "ready")
    tell(agent, {"type": "session.updated", "session": {"output_audio_format": "opus"}})
    assert "format: opus; accepted: pcm16" in until(agent, "error")[-1][0]["message"]
    tell(agent, delta(speech(0.5).tobytes()), {"type": "session.updated", "session": {"output_audio_format": "pcm16"}})
    slow = {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 1}}}}
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"type": "response.audio.delta", "delta": "?!"}, "base64"), (delta(b"odd"), "element size"),
        ({"type": "response.audio.delta", "delta": 3}, "delta: accepted a text"), ({"no": "type"}, "type"),
        ({"type": "start", "body": "a person walks"}, "without body"), ({"type": "start", "lips": "none"}, "lips"),
        ({"type": "session.updated", "session": slow}, "rate"),
    )
    for event, message in wrong:
        tell(agent, event)
        assert message in until(agent, "error")[-1][0]["message"]
    agent.send_bytes(b"abcd")
    assert "accepted in events" in until(agent, "error")[-1][0]["message"]


def test_a_start_says_how_talks_are_made(client, agent):
    sound = speech(0.8)
    until(agent, "ready")
    tell(agent, {"type": "start", "speaker": "nobody"})
    assert "nobody" in until(agent, "error")[-1][0]["message"]
    until(agent, "ready")
    tell(agent, {"type": "start", "emotion": "sad:0.7", "seed": 5})
    until(agent, "ready")
    tell(agent, delta(sound.tobytes()), {"type": "response.done", "response": {"id": "r1"}})
    assert np.array_equal(rows_of(until(agent, "done"))[:24], streamed(client, sound, emotion="sad:0.7", seed=5))


def closed(socket: WebSocketTestSession) -> int:
    """The code with which the server closes."""
    with pytest.raises(WebSocketDisconnect) as error:
        until(socket, "never")
    return error.value.code


def test_messages_and_waiting_sound_are_bounded(client):
    with client.websocket_connect("/v1/realtime") as agent:
        agent.send_text(json.dumps({"type": "response.audio.delta", "delta": "A" * Agent.characters}))
        assert closed(agent) == 1008
    with client.websocket_connect("/v1/realtime") as agent:
        until(agent, "ready")
        block = bytes(2 * RATE * 3)
        for _ in range(round(WAITING_SECONDS / 3) + 30):
            tell(agent, delta(block))
        assert "240 s of sound wait" in until(agent, "error")[-1][0]["message"]
        assert closed(agent) == 1008  # after 20 blocks too many
    with client.websocket_connect("/v1/realtime") as agent:
        for k in range(60):
            tell(agent, delta(bytes(2), f"r{k}", f"i{k}"))
        assert closed(agent) == 1008  # after 20 talks too many


def test_a_client_without_the_key_or_that_leaves_takes_no_place(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/realtime", headers={"Authorization": "no"}):
        pass
    studio = client.app.state.studio
    with client.websocket_connect("/v1/realtime") as agent:
        tell(agent, delta(speech(3.0).tobytes()))
        until(agent, "frames")
        assert studio.open == 1
    until_time = time.monotonic() + 10
    while studio.open and time.monotonic() < until_time:
        time.sleep(0.02)
    assert studio.open == 0


def test_the_example_forwards_the_events_of_the_package_openai(client, tmp_path):
    kinds = pytest.importorskip("openai.types.realtime")
    pytest.importorskip("websockets")
    sound, about = speech(1.3), {"event_id": "e", "response_id": "r1", "item_id": "i1", "output_index": 0}
    part = about | {"content_index": 0}
    said = [
        kinds.SessionCreatedEvent.construct(type="session.created", event_id="e", session={"type": "realtime"}),
        *(kinds.ResponseAudioTranscriptDeltaEvent(type="response.output_audio_transcript.delta", delta=word, **part)
          for word in ("hello ", "there")),
        *(kinds.ResponseAudioDeltaEvent(type="response.output_audio.delta", delta=row["delta"], **part)
          for row in (delta(sound[k : k + 9600].tobytes()) for k in range(0, len(sound), 9600))),
        kinds.ResponseAudioDoneEvent(type="response.output_audio.done", **part),
        kinds.ResponseDoneEvent(type="response.done", event_id="e",
                                response=kinds.RealtimeResponse(id="r1", status="completed")),
    ]  # fmt: skip

    async def speak() -> Any:
        for event in said:
            yield event

    example = runpy.run_path(str(ROOT / "docs/examples/agent_body.py"))
    told: Frames = []
    with running(tmp_path, StandIn()) as address:
        url = address.replace("http", "ws") + "/v1/realtime"
        asyncio.run(asyncio.wait_for(example["give_body"](speak(), url, lambda *row: told.append(row)), 120))
    assert [about["type"] for about, _ in told if about["type"] != "frames"] == ["ready", "talk", "done"]
    assert told[-1][0]["caption"] == "hello there"
    assert np.array_equal(rows_of(told)[:39], streamed(client, sound))
