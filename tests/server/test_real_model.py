"""The packaged model behind the server."""

from __future__ import annotations

import asyncio
import json
import shutil
import warnings
from dataclasses import asdict
from functools import cache

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from starlette.testclient import TestClient

from avatargpt import export
from avatargpt.api import AvatarGPT
from avatargpt.avatar.events import read_spoken
from avatargpt.lm.engine import PAUSE
from avatargpt.options import GenerationConfig
from avatargpt.server.app import create_app
from avatargpt.server.frames import frame_rows
from avatargpt.server.generation import GenerationBatch, GenerationItem
from avatargpt.server.settings import ServerSettings
from avatargpt.server.worker import Cancelled, Worker
from avatargpt.speech import alignment
from avatargpt.speech.words import Word, Words
from avatargpt.verbs.describe import request_row, score_row
from tests.server.sounds import sound_file, voice
from vqvae.arkit import INDEX
from vqvae.face import FaceMotion


@pytest.fixture(scope="module")
def real() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


@pytest.fixture
def client(tmp_path, real):
    app = create_app(ServerSettings(store=tmp_path / "store"), real)
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def test_same_seed_same_bytes_alone_and_in_a_batch(real):
    batch = GenerationBatch(GenerationConfig(best_of=2), None, 120.0)
    items = [GenerationItem("a person walks forward", 2.0, 1), GenerationItem("turn left 90 degrees", None, 3)]
    together = batch.generate(real, items, lambda *_: None)
    for item, (clips, captions) in zip(items, together, strict=True):
        ((alone,), same) = batch.generate(real, [item], lambda *_: None)[0]
        assert same == captions
        for name in ("rotations", "root"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(clips[0], name))


def test_a_decode_pauses_every_few_tokens_and_ends_there(real):
    seen = []

    def pause(done, total):
        seen.append((done, total))
        if done == 16:
            raise Cancelled

    kept = PAUSE.set(pause)
    try:
        with pytest.raises(Cancelled):
            real.generate(["a person walks"], seconds=8.0, best_of=1)
    finally:
        PAUSE.reset(kept)
    assert seen == [(0, 48), (8, 48), (16, 48)]


def test_decodes_that_take_turns_give_the_bytes_of_one_alone(real):
    batch = GenerationBatch(GenerationConfig(best_of=2), None, 120.0)
    items = [GenerationItem("a person walks in a circle", 6.0, 1), GenerationItem("a person waves, then bows", 5.0, 2)]

    def make(item):
        (((clip,), _),) = batch.generate(real, [item], lambda *_: None)
        return clip.rotations.tobytes(), clip.root.tobytes()

    alone = [make(item) for item in items]
    pool, order = Worker(queue=8, batch=1, wait=0.0, seconds=60.0, threads=2), []

    def work(number):
        def run(report):
            pause = PAUSE.get()

            def note(done, total):
                order.append(number)
                pause(done, total)

            PAUSE.set(note)
            return make(items[number])

        return run

    jobs = [pool.submit("motion", work(n)) for n in range(2)]
    assert [job.result(120) for job in jobs] == alone
    assert sum(a != b for a, b in zip(order, order[1:], strict=False)) > 3  # they did take turns
    pool.stop(1)


def test_a_turn_in_words(client):
    number = client.post("/v1/sessions").json()["id"]
    row = client.post(f"/v1/sessions/{number}/turns", json={"text": "a person walks for 2 seconds"}).json()
    assert row["reply"]["ok"] and row["session"]["segments"][0]["seconds"] == pytest.approx(2)
    long = client.post("/v1/motions", json={"prompt": "a person walks in a circle 100 times"})
    assert long.status_code == 400, "more than one request may ask for"


def made(client, route, tmp_path, **row):
    (motion,) = client.post(f"/v1/{route}", json=row).json()["motions"]
    path = tmp_path / "made.npz"
    path.write_bytes(client.get(f"/v1/exports/{motion['id']}.npz").content)
    return export.load(path)


def told(tmp_path, *arguments):
    from avatargpt.__main__ import main

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([*map(str, arguments), "-q", "-o", str(tmp_path / "told.npz")]) == 0
    return export.load(tmp_path / "told.npz")


def assert_same(*motions):
    parts = [[p for p in (getattr(m, "body", m), getattr(m, "face", None)) if p is not None] for m in motions]
    for rows in zip(*parts, strict=True):
        for name in ("weights", "head") if isinstance(rows[0], FaceMotion) else ("rotations", "root", "fingers"):
            for row in rows[1:]:
                np.testing.assert_array_equal(getattr(row, name), getattr(rows[0], name), name)


