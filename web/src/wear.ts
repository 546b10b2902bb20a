/** Whatever wears a motion: our own avatar, a VRM, or a character that the server moved. */

import { VRMLoaderPlugin, VRMUtils, type VRM, type VRMHumanBoneName } from "@pixiv/three-vrm";
import * as three from "three";
import { GLTFLoader, type GLTF } from "three/addons/loaders/GLTFLoader.js";
import { clone } from "three/addons/utils/SkeletonUtils.js";
import { worldOf, type Pose, type Shape } from "./frames";

export interface Wearer {
  readonly object: three.Object3D;
  readonly name: string;
  /** Take a pose of a clip at its second, or at one of any clock that goes on. */
  wear(clip: Shape, pose: Pose, seconds: number): void;
  /** Places of joints under our names, metres in the world. */
  joints(): Record<string, [number, number, number]>;
  /** Weights of the face, by name; of a VRM those that are set. */
  morphs(): Record<string, number>;
  /** Names of the shapes that its face has. */
  shapes(): string[];
  /** Of a face with a movement of its own the shapes that this moves. */
  moved?(): string[];
  dispose(): void;
}

const SIDES: Record<string, string> = { l: "left", r: "right" };
const BONES: Record<string, string> = {
  pelvis: "hips", spine1: "spine", spine2: "chest", spine3: "upperChest", neck: "neck", head: "head",
  collar: "Shoulder", shoulder: "UpperArm", elbow: "LowerArm", wrist: "Hand", hip: "UpperLeg", knee: "LowerLeg",
  ankle: "Foot", foot: "Toes",
}; // prettier-ignore
const FINGERS: Record<string, string> = { thumb: "Thumb", index: "Index", middle: "Middle", ring: "Ring", pinky: "Little" };

/** VRM 1.0's name of one of our joints. */
export function boneOf(joint: string): string {
  const side = SIDES[joint[0] as string];
  const name = joint[1] === "_" && side ? joint.slice(2) : joint;
  if (name in BONES) return name === joint ? (BONES[name] as string) : `${side}${BONES[name]}`;
  const number = Number(name.at(-1)) - 1;
  const phalanges = name.startsWith("thumb") ? ["Metacarpal", "Proximal", "Distal"] : ["Proximal", "Intermediate", "Distal"];
  return `${side}${FINGERS[name.slice(0, -1)]}${phalanges[number]}`;
}

function loader(): GLTFLoader {
  const out = new GLTFLoader();
  out.register((parser) => new VRMLoaderPlugin(parser));
  return out;
}

/** A file's scene; what its compression needs is not part of the page. */
export const parse = (bytes: ArrayBuffer, name = "The file"): Promise<GLTF> =>
  loader()
    .parseAsync(bytes, "")
    .catch((error) => {
      const kind = /DRACO|Meshopt|KTX2/i.exec(String(error))?.[0];
      throw kind ? new Error(`${name} is compressed (${kind}), which is not read here; accepted one saved without compression.`) : error;
    });

const place = new three.Vector3();
const placed = (node: three.Object3D): [number, number, number] => {
  node.getWorldPosition(place);
  return [place.x, place.y, place.z];
};

function prepare(object: three.Object3D): void {
  object.traverse((node) => {
    // a skin's box is that of its rest: it would vanish when the body leaves it
    node.frustumCulled = false;
  });
}

function dispose(object: three.Object3D): void {
  VRMUtils.deepDispose(object);
}

const EYES = new three.Vector3(0, 0.06, 0.05); // metres from the joint of the head
const EYE_TURN = 0.52; // radians that the eyes turn at full weight
const FADES = 0.7; // radians aside from which on they no longer follow

/** A character with our joints' names, as `/v1/avatar.glb`. */
export class Own implements Wearer {
  readonly name: string = "AvatarGPT";
  private readonly nodes = new Map<string, three.Object3D>();
  private readonly faces: three.Mesh[] = [];

  constructor(readonly object: three.Object3D) {
    prepare(object);
    object.traverse((node) => {
      this.nodes.set(node.name, node);
      if ((node as three.Mesh).morphTargetDictionary) this.faces.push(node as three.Mesh);
    });
  }

