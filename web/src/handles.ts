/** Keys in three dimensions: the way on the floor, limbs' places, a pose; the one that is chosen has a handle. */

import * as three from "three";
import { TransformControls } from "three/addons/controls/TransformControls.js";
import { worldOf } from "./frames";
import { BODY, KINDS, posed, type Mark, type Moment } from "./marks";
import type { Studio } from "./studio";

const REACH = 16; // pixels around a joint that choose it
const ACROSS = 0.05; // metres of a limb's ball
const UP = 0.012; // metres of the way over the floor

export class Handles {
  /** Called while a key is led. */
  changed: () => void = () => undefined;
  /** Called when a key, or a joint of a pose, is taken in the scene. */
  choose: (mark: Mark) => void = () => undefined;
  joint = "l_shoulder";
  private readonly group = new three.Group();
  private readonly controls: TransformControls;
  private readonly grip = new three.Object3D();
  private marks: Mark[] = [];
  private chosen: Mark | null = null;
  private moment: Moment | null = null;
  private takers: { at: three.Vector3; run: () => void }[] = [];

  constructor(private readonly studio: Studio) {
    const { stage } = studio;
    const canvas = stage.renderer.domElement;
    this.controls = new TransformControls(stage.camera, canvas);
    this.controls.setSize(matchMedia("(pointer: coarse)").matches ? 1.1 : 0.75);
    stage.scene.add(this.group, this.grip, this.controls.getHelper());
    this.controls.addEventListener("change", () => stage.touch());
    this.controls.addEventListener("dragging-changed", ({ value }) => (stage.controls.enabled = !value));
    this.controls.addEventListener("objectChange", () => this.led());
    let down: [number, number] = [0, 0];
    canvas.addEventListener("pointerdown", (event) => (down = [event.offsetX, event.offsetY]));
    canvas.addEventListener("pointerup", (event) => {
      if (this.controls.dragging || Math.hypot(event.offsetX - down[0], event.offsetY - down[1]) > 5) return;
      const away = ({ at }: { at: three.Vector3 }): number => {
        const page = stage.onPage(at.x, at.y, at.z);
        return Math.hypot(page.x - event.offsetX, page.y - event.offsetY);
      };
      const [near] = [...this.takers].sort((a, b) => away(a) - away(b));
      if (near && away(near) < REACH) near.run();
    });
  }

  /** Show keys; `moment` is the body at the second of the chosen one. */
  show(marks: Mark[], chosen: Mark | null, moment: Moment | null): void {
    Object.assign(this, { marks, chosen, moment });
    this.draw();
    this.hold();
  }

  /** The pose that is worn while a key of a pose is chosen. */
  get pose(): Moment | null {
    const { chosen, moment } = this;
    return chosen?.kind === "pose" && moment ? { shape: moment.shape, pose: posed(moment, chosen) } : null;
  }

  private draw(): void {
    for (const node of this.group.children) (node as three.Mesh).geometry?.dispose();
    this.group.clear();
    this.takers = [];
    const way = this.marks.filter((m) => m.kind === "place").sort((a, b) => a.second - b.second);
    if (way.length > 1) {
      const curve = new three.CatmullRomCurve3(way.map((m) => new three.Vector3(m.place[0], UP, m.place[2])), false, "centripetal");
      this.line(curve.getPoints(16 * way.length), KINDS.place.colour);
    }
    for (const mark of this.marks) {
      const { colour } = KINDS[mark.kind];
      if (mark.kind === "pose") continue;
      const flat = mark.kind === "place";
      const shape = flat ? new three.CylinderGeometry(0.09, 0.09, 0.012, 28) : new three.SphereGeometry(ACROSS, 24, 16);
      const ball = this.ball(shape, colour, mark === this.chosen ? 1 : 0.55);
      ball.position.set(mark.place[0], flat ? UP : mark.place[1], mark.place[2]);
      this.takers.push({ at: ball.position, run: () => this.choose(mark) });
      if (mark === this.chosen && !flat && this.moment) {
        const from = new three.Vector3(...this.placeOf(KINDS[mark.kind].joint));
        this.line([from, ball.position], colour);
      }
    }
    const pose = this.pose;
    if (pose) {
      const { places } = worldOf(pose.shape, pose.pose);
      pose.shape.joints.slice(0, BODY).forEach((name, j) => {
        const ball = this.ball(new three.SphereGeometry(name === this.joint ? 0.035 : 0.022, 16, 12), KINDS.pose.colour, 0.85);
        ball.position.fromArray(places, 3 * j);
        const run = (): void => {
          this.joint = name;
          this.choose(this.chosen as Mark);
        };
        this.takers.push({ at: ball.position, run });
      });
    }
    this.studio.redraw();
  }

  private ball(shape: three.BufferGeometry, color: string, opacity: number): three.Mesh {
    const ball = new three.Mesh(shape, new three.MeshBasicMaterial({ color, transparent: true, opacity, depthTest: false }));
    ball.renderOrder = 2;
    this.group.add(ball);
    return ball;
  }

  private line(points: three.Vector3[], color: string): void {
    const line = new three.Line(new three.BufferGeometry().setFromPoints(points), new three.LineBasicMaterial({ color, depthTest: false }));
    line.renderOrder = 1;
    this.group.add(line);
  }

  private placeOf(joint: string): [number, number, number] {
    const { shape, pose } = this.moment as Moment;
    const at = shape.joints.indexOf(joint);
    return [...worldOf(shape, pose).places.subarray(3 * at, 3 * at + 3)] as [number, number, number];
  }

  /** Put the handle where the chosen key is. */
  private hold(): void {
    const { chosen, controls, grip } = this;
    const pose = this.pose;
    if (!chosen || (chosen.kind === "pose" && !pose)) {
      controls.detach();
      return;
    }
    grip.quaternion.identity();
    if (pose) {
      const { places, turns } = worldOf(pose.shape, pose.pose);
      const j = Math.max(0, pose.shape.joints.indexOf(this.joint));
      grip.position.fromArray(places, 3 * j);
      grip.quaternion.fromArray(turns, 4 * j);
    } else grip.position.set(...chosen.place);
    controls.setMode(pose ? "rotate" : "translate");
    controls.setSpace(pose ? "local" : "world");
    controls.showY = chosen.kind !== "place";
    controls.attach(grip);
  }

  /** What a drag of the handle does to the chosen key. */
  private led(): void {
    const { chosen, grip } = this;
    if (!chosen) return;
    const pose = this.pose;
    if (pose) {
      const j = pose.shape.joints.indexOf(this.joint);
      const above = pose.shape.parents[j] as number;
      const turn = grip.quaternion.clone();
      if (above >= 0) turn.premultiply(new three.Quaternion().fromArray(worldOf(pose.shape, pose.pose).turns, 4 * above).invert());
      (chosen.turns ??= {})[this.joint] = turn.toArray();
    } else chosen.place = [grip.position.x, chosen.kind === "place" ? 0 : Math.max(0, grip.position.y), grip.position.z];
    this.draw();
    this.changed();
  }
}