def test_a_talk_is_the_same_through_every_door(tmp_path, real, client, monkeypatch):
    monkeypatch.setattr(real, "acted", cache(real.acted))
    path = sound_file(tmp_path, 1.0)
    sound = client.post("/v1/uploads", params={"name": path.name}, content=path.read_bytes()).json()["id"]
    told_what = {"body": "a person walks in angrily", "seed": 2}
    talk = real.speak(path, **told_what)
    assert talk.face.weights[:, INDEX["browDownLeft"]].max() > 0.5
    assert_same(talk, *(made(client, route, tmp_path, sound=sound, **told_what) for route in ("speak", "tools/speak")))
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_text(json.dumps({"type": "start", **told_what}))
        socket.send_bytes(voice(1.0).tobytes())
        socket.send_text(json.dumps({"type": "end"}))
        rows = []
        while (message := socket.receive()).get("text") is None or json.loads(message["text"])["type"] != "done":
            rows.append(message.get("bytes") or b"")
    pieces = real.speak_stream([voice(1.0)], **told_what)
    assert b"".join(rows) == b"".join(frame_rows(piece)[1].tobytes() for piece in pieces)
    # what the words of the face say counts before what those of the body do
    asked = {"text": "smile", "emotion": "sad:0.6"}
    options = [part for name, value in asked.items() for part in (f"--{name}", value)]
    assert_same(real.speak(path, **asked), made(client, "speak", tmp_path, sound=sound, **asked),
                told(tmp_path, "speak", path, *options))  # fmt: skip


def test_gestures_and_a_face_are_the_same_through_every_door(tmp_path, real, client):
    path = sound_file(tmp_path, 1.0)
    sound = client.post("/v1/uploads", params={"name": path.name}, content=path.read_bytes()).json()["id"]
    assert_same(real.gesture(path, seed=3), made(client, "gestures", tmp_path, sound=sound, seed=3),
                told(tmp_path, "gesture", path, "--seed", 3))  # fmt: skip
    assert_same(told(tmp_path, "face", path, "--text", "smile", "--seed", 3),
                made(client, "faces", tmp_path, sound=sound, text="smile", seed=3))  # fmt: skip
    assert_same(told(tmp_path, "face", "--text", "nod", "--seconds", 2),
                made(client, "faces", tmp_path, text="nod", seconds=2))  # fmt: skip


def test_motion_words_and_plans_are_the_same_through_every_door(tmp_path, real, client):
    asked = {"seconds": 1.0, "seed": 4}
    motion = export.load(real.generate("a person jumps", **asked)[0].save(tmp_path / "asked.npz"))
    rows = [made(client, r, tmp_path, prompt="a person jumps", **asked) for r in ("motions", "tools/make")]
    assert_same(motion, *rows)
    number = client.post("/v1/tools/make", json={"prompt": "a person jumps", **asked}).json()["motions"][0]["id"]
    answers = [client.post(f"/v1/{route}", json={"motion": number}).json() for route in ("describe", "tools/describe")]
    assert [a["descriptions"] for a in answers] == [real.describe(motion)] * 2
    scene = {"scene": "a man makes breakfast", "activities": 2}
    rows = [client.post(f"/v1/{route}", json=scene).json() for route in ("plans", "tools/plan")]
    steps = [a.steps for a in real.plan(**scene).activities]
    for row in rows:
        assert [[step["text"] for step in a["steps"]] for a in row["activities"]] == [[*s] for s in steps]


def test_controls_and_joined_motions_are_the_same_through_every_door(tmp_path, real, client):
    asked = {"seconds": 2.0, "seed": 4, "best_of": 2, "times": 2, "fps": 30.0, "path": "circle:left"}
    options = ["--seconds", 2, "--seed", 4, "--best-of", 2, "--times", 2, "--fps", 30, "--path", "circle:left"]
    motion = export.load(real.generate("a person walks", **asked)[0].save(tmp_path / "asked.npz"))
    assert motion.fps == 30
    rows = [made(client, r, tmp_path, prompt="a person walks", **asked) for r in ("motions", "tools/make")]
    assert_same(motion, *rows, told(tmp_path, "generate", "a person walks", *options))
    path = tmp_path / "asked.npz"
    number = client.post("/v1/uploads", params={"name": path.name}, content=path.read_bytes()).json()["motion"]["id"]
    for verb, names, files in (("extend", ("motion",), [path]), ("inbetween", ("start", "end"), [path, path])):
        how = {"seconds": 1.0, "seed": 2, "best_of": 2}
        method = real.extend if verb == "extend" else real.in_between
        direct = export.load(method(*[motion] * len(names), **how).save(tmp_path / "direct.npz"))
        asked = dict.fromkeys(names, number) | how
        assert_same(direct, *(made(client, route, tmp_path, **asked) for route in (verb, f"tools/{verb}")),
                    told(tmp_path, verb, *files, "--seconds", 1, "--seed", 2, "--best-of", 2))  # fmt: skip


