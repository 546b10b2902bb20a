/** The timeline's body with what lies over it: fingers and faces of speech, a face over all. */

import { emptyPose, sample, secondsOf, type Clip, type Pose, type Shape } from "./frames";

export interface Layer {
  clip: Clip;
  start: number;
  seconds: number;
  /** The face alone, over all others that have none. */
  faceOnly: boolean;
}

const EASE = 0.25; // seconds in which a layer comes and goes

export class Blend {
  readonly shape: Shape;
  readonly pose: Pose;
  private readonly body: Pose;
  private readonly poses: Pose[];

  constructor(
    readonly base: Clip,
    readonly layers: Layer[],
  ) {
    const most = [base, ...layers.filter((l) => !l.faceOnly).map((l) => l.clip)].reduce((a, b) =>
      b.joints.length > a.joints.length ? b : a,
    );
    const faced = [base, ...layers.map((l) => l.clip)].find((c) => c.face.length);
    this.shape = { joints: most.joints, parents: most.parents, offsets: most.offsets, face: faced?.face ?? [] };
    this.pose = emptyPose(this.shape);
    this.body = emptyPose(base);
    this.poses = layers.map((l) => emptyPose(l.clip));
  }

  get seconds(): number {
    return secondsOf(this.base);
  }

  at(seconds: number): Pose {
    const { pose, body } = this;
    sample(this.base, seconds, body);
    pose.root.set(body.root);
    pose.turns.set(body.turns);
    for (let j = this.base.joints.length; j < this.shape.joints.length; j++) pose.turns.set([0, 0, 0, 1], 4 * j);
    pose.face.fill(0);
    if (this.base.face.length) pose.face.set(body.face);
    this.layers.forEach((layer, i) => {
      const t = seconds - layer.start;
      const share = Math.min(1, (t + EASE) / EASE, (layer.seconds + EASE - t) / EASE);
      if (share <= 0) return;
      const own = this.poses[i] as Pose;
      sample(layer.clip, (t / layer.seconds) * secondsOf(layer.clip), own);
      if (!layer.faceOnly && t >= 0 && t <= layer.seconds) {
        for (let j = 22; j < layer.clip.joints.length; j++) pose.turns.set(own.turns.subarray(4 * j, 4 * j + 4), 4 * j);
      }
      for (let k = 0; k < layer.clip.face.length; k++) pose.face[k] = lerp(pose.face[k] as number, own.face[k] as number, share);
    });
    return pose;
  }
}

const lerp = (a: number, b: number, share: number): number => a + (b - a) * share;
