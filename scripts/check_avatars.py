"""Move three kinds of avatars in headless Chromium by exported .vrma files, and measure their lips.

    npm install three @pixiv/three-vrm @pixiv/three-vrm-animation   # in a folder of its own
    python scripts/check_avatars.py talk.wav "WHAT IS SAID" --modules FOLDER/node_modules -o SHEET.png

The avatars are our own mesh as VRM 0 with presets alone, as VRM 0 with presets and Perfect Sync in PascalCase, and as
VRM 1 with presets; their happy preset shows the teeth. For each and for every mood the lips are measured on the moved
mesh: how far they open, and how many p, b, m close them. The sheet shows each avatar at its widest, and on the p, b or
m that closes least, under each mood. Needs playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import io
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.avatar_file import read_avatar
from avatargpt.export.bones import bone_of, unity_bone
from avatargpt.export.expressions import VRM0
from avatargpt.export.gltf_write import write_avatar_glb
from avatargpt.export.head import head
from avatargpt.export.vrma import write_vrma
from avatargpt.face.audio_model.conditioning import parse_emotions
from avatargpt.face.audio_model.controls import LIVELY
from avatargpt.face.pipeline import FacePipeline
from avatargpt.speech.transcripts import words_of
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.features import STANDING
from vqvae.motion import Motion
from vqvae.skeleton import SMPL52

MOODS = ("calm", "happy:1", "angry:1", "sad:1", "surprised:1", "disgusted:1")
SIZE, LABEL = 320, 26  # pixels of the page; of a line of words in the sheet
PORTRAIT = (70, 34, 250, 300)  # of the page: left, top, right, bottom
CLOSED = 1.5  # mm between the lips that count as closed, more than at rest
# What the presets of these avatars move: shapes of the head and how far.
PRESETS: dict[str, dict[str, float]] = {
    "aa": {"jawOpen": 0.6, "mouthLowerDown": 0.2}, "ih": {"jawOpen": 0.1, "mouthStretch": 0.6},
    "ou": {"mouthPucker": 0.9, "jawOpen": 0.1}, "ee": {"jawOpen": 0.25, "mouthStretch": 0.5, "mouthSmile": 0.2},
    "oh": {"mouthFunnel": 0.6, "jawOpen": 0.4}, "blink": {"eyeBlink": 1.0}, "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0}, "happy": {"mouthSmile": 0.9, "jawOpen": 0.25, "mouthUpperUp": 0.5},
    "angry": {"browDown": 1.0, "mouthFrown": 0.5, "jawOpen": 0.1}, "sad": {"browInnerUp": 1.0, "mouthFrown": 0.7},
    "surprised": {"browOuterUp": 1.0, "eyeWide": 0.8, "jawOpen": 0.5},
}  # fmt: skip
PAGE = """<!doctype html><style>body{margin:0;background:#dde}</style><script type="importmap">{"imports":{
"three":"/m/three/build/three.module.js","three/addons/":"/m/three/examples/jsm/",
"@pixiv/three-vrm":"/m/@pixiv/three-vrm/lib/three-vrm.module.js",
"@pixiv/three-vrm-animation":"/m/@pixiv/three-vrm-animation/lib/three-vrm-animation.module.js"}}</script>
<script type="module">
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";
import { VRMAnimationLoaderPlugin, createVRMAnimationClip, VRMLookAtQuaternionProxy } from "@pixiv/three-vrm-animation";
const renderer = new THREE.WebGLRenderer(); renderer.setSize(SIZE, SIZE); document.body.append(renderer.domElement);
const scene = new THREE.Scene(); scene.background = new THREE.Color(0xd8dde6);
const sun = new THREE.DirectionalLight(0xffffff, 2.5); sun.position.set(0.5, 1, 2);
scene.add(sun, new THREE.AmbientLight(0xffffff, 1.2));
const camera = new THREE.PerspectiveCamera(20, 1, 0.05, 10);
const loader = new GLTFLoader();
loader.register((p) => new VRMLoaderPlugin(p)); loader.register((p) => new VRMAnimationLoaderPlugin(p));
let vrm, mixer, face;
window.avatar = async (file) => {
  if (vrm) scene.remove(vrm.scene);
  vrm = (await loader.loadAsync(file)).userData.vrm; VRMUtils.rotateVRM0(vrm); scene.add(vrm.scene);
  const proxy = new VRMLookAtQuaternionProxy(vrm.lookAt); proxy.name = "proxy"; vrm.scene.add(proxy);
  vrm.scene.traverse((n) => { n.frustumCulled = false; if (n.morphTargetInfluences) face = n; });
  return vrm.expressionManager.expressions.map((e) => e.expressionName);
};
window.play = async (file) => {
  const clip = createVRMAnimationClip((await loader.loadAsync(file)).userData.vrmAnimations[0], vrm);
  mixer = new THREE.AnimationMixer(vrm.scene); mixer.clipAction(clip).play();
  return clip.tracks.length;
};
const middle = (ids) => {  // of vertices, moved by the morph targets
  const at = new THREE.Vector3(), one = new THREE.Vector3();
  for (const id of ids) {
    one.fromBufferAttribute(face.geometry.attributes.position, id);
    face.morphTargetInfluences.forEach((w, k) => { const m = face.geometry.morphAttributes.position[k];
      one.x += w * m.getX(id); one.y += w * m.getY(id); one.z += w * m.getZ(id); });
    at.add(one);
  }
  return at.divideScalar(ids.length);
};
const pose = (t) => { mixer.setTime(t); vrm.update(0); };
window.gaps = (times, upper, lower) => times.map((t) => { pose(t); return middle(upper).distanceTo(middle(lower)); });
window.draw = (t) => { pose(t); vrm.scene.updateMatrixWorld(true);
  const at = vrm.humanoid.getRawBoneNode("head").getWorldPosition(new THREE.Vector3());
  camera.position.set(at.x, at.y + 0.06, at.z + 0.85);
  camera.lookAt(at.x, at.y + 0.06, at.z); renderer.render(scene, camera); };
