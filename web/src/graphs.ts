/** Curves of the motion under the timeline: speed and height of the hips, contacts of the feet, the mouth and the eyes. */

import { el } from "./dom";
import { emptyPose, sample, worldOf } from "./frames";
import type { Studio } from "./studio";

interface Curve {
  name: string;
  colour: string;
  values: Float32Array;
  /** What is drawn at the top. */
  most: number;
  unit: string;
}

const FOOT_SPEED = 0.35; // m/s under which a low foot counts as standing
const FOOT_HEIGHT = 0.05; // m over its lowest place
const ROW = 14; // px of a row of contacts

export class Graphs {
  shown = false;
  private readonly canvas = el("canvas", { role: "img", "aria-label": "Speed, height, contacts and face over time" });
  private readonly node = el("div", { class: "graphs" }, this.canvas);

  constructor(
    private readonly studio: Studio,
    private readonly legend: HTMLElement,
  ) {}

  toggle(): boolean {
    this.shown = !this.shown;
    return this.shown;
  }

  draw(width: number): HTMLElement {
    queueMicrotask(() => this.paint(width));
    return this.node;
  }

  private paint(width: number): void {
    const { blend } = this.studio;
    if (!blend) return;
    const height = 130;
    const scale = Math.min(devicePixelRatio, 2, 8000 / width);
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const draw = this.canvas.getContext("2d") as CanvasRenderingContext2D;
    draw.scale(scale, scale);
    const { curves, contacts } = measured(this.studio);
    const css = getComputedStyle(this.node);
    const down = css.getPropertyValue("--good");
    draw.fillStyle = down;
    const top = 2 * ROW + 8;
    contacts.forEach((values, row) => {
      const step = width / values.length;
      values.forEach((stands, i) => stands && draw.fillRect(i * step, row * ROW + 5, step + 0.5, 7));
    });
    for (const { colour, values, most } of curves) {
      draw.strokeStyle = colour;
      draw.lineWidth = 1.6;
      draw.beginPath();
      values.forEach((v, i) => {
        const y = height - 5 - Math.min(1, v / most) * (height - top - 6);
        draw.lineTo((i / Math.max(1, values.length - 1)) * width, y);
      });
      draw.stroke();
    }
    const keys = curves.map(({ name, colour, most, unit }) => {
      const key = el("span", {}, `${name}, 0 to ${most.toFixed(1)} ${unit}`.trim());
      key.style.setProperty("--c", colour);
      return key;
    });
    const feet = el("span", {}, "feet that stand: left above, right below");
    feet.style.setProperty("--c", down);
    this.legend.replaceChildren(feet, ...keys);
  }
}

function measured(studio: Studio): { curves: Curve[]; contacts: boolean[][] } {
  const blend = studio.blend as NonNullable<Studio["blend"]>;
  const { base } = blend;
  const { frames, fps } = base;
  const pose = emptyPose(base);
  const feet = ["l_foot", "r_foot"].map((n) => base.joints.indexOf(n));
  const root = new Float32Array(3 * frames);
  const places = feet.map(() => new Float32Array(3 * frames));
  for (let i = 0; i < frames; i++) {
    sample(base, i / fps, pose);
    root.set(pose.root, 3 * i);
    const world = worldOf(base, pose).places;
    feet.forEach((j, k) => j >= 0 && places[k]?.set(world.subarray(3 * j, 3 * j + 3), 3 * i));
  }
  const speed = smooth(speeds(root, fps, true));
  const tall = new Float32Array(frames).map((_, i) => root[3 * i + 1] as number);
  const contacts = places.map((p) => {
    const way = speeds(p, fps, false);
    let low = Infinity;
    for (let i = 0; i < frames; i++) low = Math.min(low, p[3 * i + 1] as number);
    return [...way].map((v, i) => v < FOOT_SPEED && (p[3 * i + 1] as number) < low + FOOT_HEIGHT);
  });
  const curves: Curve[] = [
    { name: "speed", colour: "#4c78e0", values: speed, most: Math.max(0.5, ...speed), unit: "m/s" },
    { name: "height of the hips", colour: "#d08a2e", values: tall, most: Math.max(1, ...tall), unit: "m" },
  ];
  for (const [name, colour] of [["jawOpen", "#c2478f"], ["eyeBlinkLeft", "#7a57c9"], ["mouthSmileLeft", "#2f9e7a"]] as const) {
    const k = blend.shape.face.indexOf(name);
    if (k < 0) continue;
    const values = new Float32Array(frames).map((_, i) => blend.at(i / fps).face[k] as number);
    if (Math.max(...values) > 0.02) curves.push({ name, colour, values, most: 1, unit: "" });
  }
  return { curves, contacts };
}

function speeds(p: Float32Array, fps: number, level: boolean): Float32Array {
  const out = new Float32Array(p.length / 3);
  for (let i = 1; i < out.length; i++) {
    const d = [0, 1, 2].map((c) => (p[3 * i + c] as number) - (p[3 * i - 3 + c] as number)) as [number, number, number];
    out[i] = Math.hypot(d[0], level ? 0 : d[1], d[2]) * fps;
  }
  out[0] = out[1] ?? 0;
  return out;
}

const smooth = (values: Float32Array): Float32Array =>
  values.map((_, i) => {
    const part = values.subarray(Math.max(0, i - 2), i + 3);
    return part.reduce((a, b) => a + b, 0) / part.length;
  });
