"""Play an exported .vrma on our head as a VRM avatar with three-vrm in headless Chromium, and compare.

    npm install three @pixiv/three-vrm @pixiv/three-vrm-animation   # in a folder of its own; and Chromium
    python scripts/check_vrma.py clip.npz clip.vrma --modules FOLDER/node_modules -o shown.png

The .npz is the clip that `avatargpt face` wrote beside the .vrma. At eight moments the custom expressions of the avatar
are compared with `weights`, its head bone with `head`; the picture shows these moments as the browser drew them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from avatargpt.export.gltf_write import HEAD_NODE, MESH_NODE, NECK_NODE, write_face_glb
from vqvae import arkit
from vqvae.face import FaceMotion, turns

MOMENTS = 8
# bone, parent, offset in metres: what VRM asks for beside neck and head
BONES = (
    ("hips", "", (0, 0.95, 0)), ("spine", "hips", (0, 0.25, 0)),
    *((f"{s}UpperArm", "spine", (x * 0.16, 0.18, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}LowerArm", f"{s}UpperArm", (x * 0.27, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}Hand", f"{s}LowerArm", (x * 0.24, 0, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}UpperLeg", "hips", (x * 0.09, -0.05, 0)) for s, x in (("left", 1), ("right", -1))),
    *((f"{s}LowerLeg", f"{s}UpperLeg", (0, -0.42, 0)) for s in ("left", "right")),
    *((f"{s}Foot", f"{s}LowerLeg", (0, -0.40, 0)) for s in ("left", "right")),
)  # fmt: skip
PAGE = """<!doctype html><style>
body { margin: 0; overflow: hidden } #grid { width: 960px; font-size: 0 } pre { display: none }</style>
<div id="grid"></div><pre id="out"></pre>
<script type="importmap">{"imports": {
"three": "./three/build/three.module.js", "three/addons/": "./three/examples/jsm/",
"@pixiv/three-vrm": "./@pixiv/three-vrm/lib/three-vrm.module.js",
"@pixiv/three-vrm-animation": "./@pixiv/three-vrm-animation/lib/three-vrm-animation.module.js"}}</script>
<script type="module">
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
import { VRMAnimationLoaderPlugin, createVRMAnimationClip, VRMLookAtQuaternionProxy } from "@pixiv/three-vrm-animation";
const out = document.getElementById("out");
try {
  const asked = ASKED;
  const loader = new GLTFLoader();
  loader.register((p) => new VRMLoaderPlugin(p));
  loader.register((p) => new VRMAnimationLoaderPlugin(p));
  const vrm = (await loader.loadAsync("avatar.vrm")).userData.vrm;
  const animation = (await loader.loadAsync("clip.vrma")).userData.vrmAnimations[0];
  const proxy = new VRMLookAtQuaternionProxy(vrm.lookAt);
  proxy.name = "VRMLookAtQuaternionProxy";
  vrm.scene.add(proxy);
  const mixer = new THREE.AnimationMixer(vrm.scene);
  mixer.clipAction(createVRMAnimationClip(animation, vrm)).play();
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0xdde4ee);
  scene.add(vrm.scene, new THREE.HemisphereLight(0xffffff, 0x8890a0, 2.2));
  const sun = new THREE.DirectionalLight(0xffffff, 1.6);
  sun.position.set(0.6, 2.4, 2); scene.add(sun);
  vrm.scene.updateMatrixWorld(true);
  const at = new THREE.Vector3(); vrm.humanoid.getRawBoneNode("head").getWorldPosition(at);
  const camera = new THREE.PerspectiveCamera(24, 1, 0.05, 10);
  camera.position.set(at.x, at.y + 0.03, at.z + 0.95); camera.lookAt(at.x, at.y + 0.03, at.z);
  const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  renderer.setSize(240, 240);
  const rows = [];
  for (const time of asked) {
    mixer.setTime(time); vrm.update(0);
    const q = vrm.humanoid.getNormalizedBoneNode("head").quaternion;
    const values = {};
    for (const e of vrm.expressionManager.expressions) values[e.expressionName] = e.weight;
    rows.push({ values, head: [q.w, q.x, q.y, q.z], yaw: vrm.lookAt.yaw, pitch: vrm.lookAt.pitch });
    renderer.render(scene, camera);
    const picture = new Image(240, 240); picture.src = renderer.domElement.toDataURL();
    document.getElementById("grid").appendChild(picture);
  }
  out.textContent = "@@" + JSON.stringify(rows) + "@@";
} catch (e) { out.textContent = "failed: " + e.stack; }
</script>"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each request."""

    def log_message(self, *_: object) -> None:
        pass