  wear(clip: Shape, pose: Pose): void {
    for (let j = 0; j < clip.joints.length; j++) {
      this.nodes.get(clip.joints[j] as string)?.quaternion.fromArray(pose.turns, 4 * j);
    }
    if (clip.joints.length) this.nodes.get("pelvis")?.position.fromArray(pose.root);
    if (clip.joints.length > 22) this.handsRest = false;
    else if (!this.handsRest) this.restHands();
    for (const mesh of this.faces) {
      const influences = mesh.morphTargetInfluences as number[];
      const dictionary = mesh.morphTargetDictionary as Record<string, number>;
      influences.fill(0);
      clip.face.forEach((name, k) => {
        const at = dictionary[name];
        if (at !== undefined) influences[at] = pose.face[k] as number;
      });
    }
  }

  /** Turn the eyes to a place of the world, as far as eyes go; ahead where it is beside or behind the head. */
  lookAt(goal: three.Vector3): void {
    const head = this.nodes.get("head");
    if (!head) return;
    head.updateWorldMatrix(true, false);
    const local = head.worldToLocal(goal.clone()).sub(EYES);
    const yaw = Math.atan2(local.x, local.z); // to the person's left
    const pitch = Math.atan2(local.y, Math.hypot(local.x, local.z));
    const aside = Math.hypot(yaw, pitch);
    const share = 1 - three.MathUtils.smoothstep(aside, FADES, 1.6 * FADES);
    const side = three.MathUtils.clamp(yaw / EYE_TURN, -1, 1) * share;
    const up = three.MathUtils.clamp(pitch / EYE_TURN, -1, 1) * share;
    const weights: Record<string, number> = {
      eyeLookOutLeft: side, eyeLookInRight: side, eyeLookInLeft: -side, eyeLookOutRight: -side,
      eyeLookUpLeft: up, eyeLookUpRight: up, eyeLookDownLeft: -up, eyeLookDownRight: -up,
    }; // prettier-ignore
    for (const mesh of this.faces) {
      for (const [name, weight] of Object.entries(weights)) {
        const at = mesh.morphTargetDictionary?.[name];
        if (at !== undefined && mesh.morphTargetInfluences) mesh.morphTargetInfluences[at] = Math.max(0, weight);
      }
    }
  }

  /** How the body is built, without its fingers; read from bones, parents first. */
  shape(): Shape {
    const bones = [...this.nodes].filter(([name, node]) => (node as three.Bone).isBone && OWN_JOINTS.includes(name));
    const joints = bones.map(([name]) => name);
    const parents = bones.map(([, node]) => joints.indexOf(node.parent?.name ?? ""));
    return { joints, parents, offsets: bones.map(([, node]) => node.position.toArray()), face: [] };
  }

  private handsRest = false;

  /** Fingers hang a little bent where the motion has none. */
  private restHands(): void {
    this.handsRest = true;
    for (const [name, node] of this.nodes) {
      const match = /^([lr])_(thumb|index|middle|ring|pinky)([123])$/.exec(name);
      if (!match) continue;
      const sign = match[1] === "l" ? -1 : 1;
      const bend = match[2] === "thumb" ? 0.12 : 0.22 + 0.05 * ["index", "middle", "ring", "pinky"].indexOf(match[2] as string);
      if (match[2] === "thumb") node.rotation.set(0, -sign * bend, 0);
      else node.rotation.set(0, 0, sign * bend);
    }
  }

  joints(): Record<string, [number, number, number]> {
    this.object.updateWorldMatrix(true, true);
    const out: Record<string, [number, number, number]> = {};
    for (const [name, node] of this.nodes) if ((node as three.Bone).isBone) out[name] = placed(node);
    return out;
  }

  morphs(): Record<string, number> {
    return weightsOf(this.faces);
  }

  shapes(): string[] {
    return Object.keys(this.morphs());
  }

  /** A second body of the same skin. */
  twin(): Own {
    return new Own(clone(this.object));
  }

  dispose(): void {
    dispose(this.object);
  }
}

const letters = (name: string): string => name.toLowerCase().replace(/[^a-z]/g, "");

