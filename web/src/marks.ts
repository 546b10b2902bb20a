/** Keys of the animator: where the body is, how it is posed, where hands and feet are, each at its second. */

import type { Clip, Pose, Shape } from "./frames";
import { emptyPose, sample, worldOf } from "./frames";
import { FRAME } from "./stretch";

type Three = [number, number, number];
type Four = [number, number, number, number];

export interface Mark {
  kind: Kind;
  second: number;
  /** Metres in the world: of the pelvis, or of the wrist or ankle. */
  place: Three;
  /** Of a pose: local quaternions x, y, z, w by joint. */
  turns?: Record<string, Four>;
}

/** The joint that leads each limb. */
export const LIMBS = { left_hand: "l_wrist", right_hand: "r_wrist", left_foot: "l_ankle", right_foot: "r_ankle" } as const;
type Limb = keyof typeof LIMBS;

export const KINDS = {
  place: { name: "Way", joint: "pelvis", colour: "#3f68f0" },
  pose: { name: "Pose", joint: "pelvis", colour: "#8a4fd3" },
  left_hand: { name: "Left hand", joint: LIMBS.left_hand, colour: "#d9620f" },
  right_hand: { name: "Right hand", joint: LIMBS.right_hand, colour: "#b3366b" },
  left_foot: { name: "Left foot", joint: LIMBS.left_foot, colour: "#12845a" },
  right_foot: { name: "Right foot", joint: LIMBS.right_foot, colour: "#0a7f93" },
} as const;
export type Kind = keyof typeof KINDS;
export const BODY = 22; // joints of it; those behind are fingers

/** A moment of the body: how it is built, and its pose. */
export interface Moment {
  shape: Shape;
  pose: Pose;
}

export function momentOf(clip: Clip, seconds: number): Moment {
  return { shape: clip, pose: sample(clip, seconds, emptyPose(clip)) };
}

/** A key that holds what is there at a moment. */
export function markOf(kind: Kind, second: number, { shape, pose }: Moment): Mark {
  const at = shape.joints.indexOf(KINDS[kind].joint);
  const { places } = worldOf(shape, pose);
  const place = [...places.subarray(3 * at, 3 * at + 3)] as Three;
  if (kind === "place") place[1] = 0;
  const mark: Mark = { kind, second, place };
  if (kind === "pose") {
    mark.turns = {};
    shape.joints.slice(0, BODY).forEach((name, j) => ((mark.turns as Record<string, Four>)[name] = [...pose.turns.subarray(4 * j, 4 * j + 4)] as Four));
  }
  return mark;
}

/** The pose of a moment with that of a key in its place. */
export function posed({ shape, pose }: Moment, mark: Mark): Pose {
  const out = { root: pose.root.slice(), turns: pose.turns.slice(), face: pose.face };
  out.root[1] = mark.place[1];
  shape.joints.forEach((name, j) => {
    const turn = mark.turns?.[name];
    if (turn) out.turns.set(turn, 4 * j);
  });
  return out;
}

const round = (v: number): number => Math.round(v * 1e4) / 1e4;

/** Keys as the server takes them. */
export function asKeys(marks: Mark[]) {
  const sorted = [...marks].sort((a, b) => a.second - b.second);
  const of = (...kinds: Kind[]): Mark[] => sorted.filter((m) => kinds.includes(m.kind));
  const second = (m: Mark): number => round(m.second);
  const [x, y, z] = [0, 1, 2].map((i) => (m: Mark): number => round(m.place[i] as number)) as [(m: Mark) => number, (m: Mark) => number, (m: Mark) => number];
  return {
    places: of("place").map((m) => ({ second: second(m), place: [x(m), z(m)] as [number, number], heading: null })),
    poses: of("pose").map((m) => ({
      second: second(m), height: y(m),
      rotations: Object.fromEntries(Object.entries(m.turns ?? {}).map(([name, [a, b, c, w]]) => [name, [w, a, b, c].map(round) as Four])),
    })),
    pins: of(...(Object.keys(LIMBS) as Limb[])).map((m) => ({
      limb: m.kind as Limb, second: second(m), place: [x(m), y(m), z(m)] as Three,
    })),
  }; // prettier-ignore
}

/** Whether two keys are one: there is room for one of a kind in a frame. */
export const same = (a: Mark, b: Mark): boolean => a.kind === b.kind && Math.abs(a.second - b.second) < FRAME / 2;
