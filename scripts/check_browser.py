"""Play an avatar's .glb, and its .vrma on our own body as a VRM avatar, with three.js in headless Chromium; compare.

    npm install three @pixiv/three-vrm @pixiv/three-vrm-animation   # in a folder of its own; and Chromium
    python scripts/check_browser.py talk.npz talk.glb talk.vrma --modules FOLDER/node_modules -o shown.png

The .npz is the clip that `avatargpt speak` wrote beside the others. At four moments the joints' places and the weights
are compared with the clip's; the picture shows them as the browser drew them, .glb above, .vrma below.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
from check_vrma import browsed

from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.gltf_write import write_avatar_glb
from avatargpt.export.vrma import bone_of
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.features import STANDING
from vqvae.motion import Motion
from vqvae.skeleton import SMPL52

MOMENTS, SIDE = 4, 360
PAGE = """<!doctype html><style>body { margin: 0 } #grid { width: 1440px; font-size: 0 } pre { display: none }</style>
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
  const { times, names, bones, aim, span, side } = ASKED;
  const loader = new GLTFLoader();
  loader.register((p) => new VRMLoaderPlugin(p));
  loader.register((p) => new VRMAnimationLoaderPlugin(p));
  const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  renderer.setSize(side, side);
  const camera = new THREE.PerspectiveCamera(2 * Math.atan(span / 8) * 180 / Math.PI, 1, 0.05, 20);
  function shown(what) {
    const scene = new THREE.Scene();
    scene.background = new THREE.Color(0xdde4ee);
    const sun = new THREE.DirectionalLight(0xffffff, 1.6);
    sun.position.set(0.6, 2.4, 2);
    scene.add(what, new THREE.HemisphereLight(0xffffff, 0x8890a0, 2.2), sun);
    return scene;
  }
  function drawn(scene, k) {
    camera.position.set(aim[k][0] + 1.2, aim[k][1], aim[k][2] + 3.8);
    camera.lookAt(...aim[k]);
    renderer.render(scene, camera);
    const picture = new Image(side, side); picture.src = renderer.domElement.toDataURL();
    document.getElementById("grid").appendChild(picture);
  }
  const place = (node) => { const v = new THREE.Vector3(); node.getWorldPosition(v); return v.toArray(); };
  const rows = { glb: [], vrma: [] };
  const glb = await loader.loadAsync("clip.glb");
  const player = new THREE.AnimationMixer(glb.scene);
  player.clipAction(glb.animations[0]).play();
  let scene = shown(glb.scene);
  const face = glb.scene.getObjectByName("face");
  for (const [k, time] of times.entries()) {
    player.setTime(time); glb.scene.updateMatrixWorld(true);
    const joints = names.map((n) => place(glb.scene.getObjectByName(n)));
    rows.glb.push({ joints, weights: [...face.morphTargetInfluences] });
    drawn(scene, k);
  }
  const vrm = (await loader.loadAsync("avatar.vrm")).userData.vrm;
  const animation = (await loader.loadAsync("clip.vrma")).userData.vrmAnimations[0];
  const proxy = new VRMLookAtQuaternionProxy(vrm.lookAt);
  proxy.name = "VRMLookAtQuaternionProxy";
  vrm.scene.add(proxy);
  const mixer = new THREE.AnimationMixer(vrm.scene);
  mixer.clipAction(createVRMAnimationClip(animation, vrm)).play();
  scene = shown(vrm.scene);
  for (const [k, time] of times.entries()) {
    mixer.setTime(time); vrm.update(0); vrm.scene.updateMatrixWorld(true);
    const found = {};
    for (const e of vrm.expressionManager.expressions) found[e.expressionName] = e.weight;
    rows.vrma.push({ joints: bones.map((b) => place(vrm.humanoid.getRawBoneNode(b))), found });
    drawn(scene, k);
  }
  out.textContent = "@@" + JSON.stringify(rows) + "@@";
} catch (e) { out.textContent = "failed: " + e.stack; }
</script>"""


def write_avatar(path: Path) -> None:
    """Our body and head as a VRM 1.0 avatar: T-pose, the 52 shapes as custom expressions."""
    import pygltflib as gl

    body = Motion(rot.identity((1, 22)), STANDING[None], 30.0, "gesture", fingers=rot.identity((1, 30)))
    still = FaceMotion(np.zeros((1, arkit.COUNT)), np.zeros((1, 3)))
    write_avatar_glb(AvatarMotion(body, still), path)
    gltf = gl.GLTF2().load_binary(str(path))
    gltf.animations = []
    mesh = [n.name for n in gltf.nodes].index("face")

    def moves(shape: str) -> dict[str, object]:
        return {"morphTargetBinds": [{"node": mesh, "index": arkit.NAMES.index(shape), "weight": 1.0}]}

    gltf.extensionsUsed = ["VRMC_vrm"]
    gltf.extensions = {"VRMC_vrm": {
        "specVersion": "1.0", "humanoid": {"humanBones": {bone_of(n): {"node": i} for i, n in enumerate(SMPL52.names)}},
        "meta": {"name": "avatar", "authors": ["AvatarGPT"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
        "expressions": {"custom": {name: moves(name) for name in arkit.NAMES}},
        "lookAt": {"type": "expression", "offsetFromHeadBone": [0.0, 0.06, 0.0], **{
            f"rangeMap{way}": {"inputMaxValue": 90.0, "outputScale": 1.0}
            for way in ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
        }},
    }}  # fmt: skip
    gltf.save_binary(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs=3, metavar=".npz|.glb|.vrma")
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with three and @pixiv's packages")
    parser.add_argument("-o", "--out", type=Path, default=Path("shown.png"))
    args = parser.parse_args()
    clip = AvatarMotion.load(args.files[0])
    frames = np.linspace(0, len(clip) - 1, MOMENTS + 2).round().astype(int)[1:-1]
    stands = float(np.ptp(clip.body.root, axis=0).max()) < 0.08
    ask = {
        "times": (frames / clip.fps).tolist(), "names": SMPL52.names, "bones": [bone_of(n) for n in SMPL52.names],
        "aim": (clip.body.root[frames] + [0, 0.25 if stands else 0.0, 0]).tolist(), "span": 1.5 if stands else 2.2,
        "side": SIDE,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        write_avatar(folder / "avatar.vrm")
        for file in args.files[1:]:
            shutil.copy(file, folder / f"clip{file.suffix}")
        for module in ("three", "@pixiv"):
            (folder / module).symlink_to((args.modules / module).resolve())
        (folder / "page.html").write_text(PAGE.replace("ASKED", json.dumps(ask)))
        page = browsed(folder, "--dump-dom", f"{SIDE * MOMENTS},{2 * SIDE}")
        found = re.search(r'<pre id="out">@@(.*?)@@</pre>', page, re.S)
        if found is None:
            raise SystemExit(f"error: the page came to nothing: {page[-600:]}")
        browsed(folder, f"--screenshot={args.out.resolve()}", f"{SIDE * MOMENTS},{2 * SIDE}")
    rows = json.loads(found[1].replace("&amp;", "&"))
    places = np.concatenate([clip.body.joints, clip.body.finger_joints], 1)[frames]
    weights = clip.face.weights[frames]
    for kind in ("glb", "vrma"):
        joints = np.array([row["joints"] for row in rows[kind]])
        if kind == "glb":
            shown = np.array([row["weights"] for row in rows[kind]])
        else:
            shown = np.array([[row["found"].get(n, np.nan) for n in arkit.NAMES] for row in rows[kind]])
        apart = 1000 * np.abs(joints - places).max(), np.abs(shown - weights).max()
        print(f".{kind}: {MOMENTS} moments, joints apart by {apart[0]:.3g} mm at most, weights by {apart[1]:.2g}")
    print(args.out)


if __name__ == "__main__":
    main()