def test_readings_and_reconstructions_are_the_same_through_every_door(tmp_path, real, client, capsys):
    from avatargpt.__main__ import main

    for text, face in (("walk forward, then wave twice", False), ("smile, then nod", True)):
        (row,) = client.post("/v1/read", json={"text": text, "face": face}).json().values()
        read = real.read(text, face)
        assert row == json.loads(json.dumps(score_row(read) if face else request_row(read)))
        assert main(["read", text, "--json", *["--face"] * face]) == 0
        assert json.loads(capsys.readouterr().out) == row
    path = real.generate("a person jumps", seconds=1.0, best_of=1)[0].save(tmp_path / "asked.npz")
    number = client.post("/v1/uploads", params={"name": path.name}, content=path.read_bytes()).json()["motion"]["id"]
    rebuilt, figures = real.reconstruct(str(path))
    answer = client.post("/v1/reconstruct", json={"motion": number}).json()
    assert answer["figures"] == figures and answer["motions"][0]["frames"] == len(rebuilt)
    assert_same(export.load(rebuilt.save(tmp_path / "direct.npz")), told(tmp_path, "reconstruct", path))


def test_the_library_is_the_same_through_every_door(real, client, capsys):
    from mcp import Client

    from avatargpt.__main__ import main
    from avatargpt.client import Client as Remote
    from avatargpt.server.mcp_server import mcp_server

    async def call(arguments):
        async with Client(mcp_server(client.app.state.server)) as assistant:
            return (await assistant.call_tool("actions", arguments)).structured_content

    remote = Remote("http://localhost")
    remote._http = client  # the same exchanges, without a socket
    for query, count, offset in (("get the door for her", 4, 0), ("", 3, 800)):
        asked = {"query": query, "count": count, "offset": offset}
        found = real.actions(**asked)
        row = {"actions": [asdict(action) for action in found]}
        assert len(found) == count and (found[0].score is None) == (not query)
        assert client.post("/v1/actions", json=asked).json() == row
        assert client.post("/v1/tools/actions", json=asked).json() == row
        assert asyncio.run(call(asked)) == row and remote.actions(**asked) == row["actions"]
        assert main(["actions", query, "--count", str(count), "--offset", str(offset), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == row
        assert main(["actions", query, "--count", str(count), "--offset", str(offset)]) == 0
        head, *lines = capsys.readouterr().out.splitlines()
        assert head.split() == ["score", "seconds", "name", "caption"] and len(lines) == count
        assert all(a.name in line and line.endswith(a.caption) for a, line in zip(found, lines, strict=True))
    refused = client.post("/v1/actions", json={"query": "..."})
    assert refused.status_code == 400 and "signs alone" in refused.json()["error"]["message"]


def test_a_task_answers_the_same_through_every_door(tmp_path, real, client, capsys):
    from avatargpt.__main__ import main

    path = real.generate("a person jumps", seconds=1.0, best_of=1)[0].save(tmp_path / "asked.npz")
    number = client.post("/v1/uploads", params={"name": path.name}, content=path.read_bytes()).json()["motion"]["id"]
    direct = real.run_task("motion_to_text", {"motion": str(path)}, num=2, seed=3)
    row = {"task": "motion_to_text", "slots": {"motion": number}, "num": 2, "seed": 3}
    assert client.post("/v1/tasks", json=row).json()["answers"] == direct
    assert main(["task", "motion_to_text", f"motion={path}", "-n", "2", "--seed", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == direct
    asked = {"task": "text_to_motion", "slots": {"caption": "a person jumps"}, "seconds": 1.0}
    (clip,) = real.run_task(*list(asked.values())[:2], seconds=1.0)
    command = ("task", "text_to_motion", "caption=a person jumps", "--seconds", 1)
    assert_same(clip, *(made(client, r, tmp_path, **asked) for r in ("tasks", "tools/task")), told(tmp_path, *command))
    wrong = (({"motion": 7}, "slots.motion"), ({"moton": number}, "slots"), ({"motion": "no"}, "slots.motion"))
    for slots, where in wrong:
        refused = client.post("/v1/tasks", json={"task": "motion_to_text", "slots": slots})
        assert refused.status_code in (400, 404) and refused.json()["error"]["where"] == where, refused.json()
    assert client.post("/v1/tasks", json={"task": "nope"}).json()["error"]["where"] == "task"


def test_an_edit_is_read_as_a_turn_and_says_what_it_did(client):
    row = {"prompt": "a person waves the left hand", "seconds": 2, "best_of": 2}
    number = client.post("/v1/motions", json=row).json()["motions"][0]["id"]
    for text, caption, seconds in (("mirrored", "a person waves the right hand", 2.0), ("at half speed", "", 4.0)):
        (made,) = client.post("/v1/edit", json={"motion": number, "text": text}).json()["motions"]
        assert made["seconds"] == pytest.approx(seconds) and made["notes"] and caption in made["caption"]
    refused = client.post("/v1/edit", json={"motion": number, "text": "asdf qwer"})
    assert refused.status_code == 400 and "English" in refused.json()["error"]["message"]
    both = {"prompt": "a person waves and smiles", "seconds": 1, "best_of": 1, "modalities": "body,face"}
    avatar = client.post("/v1/motions", json=both).json()["motions"][0]["id"]
    for route, body in (("extend", {"motion": avatar}), ("edit", {"motion": avatar, "text": "slower"}),
                        ("inbetween", {"start": number, "end": avatar})):  # fmt: skip
        answer = client.post(f"/v1/{route}", json=body)
        assert answer.status_code == 400 and "avatar" in answer.json()["error"]["message"], answer.text


def test_a_talk_winks_when_a_word_is_said(tmp_path, real):
    path = sound_file(tmp_path, 2.0)
    words = Words((Word("good", 0.2, 0.5), Word("grief", 1.2, 1.6)), 2.0, "times")
    talk = real.speak(path, words, text="wink with the left eye when you say grief")
    assert not any("is not known" in note for note in talk.notes)
    wink = talk.face.channel("eyeBlinkLeft") - talk.face.channel("eyeBlinkRight")
    assert 1.0 < wink.argmax() / 30 < 1.9


def test_moods_of_a_transcript_are_the_same_through_every_door(driver, monkeypatch):
    words = Words((Word("good", 0.1, 0.4), Word("grief", 0.5, 0.9)), 1.0, "network")
    heard = []
    monkeypatch.setattr(alignment, "align", lambda audio, text, *_, **__: heard.append(text) or words)
    for files in (True, False):
        _, feelings = read_spoken("good [sad:0.5] grief", voice(1.0), driver, files=files)
        assert [(f.second, f.text) for f in feelings] == [(0.0, "calm"), (0.2, "calm"), (0.5, "sad")]
    assert heard == ["good grief"] * 2


def test_a_voice_stays_in_its_timeline_and_is_exported_with_it(tmp_path, client):
    data = sound_file(tmp_path, 1.5).read_bytes()
    sound = client.post("/v1/uploads?name=v.wav", content=data).json()["id"]
    (motion,) = client.post("/v1/speak?wait=300", json={"sound": sound}).json()["motions"]
    number = client.post("/v1/sessions").json()["id"]

    def turn(**body):
        return client.post(f"/v1/sessions/{number}/turns?wait=300", json=body).json()["session"]["segments"]

    turn(acts=["make 1s: a person walks"])
    body = {"motion": motion["id"], "caption": "a person speaks"}
    first = client.post(f"/v1/sessions/{number}/motions?wait=300", json=body).json()["session"]["segments"][1]
    assert client.get(first["sound"]).content == data
    frames = client.get(first["clip"]).content
    shutil.rmtree(client.app.state.server.store.root / "motions")  # they expire before their session
    for acts in (["rename 2: hello"], ["loop 2 x2"], ["undo 2"], ["then 1s: a person waves"]):
        turn(text="how long is it?")
        segment = turn(acts=acts)[1]
        assert (segment["clip"], segment["sound"]) == (first["clip"], first["sound"]), acts
    assert client.get(first["clip"]).content == frames and client.get(first["sound"]).content == data
    assert turn(acts=["speed 2 x2"])[1]["sound"] is None, "nobody speaks so fast"
    assert turn(acts=["undo"])[1]["sound"] == first["sound"]
    turn(acts=["save: all.npz"])
    for address in (f"/v1/sessions/{number}/exports.npz", f"/v1/sessions/{number}/files/all.npz"):
        (tmp_path / "all.npz").write_bytes(client.get(address).content)
        whole = export.load(tmp_path / "all.npz")
        spoken = export.load(tmp_path / "store" / "sessions" / number / "motions" / f"{key_in(first['clip'])}.npz")
        assert whole.fps == 30 and whole.seconds == 3.5 and whole.sound is None
        np.testing.assert_allclose(whole.face.weights[30:75], spoken.face.weights, atol=1e-6)
        np.testing.assert_allclose(whole.body.fingers[30:75], spoken.body.fingers, atol=1e-5)
        assert not whole.face.weights[:22].any() and not whole.face.weights[83:].any()
    assert client.get(f"/v1/sessions/{number}/exports.csv").status_code == 200


def key_in(address):
    return address.rpartition("/")[2].partition(".")[0]