/** A VRM 0 or 1: humanoid bones, and the face by the 52 names where it has them, else by VRM's presets. */
export class Vrm implements Wearer {
  readonly object: three.Object3D;
  private readonly custom = new Map<string, string>();
  private readonly flip: number;
  private readonly height: number;
  private set: Record<string, number> = {};
  private standing = 0;
  private seconds = NaN;
  private at = new three.Vector3();
  private owed = 0; // seconds that hair and cloth are behind

  constructor(
    private readonly vrm: VRM,
    readonly name: string,
  ) {
    this.object = new three.Group();
    VRMUtils.rotateVRM0(vrm);
    this.object.add(vrm.scene);
    prepare(vrm.scene);
    this.flip = vrm.meta.metaVersion === "0" ? -1 : 1;
    this.height = (vrm.humanoid.normalizedRestPose.hips?.position?.[1] ?? 0.95) as number;
    for (const name of Object.keys(vrm.expressionManager?.expressionMap ?? {})) this.custom.set(letters(name), name);
    if (vrm.lookAt) vrm.lookAt.autoUpdate = false;
  }

  wear(clip: Shape, pose: Pose, seconds: number): void {
    if (clip.joints.length) this.body(clip, pose);
    this.face(clip, pose);
    this.vrm.update(0);
    this.swing(seconds - this.seconds);
    this.seconds = seconds;
  }

  /** Hair and cloth after so many seconds; where the body did not get there by moving they hang as after a while. */
  private swing(passed: number): void {
    this.object.updateWorldMatrix(true, true);
    const head = new three.Vector3(...placed(this.vrm.humanoid.getRawBoneNode("head") ?? this.object));
    const springs = this.vrm.springBoneManager;
    const jumped = !(passed >= 0 && passed <= JUMP && head.distanceTo(this.at) <= LEAP);
    this.at = head;
    if (jumped) springs?.reset();
    this.owed = jumped ? SETTLED : this.owed + passed;
    for (; this.owed > 0; this.owed -= STEP) springs?.update(STEP);
  }

  private body(clip: Shape, pose: Pose): void {
    if (!this.standing) this.standing = hipsHeight(clip);
    const { turns } = worldOf(clip, pose);
    const { humanoid } = this.vrm;
    const [turn, above] = [new three.Quaternion(), new three.Quaternion()];
    clip.joints.forEach((joint, j) => {
      const node = humanoid.getNormalizedBoneNode(boneOf(joint) as VRMHumanBoneName);
      if (!node) return;
      // a bone that the avatar lacks turns the next one below it, too
      let p = clip.parents[j] as number;
      while (p >= 0 && !humanoid.getNormalizedBoneNode(boneOf(clip.joints[p] as string) as VRMHumanBoneName)) {
        p = clip.parents[p] as number;
      }
      turn.fromArray(turns, 4 * j);
      if (p >= 0) turn.premultiply(above.fromArray(turns, 4 * p).invert());
      node.quaternion.set(this.flip * turn.x, turn.y, this.flip * turn.z, turn.w);
      if (j === 0) {
        const scale = this.height / this.standing;
        const [x, y, z] = pose.root as unknown as [number, number, number];
        node.position.set(this.flip * x * scale, y * scale, this.flip * z * scale);
      }
    });
  }

  private face(clip: Shape, pose: Pose): void {
    const manager = this.vrm.expressionManager;
    if (!manager) return;
    const weights: Record<string, number> = {};
    clip.face.forEach((name, k) => (weights[name] = pose.face[k] as number));
    const known = clip.face.filter((name) => this.custom.has(letters(name)));
    const values = known.length >= 26 && this.custom.has("jawopen") ? Object.fromEntries(known.map((n) => [n, weights[n] ?? 0])) : presets(weights);
    for (const name of Object.keys(this.set)) manager.setValue(name, 0);
    this.set = {};
    for (const [name, value] of Object.entries(values)) {
      const own = this.custom.get(letters(name)) ?? name;
      this.set[own] = value;
      manager.setValue(own, value);
    }
    const mean = (a: string, b: string): number => ((weights[a] ?? 0) + (weights[b] ?? 0)) / 2;
    const yaw = mean("eyeLookOutLeft", "eyeLookInRight") - mean("eyeLookInLeft", "eyeLookOutRight");
    const pitch = mean("eyeLookUpLeft", "eyeLookUpRight") - mean("eyeLookDownLeft", "eyeLookDownRight");
    this.vrm.lookAt?.applier.applyYawPitch(EYE_DEGREES * yaw, -EYE_DEGREES * pitch);
  }

