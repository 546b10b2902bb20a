"""Sessions of the studio: turns, versions, undo, frames, files, restarts, and what stays private."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from avatargpt import export
from avatargpt.chat.maker import MotionMaker
from avatargpt.chat.timeline import Timeline, segment_of
from avatargpt.server.session_state import Drafts
from tests.clips import gliding


@pytest.fixture
def session(client) -> str:
    response = client.post("/v1/sessions")
    assert response.status_code == 201
    return response.json()["id"]


def turn(client, number, *acts, text=""):
    body = {"acts": list(acts)} if acts else {"text": text}
    response = client.post(f"/v1/sessions/{number}/turns", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def about(data: bytes) -> dict:
    return json.loads(data[8 : 8 + struct.unpack("<I", data[4:8])[0]])


def test_a_session_begins_with_no_field(client):
    response = client.post("/v1/sessions", json={"text": "a person waves"})
    assert response.status_code == 400 and "text" in response.text, response.text


def test_turns_make_a_timeline(client, session):
    empty = client.get(f"/v1/sessions/{session}").json()
    assert empty["segments"] == [] and empty["version"] == 0 and not empty["can_undo"] and empty["frames"] == 0
    answer = turn(client, session, text="make 2s: a person walks | then 1s: a person waves")
    row = answer["session"]
    assert answer["reply"]["ok"] and answer["reply"]["acts"] == ["make 2s: a person walks", "then 1s: a person waves"]
    assert [(s["n"], s["caption"], s["seconds"], s["focus"]) for s in row["segments"]] == [
        (1, "a person walks", 2.0, False), (2, "a person waves", 1.0, True)]  # fmt: skip
    assert row["version"] == 1 and row["seconds"] == 3 and row["frames"] == 60 and row["can_undo"]
    assert row["turns"][0]["user"].startswith("make 2s") and row["turns"][0]["ok"]
    assert client.get(f"/v1/sessions/{session}").json() == row


def test_versions_rise_with_changes_alone(client, session):
    assert turn(client, session, "make 2s: a person walks")["session"]["version"] == 1
    assert turn(client, session, "show timeline")["session"]["version"] == 1
    assert turn(client, session, "speed x2")["session"]["version"] == 2
    undone = turn(client, session, "undo")["session"]
    assert undone["version"] == 3 and undone["can_redo"] and undone["segments"][0]["seconds"] == 2
    assert turn(client, session, "redo")["session"]["segments"][0]["seconds"] == 1


def test_takes(client, session):
    turn(client, session, "make 2s: a person walks")
    row = turn(client, session, "again")["session"]
    assert [(t["n"], t["letter"], t["seconds"]) for t in row["takes"]] == [(1, "a", 2.0), (2, "b", 2.0)]
    assert about(client.get(f"/v1/sessions/{session}/takes/2.frames").content)["frames"] == 40
    assert client.get(f"/v1/sessions/{session}/takes/3.frames").status_code == 404
    assert turn(client, session, "keep a")["session"]["takes"] == []


def test_mistakes_are_answers(client, session):
    answer = turn(client, session, "delete 3")
    assert not answer["reply"]["ok"] and "othing has been made" in answer["reply"]["text"]
    for body in ({"acts": ["fly away"]}, {}, {"text": "x", "acts": ["undo"]}, {"text": "x" * 3000}):
        assert client.post(f"/v1/sessions/{session}/turns", json=body).status_code == 400
    assert client.post(f"/v1/sessions/{'A' * 24}/turns", json={"acts": ["undo"]}).status_code == 404


def test_frames_and_files_of_the_timeline(client, session, tmp_path):
    assert client.get(f"/v1/sessions/{session}/frames").status_code == 404
    turn(client, session, "make 2s: a person walks")
    turn(client, session, "then 1s: a person waves")
    frames = client.get(f"/v1/sessions/{session}/frames").content
    later = client.get(f"/v1/sessions/{session}/frames?from=50").content
    assert about(frames)["frames"] == 60 and about(later)["frames"] == 10 and frames.endswith(later[-4 * 91 :])
    assert client.get(f"/v1/sessions/{session}/frames?from=60").status_code == 400
    for query, count in (("", 60), ("?first=2", 20), ("?first=1&last=2", 60), ("?first=1&last=1", 40)):
        path = tmp_path / "x.npz"
        path.write_bytes(client.get(f"/v1/sessions/{session}/exports.npz{query}").content)
        assert len(export.load(path)) == count
    assert client.get(f"/v1/sessions/{session}/exports.npz?first=9").status_code == 400
    # what a session exports changes with each turn, so that a browser must ask again
    assert client.get(f"/v1/sessions/{session}/exports.npz").headers["Cache-Control"] == "no-cache"
    assert client.get(f"/v1/sessions/{session}/exports.exe").status_code == 415
    turn(client, session, "undo")
    path.write_bytes(client.get(f"/v1/sessions/{session}/exports.npz").content)
    assert len(export.load(path)) == 40, "no file of an earlier state"
    exports = client.app.state.server.store.session(session) / "exports"
    assert [p.suffix for p in exports.iterdir()] == [".npz"], "and none of them stays"


def test_written_files_are_fetched_and_nothing_else(client, session, tmp_path):
    turn(client, session, "make 2s: a person walks")
    answer = turn(client, session, "save: walk.bvh")["reply"]
    assert answer["files"] == [{"name": "walk.bvh", "href": f"/v1/sessions/{session}/files/walk.bvh"}]
    assert str(tmp_path) not in answer["text"]
    path = tmp_path / "x.bvh"
    path.write_bytes(client.get(answer["files"][0]["href"]).content)
    assert len(export.load(path)) == 40
    outside = ("../session.json", "..%2fsession.json", "%2e%2e/session.json", "/etc/passwd")
    for name in (*outside, "nothing", "a%00b", "a" * 300):
        assert client.get(f"/v1/sessions/{session}/files/{name}").status_code == 404


def test_files_of_the_machine_are_not_read(client, session, tmp_path):
    secret = export.save(gliding(40), tmp_path / "secret.npz")
    for name in (str(secret), f"../../../../{secret.name}", os.path.relpath(secret)):
        for line in (f"load: {name}", f"describe {name}"):
            row = turn(client, session, text=line)
            assert not row["reply"]["ok"] and row["session"]["segments"] == [], line
    folder = client.app.state.server.store.session(session) / "files"
    (folder / "link.npz").symlink_to(secret)
    assert not turn(client, session, "load: link.npz")["reply"]["ok"]
    turn(client, session, "make 1s: a person walks")
    answer = turn(client, session, "save: /tmp/evil.npz")["reply"]
    assert not answer["ok"] and not Path("/tmp/evil.npz").exists()


def test_play_opens_nothing_here(client, session, monkeypatch):
    monkeypatch.setattr("avatargpt.chat.scene.open_file", lambda path: pytest.fail("opened on the server"))
    turn(client, session, "make 1s: a person walks")
    assert turn(client, session, "play")["reply"]["text"] == "Playing it."
    answer = turn(client, session, "show frames")["reply"]
    assert answer["files"] and client.get(answer["files"][0]["href"]).content[:4] == b"\x89PNG"
    assert "/store/" not in answer["text"]


def test_a_motion_is_appended(client, session, tmp_path):
    bvh = export.save(gliding(50), tmp_path / "x.bvh").read_bytes()
    motion = client.post("/v1/uploads?name=x.bvh", content=bvh).json()["motion"]["id"]
    body = {"motion": motion, "caption": "a person glides"}
    row = client.post(f"/v1/sessions/{session}/motions", json=body).json()
    (segment,) = row["session"]["segments"]
    assert row["reply"]["text"] == "Added: a person glides (2.5 s)." and row["session"]["turns"][0]["user"] == ""
    python = client.get(f"/v1/sessions/{session}/python").text
    name = python.partition("load: ")[2].partition("'")[0]
    assert client.get(f"/v1/sessions/{session}/files/{name}").status_code == 200
    assert row["reply"]["ok"] and segment["clip"] is None and segment["caption"] == "a person glides"
    assert segment["kind"] == "file" and row["session"]["frames"] == 50
    assert turn(client, session, "undo")["session"]["segments"] == []
    assert turn(client, session, "redo")["session"]["segments"][0]["caption"] == "a person glides"


def test_a_restarted_server_goes_on(serve):
    first = serve()
    number = first.post("/v1/sessions").json()["id"]
    row = turn(first, number, "make 2s: a person walks")["session"]
    second = serve()
    assert second.get(f"/v1/sessions/{number}").json() == row
    assert turn(second, number, "undo")["session"]["version"] == 2
    assert first.get(f"/v1/sessions/{number}").json()["version"] == 2, "both see the same store"


def test_a_cancelled_turn_has_not_happened(client, session, model):
    turn(client, session, "make 2s: a person walks")
    response = client.post(f"/v1/sessions/{session}/turns?wait=0", json={"acts": ["then: a person waits"]})
    assert response.status_code == 202
    time.sleep(0.1)
    client.delete(f"/v1/jobs/{response.json()['job']['id']}")
    model.go.set()
    time.sleep(0.3)
    row = client.get(f"/v1/jobs/{response.json()['job']['id']}").json()
    assert row["status"] == "cancelled"


def test_events_of_a_session(client, session):
    turn(client, session, "make 1s: a person walks")
    server, looks = client.app.state.server, []
    version = server.sessions.version
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.sessions, "version", lambda number: looks.append(number) or version(number))
        threading.Timer(0.5, server.begin_stop).start()
        events = client.get(f"/v1/sessions/{session}/events").text
    assert 'event: session\ndata: {"version": 1}' in events and "event: idle" in events
    assert len(looks) <= 2, "nothing happens, so that the files are not looked at over and over"


def test_who_watches_a_session_is_woken_by_its_drafts():
    async def woken(session):
        drafts, clip = Drafts(), gliding(20)
        with drafts.watch("a") as changed, drafts.open(session) as put:
            thread = threading.Thread(
                target=put, args=[Timeline().replace_segments([segment_of("walks", clip, 0, True)])]
            )
            thread.start()
            thread.join()
            await asyncio.sleep(0)  # the loop takes what the thread has left for it
            await asyncio.sleep(0)
            return changed.is_set()

    with ThreadPoolExecutor(1) as pool:  # a thread of its own: another test's browser has a loop on this one
        assert [pool.submit(asyncio.run, woken(name)).result() for name in ("a", "b")] == [True, False]


def test_drafts_come_while_a_turn_runs(client, session, model):
    server, rows = client.app.state.server, []
    turn(client, session, "make 2s: a person walks")
    assert client.get(f"/v1/sessions/{session}/draft.frames").status_code == 204
    began, go = threading.Event(), threading.Event()
    made = MotionMaker.make

    def slow(self, caption, seconds, seed, after=None, draft=None):
        out = made(self, caption, seconds, seed, after)
        draft(out.motion.slice(0, 20))
        began.set()
        assert go.wait(20)
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MotionMaker, "make", slow)
        body = {"acts": ["then 3s: a person waves"]}
        client.post(f"/v1/sessions/{session}/turns?wait=0", json=body)
        assert began.wait(20)
        draft = client.get(f"/v1/sessions/{session}/draft.frames").content
        rows.append(server.drafts.of(session).row)
        threading.Timer(0.5, server.begin_stop).start()
        events = client.get(f"/v1/sessions/{session}/events").text
        go.set()
        done = server.turns[session].result(20)
    assert about(draft)["frames"] == 20 and f"event: draft\ndata: {json.dumps(rows[0])}\n\n" in events
    assert {k: rows[0][k] for k in ("n", "start", "seconds", "caption")} == {
        "n": 2, "start": 2.0, "seconds": 1.0, "caption": "a person waves"}  # fmt: skip
    assert done["session"]["segments"][1]["seconds"] == 3 and server.drafts.of(session) is None


def test_python_of_a_session(client, session):
    turn(client, session, "make 1s: a person walks", "loop x2")
    turn(client, session, "undo")
    text = client.get(f"/v1/sessions/{session}/python").text
    compile(text, "snippet", "exec")
    assert "talk.do('make 1s: a person walks', 'loop x2')" in text and "talk.do('undo')" in text
