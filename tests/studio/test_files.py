"""Files that are dropped into the studio, a voice in step with its mouth, and every export read back."""

import base64
import io
import json
import struct
import wave

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.vrma import bone_of
from avatargpt.server.avatar import avatar_glb
from tests.clips import swaying
from tests.studio.conftest import stretch, until
from vqvae.io.gltf import pack_glb
from vqvae.skeleton import SMPL22

SEGMENTS = "studio.studio.session?.segments ?? []"
LIMBS = [("l_shoulder", "l_elbow"), ("l_elbow", "l_wrist"), ("r_shoulder", "r_elbow"), ("l_hip", "l_knee"),
         ("l_knee", "l_ankle"), ("r_knee", "r_ankle"), ("spine1", "spine2"), ("neck", "head")]  # fmt: skip
MOST_OFFSET = 40.0  # ms between what is heard and what is seen


def drop(page, name, content):
    """Drop a file onto the page, as a browser does it."""
    page.evaluate(
        """([name, text]) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], name));
          for (const kind of ["dragenter", "dragover", "drop"]) {
            window.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
          }
        }""",
        [name, base64.b64encode(content).decode()],
    )
    until(page, "!!studio.studio.busy || studio.studio.lines.length > 0")
    until(page, "!studio.studio.busy", 60)


def a_vrm(scale: float = 1.2) -> bytes:
    """A VRM 1.0 of bones alone, larger than we are, without upper chest and toes; hair swings at its head."""
    missing = ("spine3", "l_foot", "r_foot")
    names = [n for n in SMPL22.names if n not in missing]
    places = SMPL22.rest_joints * scale
    nodes = []
    for name in names:
        above = SMPL22.parents[SMPL22.index(name)]
        while above >= 0 and SMPL22.names[above] in missing:
            above = SMPL22.parents[above]
        at = places[SMPL22.index(name)] - (places[above] if above >= 0 else [0, -1.1, 0])
        nodes.append({"name": bone_of(name), "translation": [float(x) for x in at], "above": above})
    for node in nodes:
        children = [
            i
            for i, other in enumerate(nodes)
            if other["above"] >= 0 and bone_of(SMPL22.names[other["above"]]) == node["name"]
        ]
        if children:
            node["children"] = children
    for node in nodes:
        del node["above"]
    nodes[names.index("head")]["children"] = [len(nodes)]
    spring = {"joints": [{"node": len(nodes) + k, "stiffness": 0.5, "gravityPower": 0.5} for k in range(2)]}
    nodes += [{"name": "hair", "translation": [0.0, 0.1, -0.1], "children": [len(nodes) + 1]},
              {"name": "tip", "translation": [0.0, 0.0, -0.3]}]  # fmt: skip
    meta = {"name": "bones", "authors": ["tests"], "licenseUrl": "https://vrm.dev/licenses/1.0/"}
    human = {node["name"]: {"node": i} for i, node in enumerate(nodes)}
    vrm = {"specVersion": "1.0", "meta": meta, "humanoid": {"humanBones": human}}
    gltf = {
        "asset": {"version": "2.0"}, "extensionsUsed": ["VRMC_vrm", "VRMC_springBone"], "scene": 0,
        "extensions": {"VRMC_vrm": vrm, "VRMC_springBone": {"specVersion": "1.0", "springs": [spring]}},
        "scenes": [{"nodes": [0]}], "nodes": nodes, "buffers": [{"byteLength": 4}],
    }  # fmt: skip
    return pack_glb(gltf, bytes(4))


def directions(joints, names=LIMBS):
    """(N, 3) unit vectors along the limbs."""
    limbs = np.array([np.subtract(joints[b], joints[a]) for a, b in names])
    return limbs / np.linalg.norm(limbs, axis=1, keepdims=True)


def as_joints(frame):
    return {name: place.tolist() for name, place in zip(SMPL22.names, frame, strict=True)}


@pytest.fixture
def clip(tmp_path):
    """A motion in which everything moves, and its file."""
    motion = swaying(50, seed=3).canonical()  # as timelines begin: above the origin, facing +Z
    return motion, export.save(motion, tmp_path / "swaying.bvh")


def test_a_dropped_bvh_is_described_and_played(page, clip):
    motion, file = clip
    drop(page, file.name, file.read_bytes())
    assert page.evaluate(f"({SEGMENTS}).map((s) => s.caption)") == ["a person moves for 50 frames"]
    assert "swaying.bvh shows: a person moves for 50 frames" in page.text_content(".log")
    for frame in (0, 20, 45):
        page.evaluate(
            f"(studio.studio.player.pause(), studio.studio.player.seek({frame / 20}), studio.studio.redraw())"
        )
        page.wait_for_timeout(150)
        found, want = page.evaluate("studio.joints"), as_joints(motion.joints[frame])
        assert np.degrees(np.arccos(np.clip((directions(found) * directions(want)).sum(1), -1, 1))).max() < 2.0