def write_avatar(path: Path) -> None:
    """Our head as a VRM 1.0 avatar: the bones that VRM asks for, the 52 shapes as custom expressions, `aa` and `blink`
    as presets."""
    import pygltflib as gl

    still = FaceMotion(np.zeros((1, arkit.COUNT), np.float32), np.zeros((1, 3)), 30.0)
    write_face_glb(still, path)
    gltf = gl.GLTF2().load_binary(str(path))
    gltf.animations, first = [], len(gltf.nodes)
    names = [name for name, *_ in BONES]
    for name, parent, offset in BONES:
        gltf.nodes.append(gl.Node(name=name, translation=[float(v) for v in offset], children=[]))
        if parent:
            gltf.nodes[first + names.index(parent)].children.append(first + names.index(name))
    chest = np.sum([offset for name, _, offset in BONES if name in ("hips", "spine")], 0)
    gltf.nodes[NECK_NODE].translation = (np.array(gltf.nodes[NECK_NODE].translation) - chest).tolist()
    gltf.nodes[first + 1].children.append(NECK_NODE)
    gltf.scenes[0].nodes = [first, MESH_NODE]
    human = {name: {"node": first + k} for k, name in enumerate(names)}
    human |= {"neck": {"node": NECK_NODE}, "head": {"node": HEAD_NODE}}

    def moves(*shapes: str) -> dict[str, object]:
        return {"morphTargetBinds": [{"node": MESH_NODE, "index": arkit.NAMES.index(s), "weight": 1.0} for s in shapes]}

    gltf.extensionsUsed = ["VRMC_vrm"]
    gltf.extensions = {"VRMC_vrm": {
        "specVersion": "1.0", "humanoid": {"humanBones": human},
        "meta": {"name": "head", "authors": ["AvatarGPT"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
        "expressions": {
            "preset": {"aa": moves("jawOpen"), "blink": moves("eyeBlinkLeft", "eyeBlinkRight")},
            "custom": {name: moves(name) for name in arkit.NAMES},
        },
        "lookAt": {"type": "expression", "offsetFromHeadBone": [0.0, 0.06, 0.0], **{
            f"rangeMap{way}": {"inputMaxValue": 90.0, "outputScale": 1.0}
            for way in ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
        }},
    }}  # fmt: skip
    gltf.save_binary(str(path))


def browsed(folder: Path, more: str, window: str = "960,480") -> str:
    """The page as Chromium has it in the end; `window`: width and height in pixels."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("error: no Chromium on this machine (apt install chromium)")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(
                [program, "--headless", "--no-sandbox", "--disable-background-networking", "--disable-component-update",
                 "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader", f"--window-size={window}",
                 f"--user-data-dir={profile}", "--virtual-time-budget=60000", more,
                 f"http://127.0.0.1:{server.server_address[1]}/page.html"],
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
    finally:
        server.shutdown()
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("vrma", type=Path)
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with three and @pixiv's packages")
    parser.add_argument("-o", "--out", type=Path, default=Path("shown.png"))
    args = parser.parse_args()
    with np.load(args.clip, allow_pickle=False) as data:
        weights, head, fps = data["weights"], data["head"], float(data["fps"])
        names = [str(n) for n in data["names"]]
    frames = np.linspace(0, len(weights) - 1, MOMENTS + 2).round().astype(int)[1:-1]
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        write_avatar(folder / "avatar.vrm")
        shutil.copy(args.vrma, folder / "clip.vrma")
        for module in ("three", "@pixiv"):
            (folder / module).symlink_to((args.modules / module).resolve())
        (folder / "page.html").write_text(PAGE.replace("ASKED", json.dumps((frames / fps).tolist())))
        page = browsed(folder, "--dump-dom")
        found = re.search(r'<pre id="out">@@(.*?)@@</pre>', page, re.S)
        if found is None:
            raise SystemExit(f"error: the page came to nothing: {page[-300:]}")
        browsed(folder, f"--screenshot={args.out.resolve()}")
    rows = json.loads(found[1].replace("&amp;", "&"))
    shown = np.array([[row["values"].get(n, np.nan) for n in names] for row in rows])
    turned = np.array([row["head"] for row in rows])
    apart = np.abs(np.sum(turned * turns(head[frames]), 1)).clip(0, 1)
    most = np.degrees(2 * np.arccos(np.abs(turned[:, 0]).clip(0, 1))).max()
    print(
        f"{MOMENTS} moments of {args.vrma}: weights apart by {np.abs(shown - weights[frames]).max():.2g}, the "
        f"head by {np.degrees(2 * np.arccos(apart)).max():.2g} degrees at most; largest "
        f"weight {shown.max():.2f}, turn {most:.1f}"
    )
    print(f"jawOpen {np.round(shown[:, names.index('jawOpen')], 2).tolist()}")
    print(args.out)


if __name__ == "__main__":
    main()
