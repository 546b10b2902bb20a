"""The protocols of the server, each with its own client library: OpenAI, MCP, MMCP, and the routes of voices."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="a server needs the extra serve")
openai = pytest.importorskip("openai", reason="the client of OpenAI is in the extra dev")

from mcp import Client, StdioServerParameters  # noqa: E402
from motionmcp import client as mmcp  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from avatargpt import export  # noqa: E402
from avatargpt.avatar.pipeline import AvatarPipeline  # noqa: E402
from avatargpt.export.avatar import AvatarMotion  # noqa: E402
from avatargpt.export.expressions import PRESETS  # noqa: E402
from avatargpt.face.audio_model.conditioning import parse_emotions  # noqa: E402
from avatargpt.gesture.semantics import Manner  # noqa: E402
from avatargpt.server.frames import frame_rows  # noqa: E402
from avatargpt.server.mmcp import EFFECTORS  # noqa: E402
from avatargpt.server.tools import TOOLS  # noqa: E402
from tests.server.contracts import checked  # noqa: E402
from tests.server.running import running  # noqa: E402
from tests.server.sounds import RATE, sound_file, uploaded, voice  # noqa: E402
from vqvae import arkit  # noqa: E402
from vqvae import rotations as rot  # noqa: E402
from vqvae.skeleton import SMPL22  # noqa: E402

WALK = "a person walks forward"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("store"), None) as url:
        yield url


@pytest.fixture(scope="module")
def openai_client(address: str) -> Any:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


# OpenAI


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_completion_is_a_turn_of_a_conversation(openai_client: Any, address: str) -> None:
    assert [m.id for m in openai_client.models.list()] == ["avatargpt"]
    messages: list[Any] = [{"role": "system", "content": "You animate."}, user("a person jumps")]
    first = openai_client.chat.completions.create(model="avatargpt", messages=messages)
    answer = first.choices[0].message
    assert first.choices[0].finish_reason == "stop" and answer.content.startswith("Made")
    assert httpx.get(answer.motion["links"]["glb"]).content[:4] == b"glTF"
    messages += [{"role": "assistant", "content": answer.content}, user("make it slower")]
    body = {"motion": "gltf"}
    slower = openai_client.chat.completions.create(model="avatargpt", messages=messages, extra_body=body)
    second = slower.choices[0].message
    assert second.motion["session"] == answer.motion["session"]
    assert second.motion["seconds"] > answer.motion["seconds"]
    assert second.motion["gltf"]["buffers"][0]["uri"].startswith("data:")
    # the same turn again, of a conversation that has gone on: done anew from its beginning, with the same motion
    again = openai_client.chat.completions.create(model="avatargpt", messages=messages).choices[0].message
    assert again.motion["session"] != answer.motion["session"]
    assert again.motion["seconds"] == second.motion["seconds"]


def test_a_completion_is_streamed(openai_client: Any) -> None:
    options = {"include_usage": True}
    stream = openai_client.chat.completions.create(
        model="avatargpt", messages=[user("a person waves")], stream=True, stream_options=options
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "waves" in text and chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].motion["frames"] > 0 and chunks[-1].usage.total_tokens > 0


def test_acts_become_calls_of_declared_tools(openai_client: Any, address: str) -> None:
    tools = httpx.get(f"{address}/v1/tools").json()
    assert [t["function"]["name"] for t in tools] == list(TOOLS)
    messages: list[Any] = [user("a person kicks with the left leg for 3 seconds")]
    for words, name in (("", "make"), ("make it slower", "edit"), ("what is he doing?", "describe"),
                        ("save it as kick.bvh", "export"), ("another take", "make")):  # fmt: skip
        messages += [user(words)] if words else []
        choice = openai_client.chat.completions.create(model="avatargpt", messages=messages, tools=tools).choices[0]
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert call.function.name == name
        arguments = json.loads(call.function.arguments)
        result = httpx.post(f"{address}/v1/tools/{name}", json=arguments, timeout=60)
        assert result.status_code == 200, result.text
        messages += [choice.message.model_dump(exclude_none=True),
                     {"role": "tool", "tool_call_id": call.id, "content": result.text}]  # fmt: skip
        final = openai_client.chat.completions.create(model="avatargpt", messages=messages, tools=tools).choices[0]
        assert final.finish_reason == "stop" and final.message.content.startswith(f"{name}: ")
        messages.append({"role": "assistant", "content": final.message.content})
    assert arguments["seed"] == 1


def test_tools_of_a_clients_own_are_not_called(openai_client: Any) -> None:
    weather = [{"type": "function", "function": {"name": "weather"}}]
    ask = {"model": "avatargpt", "messages": [user(WALK)], "tools": weather}
    choice = openai_client.chat.completions.create(**ask).choices[0]
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert "[motion, " in choice.message.content
    with pytest.raises(openai.BadRequestError, match="tool_choice: 'weather'; accepted a declared one of make"):
        openai_client.chat.completions.create(**ask, tool_choice=weather[0])


def test_mistakes_in_completions_are_errors_of_the_client(openai_client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        openai_client.chat.completions.create(model="gpt", messages=[user("a person waves")])
    with pytest.raises(openai.BadRequestError, match="no words of the user"):
        openai_client.chat.completions.create(model="avatargpt", messages=[{"role": "system", "content": "x"}])


# MCP


def test_mcp_tools_give_motion_with_pictures_over_http(address: str, tmp_path: Path) -> None:
    async def talk() -> None:
        async with Client(f"{address}/mcp") as client:
            assert [t.name for t in (await client.list_tools()).tools] == list(TOOLS)
            made = await client.call_tool("make", {"prompt": WALK, "seconds": 2})
            assert [c.type for c in made.content] == ["text", "image", "resource_link"]
            motion = made.structured_content["motions"][0]
            assert motion["frames"] == 40 and made.content[1].mime_type == "image/png"
            read = (await client.read_resource(str(made.content[2].uri))).contents[0]
            assert read.mime_type == "model/gltf-binary" and len(read.blob) > 1000
            told = await client.call_tool("describe", {"motion": motion["id"]})
            assert "walk" in told.content[0].text or "step" in told.content[0].text
            wrong = await client.call_tool("export", {"motion": motion["id"], "format": "doc"})
            assert wrong.is_error and "accepted for a body" in wrong.content[0].text
            lost = await client.call_tool("edit", {"motion": "A" * 24, "text": "slower"})
            assert lost.is_error and "no such motion" in lost.content[0].text

    asyncio.run(talk())


def test_mcp_over_stdio_reads_and_writes_files_of_this_machine(tmp_path: Path) -> None:
    arguments = ["-m", "avatargpt", "mcp", "--store", str(tmp_path / "store"), "--outputs", str(tmp_path / "out")]

    async def talk() -> None:
        async with Client(StdioServerParameters(command=sys.executable, args=arguments)) as client:
            made = await client.call_tool("make", {"prompt": "a person waves", "seconds": 1, "seed": 3})
            number = made.structured_content["motions"][0]["id"]
            file = await client.call_tool("export", {"motion": number, "format": "bvh"})
            path = Path(file.structured_content["file"]["path"])
            assert path.parent == tmp_path / "out" and path.read_text().startswith("HIERARCHY")
            told = await client.call_tool("describe", {"motion": str(path)})
            assert not told.is_error and told.structured_content["descriptions"]
            missing = await client.call_tool("describe", {"motion": "no.bvh"})
            assert missing.is_error and "no file 'no.bvh'" in missing.content[0].text

    asyncio.run(talk())


# MMCP


def generated(
    address: str, segments: list[dict[str, Any]], constraints: Any = (), fps: float = 20, **options: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    about = mmcp.get_capabilities(address)
    model = about["models"][0]
    request = {
        "protocol_version": about["protocol_version"], "model": model["id"], "skeleton": model["canonical_skeleton"],
        "segments": segments, "constraints": list(constraints), "timing": {"fps": fps},
        "options": {"seed": 1, **options},
    }  # fmt: skip
    document = mmcp.generate(address, request)
    return document, mmcp.parse_gltf_samples(document)


def text(prompt: str, frames: int) -> dict[str, Any]:
    return {"type": "text", "prompt": prompt, "duration_frames": frames}


def joints(sample: dict[str, Any]) -> np.ndarray:
    assert list(sample["joint_names"]) == list(SMPL22.names)
    root = np.asarray(sample["local_translations"], float).reshape(len(sample["local_translations"]), -1, 3)[:, 0]
    return SMPL22.fk(rot.from_matrix(np.asarray(sample["local_rot_mats"], float)), root)


def test_the_client_of_mmcp_gets_motion_that_is_read_again(address: str, tmp_path: Path) -> None:
    assert mmcp.probe_server(address).status == "online"
    segments = [text(WALK, 40), {"type": "unconditioned", "duration_frames": 20}, text("a person waves", 40)]
    document, samples = generated(address, segments, num_samples=2)
    assert [s["num_frames"] for s in samples] == [100, 100]
    path = tmp_path / "walk.gltf"
    path.write_text(json.dumps(document))
    assert all(len(export.load(f"{path}#sample_{k}")) == 100 for k in (0, 1))


@pytest.mark.parametrize("fps", [20, 24])
def test_constraints_of_mmcp_hold(address: str, fps: int) -> None:
    frames, places = [0, fps, 3 * fps - 1], [[3, 2], [4, 2.2], [5, 3.5]]
    path = {"type": "root_path", "frames": frames, "positions_xz": places}
    turned = [0.0, 0.6, 0.0, 0.8]
    pose = {"type": "pose_keyframe", "frame": 2 * fps, "joint_rotations": {"l_elbow": turned}}
    _, (sample,) = generated(address, [text(WALK, 3 * fps)], [path, pose], fps)
    at = joints(sample)
    assert np.abs(at[frames, 0][:, [0, 2]] - places).max() < 1e-3
    elbow = rot.from_matrix(np.asarray(sample["local_rot_mats"], float))[2 * fps, SMPL22.index("l_elbow")]
    assert rot.angle_between(elbow, np.roll(turned, 1)) < 1e-3
    hand = [[0.3, 1.3, 0.35]]
    target = {"type": "effector_target", "joint": "l_wrist", "frames": [fps], "positions": hand}
    document, (sample,) = generated(address, [text("a person stands still", 2 * fps)], [target], fps)
    assert np.abs(joints(sample)[fps, SMPL22.index("l_wrist")] - hand).max() < 1e-3
    assert "notes" not in document["extensions"]["MMCP_motion"]


def test_what_mmcp_does_not_hold_is_not_declared_and_refused(address: str) -> None:
    model = mmcp.get_capabilities(address)["models"][0]
    assert set(model["supported_constraints"]) == {"root_path", "effector_target", "pose_keyframe"}
    assert not model["supports_loop"] and not model["supports_segment_seed"]
    head = {"type": "effector_target", "joint": "head", "frames": [0], "positions": [[0, 1.5, 0]]}
    with pytest.raises(mmcp.MmcpError, match=f"accepted joints: {', '.join(EFFECTORS)}"):
        generated(address, [text(WALK, 40)], [head])
    with pytest.raises(mmcp.MmcpError, match="not supported by this model"):
        generated(address, [text(WALK, 40)], [{"type": "ground_height", "points": [[0, 0, 0]]}])
    with pytest.raises(mmcp.MmcpError, match="exceeds max_duration_seconds"):
        generated(address, [text(WALK, 99_999)])


# Sockets


def messages(connection: Any) -> Iterator[tuple[dict[str, Any], np.ndarray | None]]:
    """Messages as they come, frames with their rows."""
    while True:
        row = checked(json.loads(connection.recv(timeout=60)))
        rows = None
        if row["type"] == "frames":
            rows = np.frombuffer(connection.recv(timeout=60), "<f4").reshape(row["frames"], -1)
        yield row, rows
        if row["type"] in ("done", "stopped"):
            return


def test_a_live_avatar_is_that_of_the_whole_sound(address: str) -> None:
    sound = voice(2.0)
    with connect(address.replace("http", "ws") + "/v1/stream") as socket:
        socket.send(json.dumps({"type": "start", "seed": 4, "emotion": "joyful:0.8"}))
        ready = checked(json.loads(socket.recv(timeout=60)))
        assert ready["type"] == "ready" and len(ready["joints"]) == 52 and len(ready["face"]) == 52
        for k in range(0, len(sound), 701):
            socket.send(sound[k : k + 701].tobytes())
        socket.send(json.dumps({"type": "end"}))
        got = list(messages(socket))
        rows = np.concatenate([r for _, r in got if r is not None])
        assert [row["start"] for row, r in got if r is not None][0] == 0 and got[-1][0]["frames"] == len(rows) == 60
    pipeline = AvatarPipeline.load()
    live = pipeline.stream(RATE, feelings=parse_emotions("joyful:0.8"), seed=4, semantics=Manner())
    pieces = [piece for piece in (live.push(sound), live.finish()) if piece is not None]
    assert np.allclose(rows, np.concatenate([frame_rows(piece)[1] for piece in pieces]), atol=1e-5)


def test_events_direct_a_live_avatar_and_mistakes_are_told(address: str) -> None:
    with connect(address.replace("http", "ws") + "/v1/stream") as socket:
        for wrong, message in (("{", "Invalid JSON"), (b"abcd", "no stream"), ('{"type": "fly"}', "'fly'"),
                               ('{"type": "start", "rate": 1}', "rate"), ('{"type": "end"}', "no stream"),
                               ('{"type": "start", "transcript": "hi"}', "transcript: accepted with a whole sound"),
                               ('{"type": "start", "lips": "none"}', "lips"),
                               ('{"type": "start", "motion": "A"}', "motion")):  # fmt: skip
            socket.send(wrong)
            error = checked(json.loads(socket.recv(timeout=60)))
            assert error["type"] == "error" and message in error["message"], error
        socket.send(json.dumps({"type": "start", "words": True}))
        assert json.loads(socket.recv(timeout=60))["type"] == "ready"
        socket.send(json.dumps({"type": "words", "words": [{"text": "huge", "start": 0.2, "end": 0.6}]}))
        socket.send(json.dumps({"type": "text", "text": "close the eyes"}))
        assert json.loads(socket.recv(timeout=60)) == {"type": "directed", "frame": 0}
        socket.send(voice(1.5).tobytes())
        socket.send(json.dumps({"type": "end"}))
        rows = np.concatenate([r for _, r in messages(socket) if r is not None])
        assert rows[:, 3 + 4 * 52 + arkit.INDEX["eyeBlinkLeft"]].max() > 0.5


def test_presets_are_sent_both_ways(address: str) -> None:
    with connect(address.replace("http", "ws") + "/v1/stream") as socket:
        socket.send(json.dumps({"type": "preset", "preset": "happy"}))
        assert "no stream" in json.loads(socket.recv(timeout=60))["message"]
        socket.send(json.dumps({"type": "start", "presets": True}))
        assert json.loads(socket.recv(timeout=60))["presets"] == list(PRESETS)
        socket.send(json.dumps({"type": "preset", "preset": "grin"}))
        assert "accepted aa, ih, ou" in json.loads(socket.recv(timeout=60))["message"]
        for name, weight in (("Blink_L", 1), ("Joy", 0.9)):  # names of VRM 0
            socket.send(json.dumps({"type": "preset", "preset": name, "weight": weight}))
            assert json.loads(socket.recv(timeout=60)) == {"type": "directed", "frame": 0}
        socket.send(voice(2.0).tobytes())
        socket.send(json.dumps({"type": "end"}))
        got = [(row, r) for row, r in messages(socket) if r is not None]
        assert all(row["presets"] == len(PRESETS) for row, _ in got)
        rows = np.concatenate([r for _, r in got])
        face = rows[:, -len(PRESETS) - arkit.COUNT : -len(PRESETS)]
        left, right, smile = (face[20:, arkit.INDEX[n]] for n in ("eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft"))
        assert left.min() > 0.98 and right.min() < 0.5 and smile.max() > 0.3
        assert rows[20:, -len(PRESETS) + PRESETS.index("blinkLeft")].max() > 0.5


def test_long_motion_waits_for_its_client(address: str) -> None:
    with connect(address.replace("http", "ws") + "/v1/stream") as socket:
        socket.send(json.dumps({"type": "long", "scene": "a man makes breakfast", "seconds": 8}))
        assert json.loads(socket.recv(timeout=60))["fps"] == 20
        arrived = 0

        def take(timeout: float) -> int:
            row = checked(json.loads(socket.recv(timeout=timeout)))
            if row["type"] == "frames":
                socket.recv(timeout=60)
            return row.get("frames", 0)

        while arrived <= 40:  # then the next piece may not fit
            arrived += take(60)
        with pytest.raises(TimeoutError):
            for _ in range(9):
                arrived += take(1.5)
        assert arrived <= 60  # no more than 3 s are not acknowledged
        socket.send(json.dumps({"type": "ack", "frame": arrived}))
        more = next(row for row, rows in messages(socket) if rows is not None)
        assert more["start"] == arrived
        socket.send(json.dumps({"type": "stop"}))
        assert list(messages(socket))[-1][0]["type"] == "stopped"


# Voices


def test_a_voice_becomes_a_face_gestures_and_an_avatar(address: str, tmp_path: Path) -> None:
    sound = uploaded(address, sound_file(tmp_path))["id"]
    rows = {"faces": {"emotion": "joyful:0.8"}, "gestures": {}, "speak": {"body": WALK, "text": "smile"}}
    for route, options in rows.items():
        answer = httpx.post(f"{address}/v1/{route}", json={"sound": sound, **options}, timeout=60)
        assert answer.status_code == 200, answer.text
        (motion,) = answer.json()["motions"]
        assert motion["sound"] == f"/v1/uploads/{sound}" and motion["fps"] == 30 and motion["frames"] == 45
        assert motion["channels"]["face"] == (route != "gestures")
        saved = tmp_path / f"{route}.npz"
        saved.write_bytes(httpx.get(f"{address}/v1/exports/{motion['id']}.npz").content)
        assert len(export.load(saved)) == 45
    assert isinstance(export.load(saved), AvatarMotion)


@pytest.mark.parametrize(("route", "row", "status", "message"), [
    ("faces", {}, 400, "nothing to do"),
    ("faces", {"text": "smile", "transcript": "hello"}, 400, "accepted with sound"),
    ("faces", {"emotion": "blue"}, 400, "blue"),
    ("gestures", {"sound": "A" * 24}, 404, "no such upload"),
    ("gestures", {"sound": "A" * 24, "energy": 9}, 400, "energy"),
    ("speak", {"sound": "../../etc/passwd"}, 404, "no such upload"),
    ("capture", {"film": "A" * 24}, (404, 501), ""),
    ("tools/make", {"prompt": "a person waves", "speed": 1}, 400, "speed"),
    ("tools/fly", {}, 404, "accepted: make"),
])  # fmt: skip
def test_wrong_requests_are_told_in_one_line(address: str, route: str, row: Any, status: Any, message: str) -> None:
    answer = httpx.post(f"{address}/v1/{route}", json=row, timeout=60)
    assert answer.status_code == status or answer.status_code in np.atleast_1d(status), answer.text
    error = answer.json()["error"]
    assert message in error["message"] and "\n" not in error["message"] and set(error) == {"code", "message", "where"}


def test_an_instruction_alone_becomes_a_face(address: str) -> None:
    answer = httpx.post(f"{address}/v1/faces", json={"text": "smile, then blink twice", "seconds": 3}, timeout=60)
    (motion,) = answer.json()["motions"]
    assert motion["kind"] == "face" and motion["frames"] == 90 and motion["sound"] is None