def test_a_dropped_vrm_wears_the_motion(page, clip):
    motion, file = clip
    drop(page, "bones.vrm", a_vrm())
    until(page, "studio.studio.avatar.name === 'bones.vrm'")
    standing = page.evaluate("studio.joints")  # before there is any motion
    assert abs(standing["l_wrist"][1] - standing["pelvis"][1]) < 0.3 < standing["pelvis"][1] - standing["l_ankle"][1]
    drop(page, file.name, file.read_bytes())
    limbs = [pair for pair in LIMBS if pair != ("spine1", "spine2")]  # a bone of ours ends within one of the avatar's
    page.evaluate("(studio.studio.player.pause(), studio.studio.player.seek(0), studio.studio.redraw())")
    page.wait_for_timeout(150)
    begun = page.evaluate("studio.joints.pelvis")
    for frame in (5, 20, 45):
        page.evaluate(f"(studio.studio.player.seek({frame / 20}), studio.studio.redraw())")
        page.wait_for_timeout(150)
        found, want = page.evaluate("studio.joints"), as_joints(motion.joints[frame])
        angles = np.degrees(np.arccos(np.clip((directions(found, limbs) * directions(want, limbs)).sum(1), -1, 1)))
        assert angles.max() < 2.0, dict(zip(limbs, angles, strict=True))
        way = np.subtract(found["pelvis"], begun)[[0, 2]] / 1.2
        np.testing.assert_allclose(way, (motion.root[frame] - motion.root[0])[[0, 2]], atol=0.15)
    page.reload()
    until(page, "!!window.studio && studio.studio.state === 'ready'")
    assert page.evaluate("studio.studio.avatar.name") == "bones.vrm"
    page.click("#own-avatar")
    assert page.evaluate("studio.studio.avatar.name") == "AvatarGPT"


def test_hair_hangs_the_same_however_a_moment_was_reached(page, clip):
    _, file = clip
    drop(page, "bones.vrm", a_vrm())
    until(page, "studio.studio.avatar.name === 'bones.vrm'")
    drop(page, file.name, file.read_bytes())
    page.evaluate("studio.studio.player.pause()")
    tips = []
    for second in (2.3, 0.2, 1.2, 0.2, 2.3, 0.2):
        page.evaluate(f"(studio.studio.player.seek({second}), studio.studio.redraw())")
        page.wait_for_timeout(150)
        tips.append(page.evaluate("""(() => {
          const at = (name) => studio.studio.avatar.object.getObjectByName(name).matrixWorld;
          return at("head").clone().invert().multiply(at("tip")).elements.slice(12, 15);
        })()"""))  # fmt: skip
    tips = np.array(tips)
    assert np.linalg.norm(tips[[3, 5]] - tips[1], axis=1).max() < 0.01
    assert np.linalg.norm(tips[[2, 4]] - tips[1], axis=1).min() > 0.01, "it hangs down, whatever the head does"


def a_character(change):
    """Our own avatar as a .glb that has been changed as JSON."""
    data = avatar_glb()
    length = struct.unpack("<I", data[12:16])[0]
    gltf = json.loads(data[20 : 20 + length])
    gltf.pop("animations", None)  # with one the page asks what of both is meant
    change(gltf)
    return pack_glb(gltf, data[28 + length :])


def test_a_character_with_visemes_alone(page):
    def change(gltf):
        extras = next(m for m in gltf["meshes"] if m["name"] == "face")["extras"]
        extras["targetNames"] = ["viseme_PP", "viseme_aa", *map(str, range(50))]
        head = next(n for n in gltf["nodes"] if n["name"] == "head")
        head["children"] = [*head.get("children", []), len(gltf["nodes"])]
        gltf["skins"].append({"joints": [len(gltf["nodes"])]})
        gltf["nodes"].append({"name": "HeadTop_End", "translation": [0.0, 0.2, 0.0]})

    drop(page, "voice.wav", a_voice()[0])
    drop(page, "visemes.glb", a_character(change))
    until(page, "studio.studio.avatar.name === 'visemes.glb'")
    assert "moved by shapes of its own: viseme_aa." in page.locator(".log li").last.text_content()
    joints = page.evaluate("studio.joints")
    assert joints["HeadTop_End"][1] > joints["head"][1] + 0.15, "the end of a head is none"


def test_a_character_that_is_not_read_is_not_worn(page, tell):
    def change(gltf):
        gltf["extensionsUsed"] = [*gltf.get("extensionsUsed", []), "KHR_draco_mesh_compression"]
        extension = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {}}}
        gltf["meshes"][0]["primitives"][0]["extensions"] = extension

    tell("a person walks")
    drop(page, "packed.glb", a_character(change))
    assert "packed.glb is compressed (DRACO)" in page.locator(".log li").last.text_content()
    tell("a person waves")
    assert page.evaluate(f"({SEGMENTS}).length") == 2 and page.evaluate("studio.studio.avatar.name") == "AvatarGPT"
    assert "bad" not in (page.locator(".log li").last.get_attribute("class") or "")


