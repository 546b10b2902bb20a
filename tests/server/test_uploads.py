"""Uploads: known by their contents, read by our readers, given back; what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion
from tests.clips import gliding
from vqvae.face import FaceMotion
from vqvae.motion import Motion


def sent(client, name, content):
    return client.post("/v1/uploads", params={"name": name}, content=content)


@pytest.mark.parametrize("form", ["bvh", "glb", "npz", "npy", "vrma"])
def test_motions(client, tmp_path, form):
    data = export.save(gliding(50), tmp_path / f"x.{form}").read_bytes()
    response = sent(client, f"folder/x.{form}", data)
    assert response.status_code == 201, response.text
    row = response.json()
    assert row["kind"] == "motion" and row["name"] == f"x.{form}" and row["bytes"] == len(data)
    assert row["motion"]["frames"] in (49, 50) and row["character"] == (form == "glb")
    assert client.get(row["motion"]["links"]["bvh"]).status_code == 200
    again = client.get(row["href"])
    assert again.content == data and "attachment" in again.headers["content-disposition"]


def test_faces(client, tmp_path):
    face = FaceMotion(np.full((30, 52), 0.25), np.zeros((30, 3)))
    row = sent(client, "f.npz", export.save(face, tmp_path / "f.npz").read_bytes()).json()["motion"]
    assert row["kind"] == "face" and row["channels"] == {"body": False, "hands": False, "face": True}
    frames = client.get(row["links"]["frames"]).content
    assert np.frombuffer(frames[-4 * 52 :], "<f4") == pytest.approx(0.25)
    assert client.get(row["links"]["csv"]).status_code == 200


def test_an_avatar_brings_no_path_of_this_machine(client, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"secret")
    clip = gliding(30)
    fingers = np.zeros((30, 30, 4), np.float32)
    fingers[..., 0] = 1
    body = Motion(clip.rotations, clip.root, 20.0, "gesture", fingers=fingers)
    avatar = AvatarMotion(body, FaceMotion(np.zeros((30, 52)), np.zeros((30, 3)), 20.0), secret)
    row = sent(client, "a.npz", avatar.save(tmp_path / "a.npz").read_bytes()).json()["motion"]
    assert row["kind"] == "avatar" and row["channels"]["hands"]
    stored = client.app.state.server.store.motion(row["id"])
    assert stored.clip().sound is None and not list(stored.folder.glob("sound*"))


def test_a_character_wears_a_motion(client, tmp_path):
    glb = export.save(gliding(20), tmp_path / "hero.glb").read_bytes()
    character = sent(client, "hero.glb", glb).json()["id"]
    motion = client.post("/v1/motions", json={"prompt": "walk", "seconds": 2, "seed": 2}).json()["motions"][0]
    response = client.get(f"{motion['links']['glb']}?character={character}")
    assert response.status_code == 200, response.text
    path = tmp_path / "worn.glb"
    path.write_bytes(response.content)
    assert response.content != glb and len(response.content) > len(glb)
    assert client.get(f"{motion['links']['bvh']}?character={character}").status_code == 400
    if "fbx" not in motion["links"]:  # without Blender it is not among what is accepted
        refused = client.get(f"{motion['links']['glb'][:-4]}.fbx?character={character}")
        assert refused.status_code == 415 and ".fbx" not in refused.json()["error"]["message"].partition("accepted")[2]


def test_kinds(client):
    wav = b"RIFF\x24\0\0\0WAVEfmt " + bytes(28)
    for name, data, kind in (("v.wav", wav, "sound"), ("p.png", b"\x89PNG\r\n\x1a\n" + bytes(9), "picture"),
                             ("c.mp4", b"\0\0\0\x18ftypisom" + bytes(9), "film")):  # fmt: skip
        row = sent(client, name, data).json()
        assert row["kind"] == kind and "motion" not in row
        assert client.get(row["href"]).content == data


@pytest.mark.parametrize(("name", "data", "status"), [
    ("x.bvh", b"\x7fELF\0\0", 415), ("x.bvh", b"glTF" + bytes(99), 415), ("x.pkl", b"\x80\x04\x95\0\0", 415),
    ("x.npz", b"PK\x03\x04" + bytes(99), 400), ("x.bvh", b"HIERARCHY\nROOT x\n", 400), ("x.glb", b"glTF", 400),
    ("x.bvh", b"", 400), ("", b"HIERARCHY", 400), ("x" * 300, b"HIERARCHY", 400), ("x.json", b"{" * 99_999, 400),
    ("x.gltf", b'{"asset": {"version": "2.0"}, "buffers": [{"uri": "/etc/passwd", "byteLength": 9}]}', 400),
])  # fmt: skip
def test_refused(client, tmp_path, name, data, status):
    response = sent(client, name, data)
    assert response.status_code == status, response.text
    assert str(tmp_path) not in response.text and "passwd" not in response.text.replace("/etc/passwd", "")
    assert not list((client.app.state.server.store.root / "uploads").iterdir())


def test_pickles_are_not_read(client):
    data = io.BytesIO()
    np.savez(data, rotations=np.array([{"a": 1}], object), modality="body", fps=20.0)
    assert sent(client, "x.npz", data.getvalue()).status_code == 400
