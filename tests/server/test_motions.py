"""Motions, descriptions and plans over HTTP; jobs; what is refused."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
import time

import numpy as np
import pytest

from avatargpt import export
from tests.chat.stand_ins import walk
from vqvae.skeleton import SMPL22


def made(client, prompt="walk", **fields):
    response = client.post("/v1/motions", json={"prompt": prompt, "seconds": 2, **fields})
    assert response.status_code == 200, response.text
    return response.json()["motions"][0]


def error_of(response) -> dict:
    row = response.json()
    assert set(row) == {"error"} and set(row["error"]) == {"code", "message", "where"}
    assert "\n" not in row["error"]["message"]
    return row["error"]


def test_a_motion_is_made_and_known_by_its_prompt(client):
    row = made(client, "walk on", seed=3)
    assert row["kind"] == "body" and row["frames"] == 40 and row["fps"] == 20 and row["seconds"] == 2
    assert row["prompt_sha256"] == hashlib.sha256(b"walk on").hexdigest()
    assert row["read_as"] == ["a person walk on"] and row["notes"] == ["a note"] and row["seed"] == 3
    assert row["channels"] == {"body": True, "hands": False, "face": False}
    assert len(row["id"]) >= 22 and row["id"] != made(client, "walk on", seed=3)["id"]
    assert client.get(f"/v1/motions/{row['id']}").json() == row


def test_frames_are_the_motion(client):
    row = made(client, seed=2)
    data = client.get(row["links"]["frames"]).content
    assert data[:4] == b"AGF1"
    (length,) = struct.unpack("<I", data[4:8])
    about = json.loads(data[8 : 8 + length])
    assert length % 4 == 0 and about["frames"] == 40 and about["joints"] == list(SMPL22.names) and about["face"] == []
    rows = np.frombuffer(data[8 + length :], "<f4").reshape(40, 3 + 4 * 22)
    clip = walk(2, 2)
    np.testing.assert_array_equal(rows[:, :3], clip.root)
    np.testing.assert_allclose(np.roll(rows[:, 3:].reshape(40, 22, 4), 1, -1), clip.rotations, atol=1e-6)


@pytest.mark.parametrize("form", ["bvh", "glb", "npz", "vrma"])
def test_exports_are_read_back(client, tmp_path, form):
    row = made(client, seed=1)
    response = client.get(row["links"][form])
    assert response.status_code == 200 and "attachment" in response.headers["content-disposition"]
    path = tmp_path / f"x.{form}"
    path.write_bytes(response.content)
    np.testing.assert_allclose(export.load(path).joints, walk(2, 1).joints, atol=0.02)


def test_options_of_exports(client, tmp_path):
    link = made(client)["links"]["bvh"]
    path = tmp_path / "x.bvh"
    path.write_bytes(client.get(f"{link}?scale=100&fps=60").content)
    assert export.load(path).fps == pytest.approx(60, abs=0.01)
    for query, where in (("audio=/etc/passwd", "audio"), ("scale=x", "scale"), ("fps=1e9", "fps"),
                         ("character=nobody", "character"), ("layout=motion", "format")):  # fmt: skip
        response = client.get(f"{link}?{query}")
        assert response.status_code in (400, 404) and error_of(response)["where"] == where, query
    assert client.get(link.replace(".bvh", ".pkl")).status_code == 415


def test_operations_on_motions(client):
    first, second = made(client), made(client, seed=4)
    (longer,) = client.post("/v1/extend", json={"motion": first["id"], "text": "sit", "seconds": 1}).json()["motions"]
    assert longer["frames"] == 60 and longer["prompt"] == "sit"
    (joined,) = client.post("/v1/inbetween", json={"start": first["id"], "end": second["id"]}).json()["motions"]
    assert joined["frames"] == 100
    slower = client.post("/v1/edit", json={"motion": first["id"], "text": "edit 1: slower"})
    assert slower.json()["motions"][0]["seconds"] > 2
    assert made(client, after=first["id"])["frames"] == 40
    assert len(client.post("/v1/motions", json={"prompt": "walk", "num": 3}).json()["motions"]) == 3


def test_adapters_by_name(client):
    assert [made(client, **more)["notes"] for more in ({}, {"adapter": "calm"})] == [["a note"], ["calmly"]]
    response = client.post("/v1/motions", json={"prompt": "walk", "adapter": "../secret"})
    assert response.status_code == 400 and error_of(response)["where"] == "adapter"
    assert "accepted: calm" in error_of(response)["message"]


def test_typed_requests(client):
    body = {"request": {"clauses": [{"action": "walk", "times": 3}]}}
    (row,) = client.post("/v1/motions", json=body).json()["motions"]
    assert row["prompt"] == "walk times=3"


def test_descriptions_and_unknown_ids(client):
    row = made(client)
    answer = client.post("/v1/describe", json={"motion": row["id"]}).json()
    assert answer == {"descriptions": ["40 frames, version 0"], "notes": ["a note"]}
    assert len(client.post("/v1/describe", json={"motion": row["id"], "num": 2}).json()["descriptions"]) == 2
    for number in ("x", "../../etc", "A" * 24):
        response = client.post("/v1/describe", json={"motion": number})
        assert response.status_code == 404 and error_of(response)["where"] == "motion"


@pytest.mark.parametrize(("body", "where"), [
    ({}, "prompt"), ({"prompt": "..."}, ""), ({"prompt": "walk", "second": 3}, "second"),
    ({"prompt": "walk", "seconds": 0.01}, "seconds"), ({"prompt": "walk", "seconds": 500}, "seconds"),
    ({"prompt": "walk", "seconds": "x"}, "seconds"), ({"prompt": "long long long"}, "prompt"),
    ({"prompt": "walk", "num": 101}, "num"), ({"prompt": "walk", "seed": -1}, "seed"), ({"prompt": "refuse"}, ""),
    ({"prompt": "walk", "request": {"clauses": [{"action": "x"}]}}, "prompt"), ({"prompt": "a\ud800b"}, ""),
    ({"prompt": "walk", "source": "x"}, "source"), ({"operation": "extend"}, "operation"),
    ({"prompt": "walk", "guidance": 1e400}, "guidance"), ({"request": {"clauses": []}}, "request.clauses"),
    ({"prompt": "x" * 3000}, ""),
])  # fmt: skip
def test_bad_requests(client, body, where):
    response = client.post("/v1/motions", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert response.status_code == 400, response.text
    assert error_of(response)["where"] == where


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"prompt": NaN}'])
def test_bodies_that_are_no_object(client, content):
    response = client.post("/v1/motions", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    error_of(response)


def test_a_defect_is_told_without_contents(client, caplog):
    response = client.post("/v1/motions", json={"prompt": "break it"})
    assert response.status_code == 500 and "break it" not in response.text and "secret" not in response.text
    assert "break it" not in caplog.text and "secret" not in caplog.text
    assert made(client)["frames"] == 40, "the worker goes on"


def test_jobs_tell_their_progress_and_end(client, model):
    response = client.post("/v1/motions?wait=0", json={"prompt": "wait", "seconds": 1})
    assert response.status_code == 202
    job = response.json()["job"]
    assert response.headers["location"] == f"/v1/jobs/{job['id']}" and job["status"] in ("queued", "running")
    threading.Timer(0.3, model.go.set).start()
    events = client.get(f"/v1/jobs/{job['id']}/events").text.split("\n\n")
    assert events[0].startswith("event: progress") and events[-2].startswith("event: done")
    row = client.get(f"/v1/jobs/{job['id']}").json()
    assert row["status"] == "done" and row["motions"][0]["frames"] == 20 and row["error"] is None
    assert client.get("/v1/jobs/unknown").status_code == 404


def test_a_job_is_cancelled(client, model):
    job = client.post("/v1/motions?wait=0", json={"prompt": "wait"}).json()["job"]["id"]
    assert model.begun.wait(5)
    client.delete(f"/v1/jobs/{job}")
    until = time.time() + 5
    while (status := client.get(f"/v1/jobs/{job}").json()["status"]) == "running" and time.time() < until:
        time.sleep(0.02)
    assert status == "cancelled"
    assert made(client)["frames"] == 40


def test_a_job_is_seen_and_cancelled_by_another_process(serve, model):
    one, other = serve(), serve()
    job = one.post("/v1/motions?wait=0", json={"prompt": "wait"}).json()["job"]["id"]
    assert model.begun.wait(5) and other.get(f"/v1/jobs/{job}").json()["status"] in ("queued", "running")
    other.delete(f"/v1/jobs/{job}")
    until = time.time() + 10
    while other.get(f"/v1/jobs/{job}").json()["status"] != "cancelled" and time.time() < until:
        time.sleep(0.1)
    assert one.get(f"/v1/jobs/{job}").json()["status"] == "cancelled" and not one.app.state.server.jobs


def test_jobs_outlive_their_server(serve, tmp_path):
    job = serve().post("/v1/motions?wait=0", json={"prompt": "walk"}).json()["job"]["id"]
    time.sleep(0.2)
    assert serve().get(f"/v1/jobs/{job}").json()["status"] == "done"


def test_results_expire(serve):
    client = serve(result_seconds=0.5)
    row = made(client)
    assert client.get(row["links"]["bvh"]).status_code == 200
    time.sleep(0.6)
    assert client.get(row["links"]["bvh"]).status_code == 404
    client.app.state.server.sweep()
    assert not list((client.app.state.server.store.root / "motions").iterdir())


def test_the_page_of_the_api_has_no_scripts(client):
    page = client.get("/docs").text
    assert "<script" not in page and "http://cdn" not in page and "/v1/motions" in page and "curl" in page
    assert client.get("/openapi.json").json()["paths"]["/v1/motions"]["post"]


def test_health_and_metrics(client):
    made(client)
    assert client.get("/healthz").json()["status"] == "ok"
    text = client.get("/metrics").text
    assert 'avatargpt_requests_total{method="POST",route="/v1/motions",status="200"} 1.0' in text
    assert 'avatargpt_motion_seconds_total{kind="body"} 2.0' in text