window.ready = true;
</script>""".replace("SIZE", str(SIZE))


def write_avatar(path: Path, version: int, perfect_sync: bool) -> None:
    """Our body and head as a VRM of that version with presets, and with Perfect Sync in PascalCase."""
    import pygltflib as gl

    body = Motion(rot.identity((1, 22)), STANDING[None], 30.0, "gesture", fingers=rot.identity((1, 30)))
    write_avatar_glb(AvatarMotion(body, FaceMotion(np.zeros((1, arkit.COUNT)), np.zeros((1, 3)))), path)
    gltf = gl.GLTF2().load_binary(str(path))
    node = [n.name for n in gltf.nodes].index("face")
    tables = {n: [(arkit.INDEX[s], w) for k, w in shapes.items() for s in arkit.expand(k)]
              for n, shapes in PRESETS.items()}  # fmt: skip
    custom = {arkit.pascal(n): [(i, 1.0)] for i, n in enumerate(arkit.NAMES)} if perfect_sync else {}
    gltf.animations = []
    if version == 1:
        def bound(table: dict[str, Any]) -> dict[str, Any]:
            return {n: {"morphTargetBinds": [{"node": node, "index": i, "weight": w} for i, w in binds]}
                    for n, binds in table.items()}  # fmt: skip

        gltf.extensionsUsed, gltf.extensions = ["VRMC_vrm"], {"VRMC_vrm": {
            "specVersion": "1.0",
            "humanoid": {"humanBones": {bone_of(n): {"node": i} for i, n in enumerate(SMPL52.names)}},
            "meta": {"name": "a", "authors": ["AvatarGPT"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
            "expressions": {"preset": bound(tables), "custom": bound(custom)},
            "lookAt": {"type": "expression", "offsetFromHeadBone": [0.0, 0.06, 0.0], **{
                f"rangeMap{way}": {"inputMaxValue": 90.0, "outputScale": 1.0}
                for way in ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")}},
        }}  # fmt: skip
    else:
        turned = len(gltf.nodes)  # VRM 0 looks along -Z
        gltf.nodes.append(gl.Node(name="turned", rotation=[0.0, 1.0, 0.0, 0.0], children=gltf.scenes[0].nodes))
        gltf.scenes[0].nodes = [turned]
        groups = [(VRM0[n], VRM0[n].lower() if n != "surprised" else "unknown", binds) for n, binds in tables.items()]
        groups += [(n, "unknown", binds) for n, binds in custom.items()]
        bones = [{"bone": b[:1].lower() + b[1:], "node": i}
                 for i, b in enumerate(map(unity_bone, SMPL52.names))]  # fmt: skip
        gltf.extensionsUsed, gltf.extensions = ["VRM"], {"VRM": {
            "specVersion": "0.0", "meta": {"title": "a", "author": "AvatarGPT"}, "humanoid": {"humanBones": bones},
            "materialProperties": [{"shader": "VRM_USE_GLTFSHADER", "name": m.name} for m in gltf.materials],
            "firstPerson": {"firstPersonBone": SMPL52.index("head"), "lookAtTypeName": "BlendShape"},
            "blendShapeMaster": {"blendShapeGroups": [
                {"name": name, "presetName": preset, "binds": [
                    {"mesh": gltf.nodes[node].mesh, "index": i, "weight": 100 * w} for i, w in binds]}
                for name, preset, binds in groups]},
        }}  # fmt: skip
    gltf.save_binary(str(path))


AVATARS = {"vrm0_presets": (0, False), "vrm0_perfect_sync": (0, True), "vrm1_presets": (1, False)}


def serve(folder: Path, modules: Path) -> http.server.ThreadingHTTPServer:
    """The folder and, under /m/, the modules, on a free port of this machine."""
    (folder / "m").symlink_to(modules.resolve())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sound", type=Path)
    parser.add_argument("transcript")
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with three and @pixiv's packages")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("-o", "--output", type=Path, help="a picture of all")
    args = parser.parse_args()
    pipeline = FacePipeline.load()
    words = words_of(args.transcript, args.sound, pipeline.driver)
    lips = [p for w in words.words for p in w.phones if p.name in ("P", "B", "M")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.html").write_text(PAGE)
        clips = {}
        for mood in MOODS:
            face = pipeline.perform("", args.sound, feelings=parse_emotions(mood, 100))
            clips[mood] = pipeline.with_controls(face, LIVELY, None)
        for avatar, (version, perfect_sync) in AVATARS.items():
            write_avatar(folder / f"{avatar}.vrm", version, perfect_sync)
            names = read_avatar(folder / f"{avatar}.vrm").names
            for k, clip in enumerate(clips.values()):
                layout = "presets" if names == "presets" else "arkit"
                write_vrma(clip, folder / f"{avatar}_{k}.vrma", layout, "all" if names == "presets" else str(names))
        server = serve(folder, args.modules)
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": SIZE, "height": SIZE})
            page.on("pageerror", lambda e: print("page:", e))
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/page.html")
            page.wait_for_function("window.ready")
            pictures = {avatar: _check(page, avatar, clips, lips) for avatar in AVATARS}
            browser.close()
        server.shutdown()
    if args.output is not None:
        _sheet(pictures).save(args.output)


def _check(page: Any, avatar: str, clips: dict[str, FaceMotion], lips: list[Any]) -> dict[str, bytes]:
    """Print the figures of an avatar; pictures (PNG) of its widest mouth, and of the least closure under each mood."""
    page.evaluate(f"avatar('{avatar}.vrm')")
    upper, lower = ([int(i) for i in head().landmarks[n]] for n in (62, 66))
    rest = float(np.linalg.norm(head().points[upper].mean(0) - head().points[lower].mean(0)))
    pictures: dict[str, bytes] = {}
    for k, (mood, clip) in enumerate(clips.items()):
        tracks = page.evaluate(f"play('{avatar}_{k}.vrma')")
        times = (np.arange(len(clip)) / clip.fps).tolist()
        gap = 1000 * (np.array(page.evaluate(f"gaps({json.dumps(times)}, {upper}, {lower})")) - rest)
        shut = []
        for phone in lips:
            first, last = int(phone.start * clip.fps), int(np.ceil(phone.end * clip.fps))
            around = slice(max(first - 1, 0), last + 2)
            shut.append((float(gap[around].min()), max(first - 1, 0) + int(gap[around].argmin())))
        closed = sum(g < CLOSED for g, _ in shut)
        print(f"{avatar}, {mood}: {tracks} tracks, lips open by up to {gap.max():.1f} mm, "
              f"{closed} of {len(shut)} p b m closed (widest {max(g for g, _ in shut):.2f} mm)")  # fmt: skip
        if not pictures:
            pictures["widest"] = _drawn(page, int(gap.argmax()) / clip.fps)
        pictures[f"p, {mood.split(':')[0]}"] = _drawn(page, max(shut)[1] / clip.fps)
    return pictures


def _drawn(page: Any, second: float) -> bytes:
    page.evaluate(f"draw({second})")
    return bytes(page.screenshot())


def _sheet(pictures: dict[str, dict[str, bytes]]) -> Image.Image:
    """A row for each avatar, with its name and what is shown."""
    left, top, right, bottom = PORTRAIT
    width, height = right - left, bottom - top + LABEL
    columns = max(map(len, pictures.values()))
    sheet = Image.new("RGB", (columns * width, len(pictures) * (height + LABEL)), "white")
    write = ImageDraw.Draw(sheet)
    for row, (avatar, shown) in enumerate(pictures.items()):
        y = row * (height + LABEL)
        write.text((6, y + 6), avatar.replace("_", " "), fill="black", font_size=15)
        for column, (what, png) in enumerate(shown.items()):
            portrait = Image.open(io.BytesIO(png)).convert("RGB").crop(PORTRAIT)
            sheet.paste(portrait, (column * width, y + LABEL))
            write.text((column * width + 6, y + height + 4), what, fill="black", font_size=14)
    return sheet


if __name__ == "__main__":
    main()
