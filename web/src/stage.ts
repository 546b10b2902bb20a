/** The stage: renderer, light, floor, camera; draws only when something has changed. */

import * as three from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { Floor } from "./floor";
import type { Wearer } from "./wear";

interface Colours {
  ground: string;
  line: string;
  shade: string;
  dark: number;
}

const LIGHT: Colours = { ground: "#eceef1", line: "#b3bac5", shade: "#3a4150", dark: 0.62 };
const DARK: Colours = { ground: "#16181d", line: "#4a515e", shade: "#050608", dark: 0.85 };
const HEIGHT = 0.93; // metres at which the camera looks
const FOLLOW = 0.1; // share of the way that the camera catches up in a sixtieth of a second

function isSoftware(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  const about = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = gl && about ? String(gl.getParameter(about.UNMASKED_RENDERER_WEBGL)) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}

export class Stage {
  readonly scene = new three.Scene();
  readonly camera = new three.PerspectiveCamera(30, 1, 0.05, 120);
  readonly controls: OrbitControls;
  readonly renderer: three.WebGLRenderer;
  readonly floor = new Floor();
  follow = true;
  /** Milliseconds of script in the last frames, without those of drawing in the browser. */
  readonly cost: number[] = [];
  /** Called before each drawing with the milliseconds since the last one; says whether anything has changed. */
  tick: (ms: number) => boolean = () => false;
  private dirty = true;
  private last = 0;
  private readonly focus = new three.Vector3(0, HEIGHT, 0);
  private wearers: Wearer[] = [];