def a_voice(seconds=2.4, rate=16000):
    """A .wav with four bursts of noise of different lengths."""
    t = np.arange(round(seconds * rate)) / rate
    loud = sum(((t > a) & (t < b)).astype(float) for a, b in ((0.3, 0.5), (0.8, 1.2), (1.4, 1.5), (1.8, 2.2)))
    samples = np.random.default_rng(0).uniform(-1, 1, len(t)) * loud * 0.5
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return out.getvalue(), loud, rate


def test_a_voice_moves_the_mouth_in_time(page):
    content, loud, rate = a_voice()
    drop(page, "voice.wav", content)
    until(page, "studio.studio.player.playing && studio.studio.player.hasSound")
    page.evaluate(
        """() => {
          window.seen = [];
          studio.studio.player.loop = false;
          studio.studio.player.play(0);
          const look = () => {
            window.seen.push([studio.heard, studio.morphs.jawOpen]);
            if (studio.studio.player.playing) requestAnimationFrame(look);
            else window.over = true;
          };
          requestAnimationFrame(look);
        }"""
    )
    until(page, "window.over", 30)
    seen = np.array(page.evaluate("window.seen"))
    assert seen[:, 1].max() > 0.5

    def fit(shift):
        """How well the mouth goes with the sound `shift` seconds earlier."""
        at = np.clip(((seen[:, 0] - shift) * rate).astype(int), 0, len(loud) - 1)
        return np.corrcoef(loud[at], seen[:, 1])[0, 1]

    shifts = np.arange(-0.3, 0.301, 0.005)
    offset = shifts[int(np.argmax([fit(s) for s in shifts]))]
    assert fit(offset) > 0.7
    assert abs(offset) * 1000 <= MOST_OFFSET * stretch()
    fingers = page.evaluate("studio.studio.blend.shape.joints.length")
    assert fingers == 52 and page.locator(".voices canvas").count() == 1


def downloaded(page, name):
    page.click("#export")
    with page.expect_download(timeout=120_000) as download:
        page.locator(".files button", has=page.locator(f"b:text-is('{name}')")).click()
    return download.value


@pytest.mark.parametrize("form", ["glb", "bvh", "vrma", "npz"])
def test_exports_are_read_back(page, tell, tmp_path, form):
    tell("a person strolls")
    got = downloaded(page, form.upper())
    assert got.suggested_filename == f"strolls.{form}"
    got.save_as(tmp_path / got.suggested_filename)
    motion = export.load(tmp_path / got.suggested_filename)
    assert len(motion) == page.evaluate("studio.studio.session.frames")
    page.evaluate("(studio.studio.player.pause(), studio.studio.player.seek(1), studio.studio.redraw())")
    page.wait_for_timeout(150)
    want, found = page.evaluate("studio.joints"), as_joints(motion.joints[20])
    assert np.degrees(np.arccos(np.clip((directions(found) * directions(want)).sum(1), -1, 1))).max() < 2.0


def test_the_face_of_a_voice_is_a_csv(page, tmp_path):
    drop(page, "voice.wav", a_voice()[0])
    got = downloaded(page, "CSV")
    got.save_as(tmp_path / "face.csv")
    face = export.load(tmp_path / "face.csv")
    assert face.channel("jawOpen").max() > 0.5


def test_film_request_python_and_picture(page, tell, tmp_path):
    tell("a person strolls")
    film = downloaded(page, "Film")
    film.save_as(tmp_path / film.suggested_filename)
    content = (tmp_path / film.suggested_filename).read_bytes()
    assert content[4:8] == b"ftyp" or content[:4] == bytes.fromhex("1a45dfa3")
    assert len(content) > 10_000
    request = json.loads(downloaded(page, "Request").path().read_text())
    assert [s["prompt"] for s in request["segments"]] == ["a person strolls"]
    assert request["acts"] == ["make: a person strolls"]
    picture = downloaded(page, "Picture").path().read_bytes()
    assert struct.unpack(">II", picture[16:24]) > (300, 200)
    page.click("#export")
    page.locator(".files button", has=page.locator("b:text-is('Python')")).click()
    until(page, "!!document.querySelector('dialog pre')")
    code = page.text_content("dialog pre")
    compile(code, "snippet", "exec")
    assert "make: a person strolls" in code


def test_what_cannot_be_read_is_told_in_one_line(page):
    drop(page, "notes.bvh", b"these are only notes")
    assert "bad" in page.locator(".log li").last.get_attribute("class")
    assert page.evaluate("studio.studio.state") == "ready" and not page.evaluate(
        "studio.studio.session?.segments?.length"
    )
