/** The viewer's own format of a motion: a header in JSON, then one row of float32 for each frame. */

/** What a pose has numbers for. */
export interface Shape {
  joints: string[];
  parents: number[];
  /** Metres from the parent at rest. */
  offsets: [number, number, number][];
  face: string[];
}

export interface Clip extends Shape {
  fps: number;
  frames: number;
  caption: string;
  rows: Float32Array;
  /** Numbers in a row. */
  stride: number;
}

/** One moment of a clip: quaternions x, y, z, w for each joint, weights 0..1 for each of the face's targets. */
export interface Pose {
  root: Float32Array;
  turns: Float32Array;
  face: Float32Array;
}

const MAGIC = "AGF1";

export function readFrames(buffer: ArrayBuffer): Clip {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(0, 4)) !== MAGIC) {
    throw new Error("The server sent something else than frames.");
  }
  const length = new DataView(buffer).getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Omit<Clip, "rows" | "stride">;
  const stride = 3 + 4 * header.joints.length + header.face.length;
  const rows = new Float32Array(buffer.slice(8 + length, 8 + length + 4 * stride * header.frames));
  if (rows.length !== stride * header.frames) throw new Error("The frames are cut off.");
  return { ...header, rows, stride };
}

export const secondsOf = (clip: Clip): number => clip.frames / clip.fps;

export const emptyPose = (clip: Shape): Pose => ({
  root: new Float32Array(3),
  turns: new Float32Array(4 * clip.joints.length),
  face: new Float32Array(clip.face.length),
});

/** The pose at a second, between two frames; before the first and after the last one these hold. */
export function sample(clip: Clip, seconds: number, out: Pose): Pose {
  const at = Math.min(Math.max(seconds * clip.fps, 0), clip.frames - 1);
  const first = Math.floor(at);
  const share = at - first;
  const a = first * clip.stride;
  const b = Math.min(first + 1, clip.frames - 1) * clip.stride;
  const { rows } = clip;
  const mix = (k: number): number => (rows[a + k] as number) * (1 - share) + (rows[b + k] as number) * share;
  for (let k = 0; k < 3; k++) out.root[k] = mix(k);
  const count = clip.joints.length;
  for (let j = 0; j < count; j++) {
    const k = 3 + 4 * j;
    let dot = 0;
    for (let c = 0; c < 4; c++) dot += (rows[a + k + c] as number) * (rows[b + k + c] as number);
    const sign = dot < 0 ? -1 : 1;
    let norm = 0;
    for (let c = 0; c < 4; c++) {
      const value = (rows[a + k + c] as number) * (1 - share) + sign * (rows[b + k + c] as number) * share;
      out.turns[4 * j + c] = value;
      norm += value * value;
    }
    norm = 1 / Math.sqrt(norm || 1);
    for (let c = 0; c < 4; c++) out.turns[4 * j + c] = (out.turns[4 * j + c] as number) * norm;
  }
  for (let k = 0; k < clip.face.length; k++) out.face[k] = mix(3 + 4 * count + k);
  return out;
}

function rotated(q: Float32Array, at: number, v: readonly number[]): [number, number, number] {
  const [x, y, z, w] = [q[at], q[at + 1], q[at + 2], q[at + 3]] as [number, number, number, number];
  const [a, b, c] = v as [number, number, number];
  const [tx, ty, tz] = [2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)];
  return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
}

function product(a: Float32Array, i: number, b: Float32Array, k: number, out: Float32Array, at: number): void {
  const [x, y, z, w] = [a[i], a[i + 1], a[i + 2], a[i + 3]] as [number, number, number, number];
  const [p, q, r, s] = [b[k], b[k + 1], b[k + 2], b[k + 3]] as [number, number, number, number];
  out[at] = w * p + x * s + y * r - z * q;
  out[at + 1] = w * q - x * r + y * s + z * p;
  out[at + 2] = w * r + x * q - y * p + z * s;
  out[at + 3] = w * s - x * p - y * q - z * r;
}

/** Where the joints are in the world, metres, and how they are turned there. */
export function worldOf(clip: Shape, pose: Pose): { places: Float32Array; turns: Float32Array } {
  const count = clip.joints.length;
  const places = new Float32Array(3 * count);
  const turns = new Float32Array(4 * count);
  for (let j = 0; j < count; j++) {
    const p = clip.parents[j] as number;
    if (p < 0) {
      places.set(pose.root, 3 * j);
      turns.set(pose.turns.subarray(4 * j, 4 * j + 4), 4 * j);
      continue;
    }
    const [x, y, z] = rotated(turns, 4 * p, clip.offsets[j] as [number, number, number]);
    places[3 * j] = (places[3 * p] as number) + x;
    places[3 * j + 1] = (places[3 * p + 1] as number) + y;
    places[3 * j + 2] = (places[3 * p + 2] as number) + z;
    product(turns, 4 * p, pose.turns, 4 * j, turns, 4 * j);
  }
  return { places, turns };
}