  constructor(private readonly host: HTMLElement) {
    const software = isSoftware();
    this.renderer = new three.WebGLRenderer({ antialias: !software, alpha: true, preserveDrawingBuffer: true });
    this.renderer.setPixelRatio(software ? 1 : Math.min(devicePixelRatio, 2));
    this.renderer.toneMapping = three.NeutralToneMapping;
    this.renderer.toneMappingExposure = 1.2;
    host.prepend(this.renderer.domElement);
    const canvas = this.renderer.domElement;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "The avatar; drag to turn the view");
    this.camera.position.set(1.25, 1.4, 4.3);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.target.copy(this.focus);
    this.controls.enableDamping = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.controls.dampingFactor = 0.12;
    this.controls.minDistance = 0.5;
    this.controls.maxDistance = 25;
    this.controls.maxPolarAngle = Math.PI * 0.495;
    this.controls.addEventListener("change", () => this.touch());
    this.light();
    this.scene.add(this.floor.mesh);
    new ResizeObserver(() => this.resize()).observe(host);
    this.resize();
    this.renderer.setAnimationLoop((now: number) => this.frame(now));
  }

  private light(): void {
    const key = new three.DirectionalLight("#fff4e6", 2.1);
    key.position.set(2.2, 4, 3.4);
    const rim = new three.DirectionalLight("#dfe9ff", 1.5);
    rim.position.set(-3, 3, -3.5);
    const fill = new three.DirectionalLight("#e8eeff", 0.5);
    fill.position.set(-3.5, 1.6, 2.5);
    this.scene.add(key, rim, fill, new three.HemisphereLight("#ffffff", "#9a938a", 1.15));
  }

  theme(dark: boolean): void {
    this.dark = dark;
    const c = dark ? DARK : LIGHT;
    this.floor.colours(c.ground, c.line, c.shade, c.dark);
    this.touch();
  }

  /** A film has no page behind the picture: give it a ground of its own. */
  opaque(on: boolean): void {
    this.scene.background = on ? new three.Color(this.dark ? DARK.ground : LIGHT.ground) : null;
    this.touch();
  }
  private dark = false;

  /** Put these on the stage in place of those that are there; nobody is disposed of. */
  show(wearers: Wearer[]): void {
    for (const wearer of this.wearers) this.scene.remove(wearer.object);
    this.wearers = wearers;
    for (const wearer of wearers) this.scene.add(wearer.object);
    this.touch();
  }

  touch(): void {
    this.dirty = true;
  }

  /** Look at the whole body, or at the face, from the front; at several bodies from farther away. */
  look(face: boolean, bodies = 1): void {
    const joints = this.wearers[0]?.joints() ?? {};
    const pelvis = joints["pelvis"] ?? [0, HEIGHT, 0];
    const head = joints["head"] ?? [0, 1.5, 0];
    const at = face ? new three.Vector3(head[0], head[1] + 0.06, head[2]) : new three.Vector3(pelvis[0], HEIGHT, pelvis[2]);
    this.focus.copy(at);
    this.controls.target.copy(at);
    this.camera.position.copy(at).add(face ? new three.Vector3(0.22, 0.06, 1.15) : new three.Vector3(1.25, 0.47 + 0.3 * (bodies - 1), 4.3).multiplyScalar(0.65 + 0.35 * bodies));
    this.near = face;
    this.touch();
  }

  private near = false;

  private frame(now: number): void {
    const begun = performance.now();
    const ms = this.last ? Math.min(now - this.last, 250) : 16;
    this.last = now;
    const changed = this.tick(ms);
    if (changed || this.dirty) this.settle(ms);
    const moved = this.controls.update();
    if (!changed && !this.dirty && !moved) return;
    this.dirty = false;
    const script = performance.now() - begun;
    this.renderer.render(this.scene, this.camera);
    this.cost.push(script);
    if (this.cost.length > 240) this.cost.shift();
  }

  /** The shadow under the body, and the camera after it. */
  private settle(ms: number): void {
    const all = this.wearers.map((w) => w.joints());
    const first = all[0] ?? {};
    const lead = first[this.near ? "head" : "pelvis"] ?? Object.values(first)[0];
    if (!lead) return;
    const joints = all.length > 1 ? merged(all) : first;
    const middle = new three.Vector3(lead[0], 0, lead[2]);
    if (all.length > 1) {
      middle.set(0, 0, 0);
      for (const j of all) middle.add(new three.Vector3(j["pelvis"]?.[0] ?? 0, 0, j["pelvis"]?.[2] ?? 0).divideScalar(all.length));
    }
    this.floor.under(joints, middle);
    if (!this.follow) return;
    const goal = new three.Vector3(middle.x, this.near ? lead[1] + 0.06 : HEIGHT, middle.z);
    const step = goal.sub(this.controls.target);
    if (step.lengthSq() < 1e-7) return;
    step.multiplyScalar(step.length() > 3 ? 1 : 1 - (1 - FOLLOW) ** (ms / 16.7));
    this.controls.target.add(step);
    this.camera.position.add(step);
    this.dirty = true;
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    // narrow pictures would cut off spread arms
    this.camera.fov = this.camera.aspect < 0.8 ? 38 : 30;
    this.camera.updateProjectionMatrix();
    this.touch();
  }

  /** Where a place of the world is on the page, in the host's pixels. */
  onPage(x: number, y: number, z: number): { x: number; y: number } {
    const at = new three.Vector3(x, y, z).project(this.camera);
    return { x: ((at.x + 1) / 2) * this.host.clientWidth, y: ((1 - at.y) / 2) * this.host.clientHeight };
  }

  /** The point of the floor under a pixel of the host, or null above the horizon. */
  onFloor(x: number, y: number): three.Vector3 | null {
    return this.onPlane(x, y, new three.Plane(new three.Vector3(0, 1, 0), 0));
  }

  /** The point of a plane under a pixel of the host. */
  onPlane(x: number, y: number, plane: three.Plane): three.Vector3 | null {
    const ray = new three.Raycaster();
    const at = new three.Vector2((x / this.host.clientWidth) * 2 - 1, 1 - (y / this.host.clientHeight) * 2);
    ray.setFromCamera(at, this.camera);
    return ray.ray.intersectPlane(plane, new three.Vector3());
  }
}

/** Of several bodies the joints near the floor: the shadow has room for one body's spheres. */
function merged(all: Record<string, [number, number, number]>[]): Record<string, [number, number, number]> {
  const slots = ["pelvis", "spine2", "spine3", "head", "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle", "r_ankle", "l_foot", "r_foot"];
  const out: Record<string, [number, number, number]> = {};
  const wanted = all.flatMap((j) => [j["l_foot"], j["r_foot"], j["pelvis"]]);
  slots.forEach((name, i) => {
    const at = wanted[i];
    if (at) out[name] = at;
  });
  return out;
}
