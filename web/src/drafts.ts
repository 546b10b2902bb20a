/** What the server has made of a turn: so far, played while the rest is made; in the end, what is another than before. */

import type { Segment } from "./api";
import type { Clip } from "./frames";

const NEAR = 0.2; // metres between the hips of one movement, as a draft and as it is kept
const ALIKE = 0.03; // 1 - |dot| of the quaternions of one movement, in the mean

/** A clip up to a second, with another one behind it. */
export function spliced(base: Clip | null, start: number, draft: Clip): Clip {
  const before = base && base.stride === draft.stride ? Math.min(Math.round(start * draft.fps), base.frames) : 0;
  const rows = new Float32Array((before + draft.frames) * draft.stride);
  if (base) rows.set(base.rows.subarray(0, before * draft.stride));
  rows.set(draft.rows, before * draft.stride);
  return { ...draft, frames: before + draft.frames, rows };
}

/** Whether two clips show one movement from a second on, as far as both go. */
export function alike(a: Clip, b: Clip, start: number): boolean {
  if (a.stride !== b.stride) return false;
  const first = Math.round(start * a.fps);
  const end = Math.min(a.frames, b.frames);
  if (end <= first) return false;
  let apart = 0;
  let turned = 0;
  for (let f = first; f < end; f++) {
    const k = f * a.stride;
    const at = (i: number): number => (a.rows[k + i] as number) - (b.rows[k + i] as number);
    apart += Math.hypot(at(0), at(1), at(2));
    for (let j = 3; j < a.stride - a.face.length; j += 4) {
      let dot = 0;
      for (let c = 0; c < 4; c++) dot += (a.rows[k + j + c] as number) * (b.rows[k + j + c] as number);
      turned += 1 - Math.abs(dot);
    }
  }
  return apart / (end - first) < NEAR && turned / ((end - first) * a.joints.length) < ALIKE;
}

/** The first segment that is another one than before; else, of those whose length changed, the one that a turn was about. */
export function changed(now: Segment[], before: Segment[]): Segment | undefined {
  const keys = ["caption", "seed", "rounds", "clip", "tempo", "mirrored"] as const;
  const other = now.find((s, i) => keys.some((key) => s[key] !== before[i]?.[key]));
  if (other) return other;
  // a seam takes a little of the length of the segment before it, too
  const lengths = now.filter((s, i) => s.seconds !== before[i]?.seconds);
  return lengths.find((s) => s.focus) ?? lengths[0];
}