  joints(): Record<string, [number, number, number]> {
    this.object.updateWorldMatrix(true, true);
    const out: Record<string, [number, number, number]> = {};
    for (const name of OWN_JOINTS) {
      const node = this.vrm.humanoid.getRawBoneNode(boneOf(name) as VRMHumanBoneName);
      if (node) out[name] = placed(node);
    }
    return out;
  }

  morphs(): Record<string, number> {
    return { ...this.set };
  }

  shapes(): string[] {
    return [...this.custom.values()];
  }

  dispose(): void {
    dispose(this.object);
  }
}

const EYE_DEGREES = 35;
const STEP = 1 / 60; // seconds in which hair and cloth move on
const JUMP = 0.25; // seconds between two pictures from which on the time was set, not played
const LEAP = 0.3; // metres that no head goes between two pictures
const SETTLED = 1; // seconds after which they hang
const OWN_JOINTS = [
  "pelvis", "spine1", "spine2", "spine3", "neck", "head",
  ..."lr".split("").flatMap((s) => ["hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist"].map((n) => `${s}_${n}`)),
]; // prettier-ignore

/** Height of our hips over our soles at rest, metres. */
function hipsHeight(clip: Shape): number {
  const down = (name: string): number => {
    let total = 0;
    for (let j = clip.joints.indexOf(name); j > 0; j = clip.parents[j] as number) total += (clip.offsets[j] as number[])[1] as number;
    return -total;
  };
  return Math.max(0.5, Math.max(down("l_foot"), down("l_ankle")));
}

/** VRM's presets from one frame's 52 weights: what `avatargpt/export/expressions.py` does without its memory of talk. */
export function presets(w: Record<string, number>): Record<string, number> {
  const one = (name: string): number => w[name] ?? 0;
  const both = (name: string): number => (one(`${name}Left`) + one(`${name}Right`)) / 2;
  const clip = (x: number): number => Math.min(1, Math.max(0, x));
  const shut = Math.min(one("eyeBlinkLeft"), one("eyeBlinkRight"));
  const opening = clip(1.6 * (one("jawOpen") - one("mouthClose")));
  const rounded = clip(1.2 * Math.max(one("mouthPucker"), one("mouthFunnel")));
  const wide = clip(2 * both("mouthStretch"));
  const outer = both("browOuterUp");
  const mouth = {
    aa: opening * (1 - rounded) * (1 - wide),
    ih: (1 - rounded) * wide * (1 - opening),
    ou: rounded * (1 - opening),
    ee: (1 - rounded) * wide * opening,
    oh: rounded * opening,
  };
  // a mood poses the mouth, too: it never adds to a vowel
  const left = 1 - Math.max(...Object.values(mouth));
  return {
    ...mouth,
    blink: shut,
    blinkLeft: one("eyeBlinkLeft") - shut,
    blinkRight: one("eyeBlinkRight") - shut,
    happy: Math.min(left, clip(0.75 * both("mouthSmile") + 0.25 * both("cheekSquint"))),
    angry: Math.min(left, clip(0.75 * both("browDown") + 0.25 * both("noseSneer"))),
    sad: Math.min(left, clip(0.5 * one("browInnerUp") * (1 - outer) + 0.5 * both("mouthFrown"))),
    surprised: Math.min(left, clip(0.5 * outer + 0.5 * both("eyeWide"))),
  };
}

/** A character of another skeleton whose file came back from the server with the motion on it; without one it stands. */
export class Moved implements Wearer {
  readonly object: three.Object3D;
  private readonly mixer: three.AnimationMixer;
  private readonly action: three.AnimationAction | undefined;
  private readonly faces: three.Mesh[] = [];
  private readonly tracks: three.KeyframeTrack[];
  private hips: three.Object3D | null = null;
  private top: three.Object3D | null = null;

