"""Play exported .glb and .vrma files with three.js and three-vrm in Node and compare them with the clip itself.

    npm install three @pixiv/three-vrm @pixiv/three-vrm-animation   # in a folder of its own
    python scripts/check_three.py talk.npz talk.glb talk.vrma --modules FOLDER/node_modules

The .npz is the clip of a face, a body with fingers or an avatar that `avatargpt` wrote beside the others. At eight
moments the joints' places (metres), the weights of the 52 shapes and the head's rotation are compared with the clip. A
.vrma plays on our own avatar as a VRM 1.0 model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion, body_and_face
from avatargpt.export.bones import bone_of
from avatargpt.export.gltf_write import write_avatar_glb
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion, turns
from vqvae.features import STANDING
from vqvae.motion import Motion
from vqvae.skeleton import SMPL52

MOMENTS = 8
PLAYER = """
import fs from "node:fs";
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
import { VRMAnimationLoaderPlugin, createVRMAnimationClip, VRMLookAtQuaternionProxy } from "@pixiv/three-vrm-animation";
globalThis.self = globalThis;
const { file, avatar, times, names, bones } = JSON.parse(process.argv[2]);
const loader = new GLTFLoader();
loader.register((p) => new VRMLoaderPlugin(p));
loader.register((p) => new VRMAnimationLoaderPlugin(p));
const load = (path) => loader.parseAsync(new Uint8Array(fs.readFileSync(path)).buffer, "");
const place = (node) => node.getWorldPosition(new THREE.Vector3()).toArray();
const turn = (node) => { const q = node.quaternion; return [q.w, q.x, q.y, q.z]; };
const clip = await load(file);
const rows = [];
if (file.endsWith(".vrma")) {
  const vrm = (await load(avatar)).userData.vrm;
  const proxy = new VRMLookAtQuaternionProxy(vrm.lookAt);
  proxy.name = "VRMLookAtQuaternionProxy";
  vrm.scene.add(proxy);
  const mixer = new THREE.AnimationMixer(vrm.scene);
  mixer.clipAction(createVRMAnimationClip(clip.userData.vrmAnimations.at(-1), vrm)).play();
  for (const time of times) {
    mixer.setTime(time); vrm.update(0); vrm.scene.updateMatrixWorld(true);
    const weights = {};
    for (const e of vrm.expressionManager.expressions) weights[e.expressionName] = e.weight;
    const joints = bones.map((b) => place(vrm.humanoid.getRawBoneNode(b)));
    rows.push({ joints, weights, head: turn(vrm.humanoid.getNormalizedBoneNode("head")) });
  }
} else {
  const mixer = new THREE.AnimationMixer(clip.scene);
  mixer.clipAction(clip.animations[0]).play();
  const face = clip.scene.getObjectByName("face");
  for (const time of times) {
    mixer.setTime(time); clip.scene.updateMatrixWorld(true);
    const weights = {};
    const targets = Object.entries(face?.morphTargetDictionary ?? {});
    for (const [n, k] of targets) weights[n] = face.morphTargetInfluences[k];
    const joints = clip.scene.getObjectByName("pelvis") ? names.map((n) => place(clip.scene.getObjectByName(n))) : [];
    rows.push({ joints, weights, head: turn(clip.scene.getObjectByName("head")) });
  }
}
console.log(JSON.stringify(rows));
"""


def write_avatar(path: Path) -> None:
    """Our body and head as a VRM 1.0 avatar: T-pose, the 52 shapes as custom expressions."""
    import pygltflib as gl

    body = Motion(rot.identity((1, 22)), STANDING[None], 30.0, "gesture", fingers=rot.identity((1, 30)))
    write_avatar_glb(AvatarMotion(body, FaceMotion(np.zeros((1, arkit.COUNT)), np.zeros((1, 3)))), path)
    gltf = gl.GLTF2().load_binary(str(path))
    mesh = [n.name for n in gltf.nodes].index("face")
    gltf.animations, gltf.extensionsUsed = [], ["VRMC_vrm"]
    gltf.extensions = {"VRMC_vrm": {
        "specVersion": "1.0", "humanoid": {"humanBones": {bone_of(n): {"node": i} for i, n in enumerate(SMPL52.names)}},
        "meta": {"name": "avatar", "authors": ["AvatarGPT"], "licenseUrl": "https://vrm.dev/licenses/1.0/"},
        "expressions": {"custom": {
            n: {"morphTargetBinds": [{"node": mesh, "index": i, "weight": 1.0}]} for i, n in enumerate(arkit.NAMES)
        }},
        "lookAt": {"type": "expression", "offsetFromHeadBone": [0.0, 0.06, 0.0], **{
            f"rangeMap{way}": {"inputMaxValue": 90.0, "outputScale": 1.0}
            for way in ("HorizontalInner", "HorizontalOuter", "VerticalDown", "VerticalUp")
        }},
    }}  # fmt: skip
    gltf.save_binary(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, metavar="CLIP.npz")
    parser.add_argument("files", type=Path, nargs="+", metavar=".glb|.vrma")
    parser.add_argument("--modules", type=Path, required=True, help="node_modules with three and @pixiv's packages")
    args = parser.parse_args()
    clip = export.load(args.clip)
    body, face = body_and_face(clip)
    frames = np.linspace(0, len(clip) - 1, MOMENTS + 2).round().astype(int)[1:-1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_avatar(folder / "avatar.vrm")
        (folder / "player.mjs").write_text(PLAYER)
        (folder / "node_modules").symlink_to(args.modules.resolve())
        for file in args.files:
            request = {
                "file": str(file.resolve()), "avatar": str(folder / "avatar.vrm"),
                "times": (frames / clip.fps).tolist(), "names": SMPL52.names,
                "bones": [bone_of(n) for n in SMPL52.names],
            }  # fmt: skip
            run = subprocess.run(
                ["node", "player.mjs", json.dumps(request)], cwd=folder, capture_output=True, text=True
            )
            if run.returncode:
                raise SystemExit(f"error: {file}: {run.stderr[-800:]}")
            rows = json.loads(run.stdout.splitlines()[-1])
            figures = []
            if body is not None:
                truth = np.concatenate([body.joints, body.finger_joints], 1)[frames]
                error = np.abs(np.array([row["joints"] for row in rows]) - truth).max()
                figures.append(f"joints apart by {1000 * error:.3g} mm")
            if face is not None:
                weights = np.array([[row["weights"].get(n, np.nan) for n in arkit.NAMES] for row in rows])
                figures.append(f"weights by {np.abs(weights - face.weights[frames]).max():.2g}")
            if face is not None and body is None:
                heads = np.array([row["head"] for row in rows])
                cosine = np.abs(np.sum(heads * turns(face.head[frames]), 1)).clip(0, 1)
                figures.append(f"the head by {np.degrees(2 * np.arccos(cosine)).max():.2g} degrees")
            print(f"{file}: {MOMENTS} moments, {', '.join(figures)} at most")


if __name__ == "__main__":
    main()