  constructor(
    gltf: GLTF,
    readonly name: string,
    moves = true,
  ) {
    this.object = gltf.scene;
    prepare(this.object);
    this.object.updateWorldMatrix(true, true);
    this.object.traverse((node) => {
      if ((node as three.Mesh).morphTargetDictionary) this.faces.push(node as three.Mesh);
      if (!(node as three.Bone).isBone) return;
      // whatever they are called: legs and spine part at the hips, and at rest nothing but its own ends is above the head
      if (!this.hips && node.children.filter((child) => (child as three.Bone).isBone).length > 2) this.hips = node;
      if (!this.top || placed(node)[1] > placed(this.top)[1]) this.top = node;
    });
    for (let node = this.top as three.Object3D | null; node; node = node.parent) if (/head$/.test(letters(node.name))) this.top = node;
    this.mixer = new three.AnimationMixer(this.object);
    const clip = moves ? gltf.animations.at(-1) : undefined;
    this.tracks = (clip?.tracks ?? []).filter((track) => track.name.endsWith(".morphTargetInfluences"));
    if (!clip) return;
    this.action = this.mixer.clipAction(clip).setLoop(three.LoopOnce, 1).play();
    this.action.clampWhenFinished = true;
  }

  wear(clip: Shape, pose: Pose, seconds: number): void {
    this.action?.reset(); // at its end an action pauses, and would stay at its first frame
    this.mixer.setTime(seconds);
    if (this.tracks.length && !clip.face.length) return;
    // a face that lies over the timeline is not in the file
    const weights = new Map(clip.face.map((name, k) => [letters(name), pose.face[k] as number]));
    for (const mesh of this.faces) {
      for (const [name, at] of Object.entries(mesh.morphTargetDictionary ?? {})) {
        const weight = weights.get(letters(name));
        if (weight !== undefined && mesh.morphTargetInfluences) mesh.morphTargetInfluences[at] = weight;
      }
    }
  }

  joints(): Record<string, [number, number, number]> {
    this.object.updateWorldMatrix(true, true);
    const out: Record<string, [number, number, number]> = {};
    if (this.hips) out["pelvis"] = placed(this.hips);
    if (this.top) out["head"] = placed(this.top);
    this.object.traverse((node) => {
      if ((node as three.Bone).isBone) out[node.name] = placed(node);
    });
    return out;
  }

  morphs(): Record<string, number> {
    return weightsOf(this.faces);
  }

  shapes(): string[] {
    return Object.keys(this.morphs());
  }

  moved(): string[] {
    const names = this.tracks.flatMap(({ name, times, values }) => {
      const mesh = this.faces.find((face) => name === `${face.name}.morphTargetInfluences`);
      const width = values.length / times.length;
      return Object.entries(mesh?.morphTargetDictionary ?? {}).filter(([, at]) => values.some((value, k) => k % width === at && value > 0.01));
    });
    return [...new Set(names.map(([name]) => name))];
  }

  dispose(): void {
    this.mixer.stopAllAction();
    dispose(this.object);
  }
}

/** Weights of the morph targets of a face, by name. */
function weightsOf(meshes: three.Mesh[]): Record<string, number> {
  return Object.fromEntries(meshes.flatMap((mesh) => Object.entries(mesh.morphTargetDictionary ?? {}).map(([name, at]) => [name, mesh.morphTargetInfluences?.[at] ?? 0])));
}

const VRM_FACES = new Set([...Object.keys(presets({})), "relaxed"]);

/** Which shapes a face has, in a line; `ours` are the names of our 52. */
export function faceOf(wearer: Wearer, ours: string[]): string {
  const shapes = wearer.shapes();
  const known = new Set(shapes.map(letters));
  const count = ours.filter((name) => known.has(letters(name))).length;
  const moved = 2 * count < ours.length ? (wearer.moved?.() ?? []) : [];
  if (moved.length) return `Its face is moved by shapes of its own: ${some(moved)}.`;
  if (count) return `Its face has ${count} of the ${ours.length} shapes.`;
  const presets = shapes.filter((name) => VRM_FACES.has(name));
  if (presets.length) return `Its face has VRM's presets: ${presets.join(", ")}.`;
  if (!shapes.length) return "Its face has no shapes, so it stays still.";
  return `Its face has ${shapes.length} shapes, none of which we move: ${some(shapes)}.`;
}

const some = (names: string[]): string => names.slice(0, 6).join(", ") + (names.length > 6 ? " …" : "");
