/** Places on the floor to walk by: clicked one after another, then walked. */

import * as three from "three";
import * as api from "./api";
import { byId, el } from "./dom";
import { emptyPose, sample } from "./frames";
import type { Studio } from "./studio";

const MOST = 20;

export class Waypoints {
  on = false;
  private points: three.Vector3[] = [];
  private readonly group = new three.Group();
  private readonly host = byId("paths");

  constructor(
    private readonly studio: Studio,
    private readonly button: HTMLButtonElement,
  ) {
    studio.stage.scene.add(this.group);
    const canvas = studio.stage.renderer.domElement;
    let down: [number, number] | null = null;
    canvas.addEventListener("pointerdown", (event) => (down = [event.offsetX, event.offsetY]));
    canvas.addEventListener("pointerup", (event) => {
      if (!this.on || !down || Math.hypot(event.offsetX - down[0], event.offsetY - down[1]) > 5) return;
      const at = studio.stage.onFloor(event.offsetX, event.offsetY);
      if (at && this.points.length < MOST) this.points.push(at.multiplyScalar(10).round().divideScalar(10));
      this.draw();
    });
  }

  toggle(on = !this.on): void {
    this.on = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.host.parentElement?.classList.toggle("pointing", on);
    if (on) this.studio.player.pause();
    if (on) this.studio.player.seek(this.studio.player.seconds);
    this.studio.redraw();
    if (!on) this.points = [];
    this.draw();
  }

  private draw(): void {
    this.group.clear();
    const colour = new three.Color("#3f68f0");
    const dots = new three.MeshBasicMaterial({ color: colour });
    for (const p of this.points) {
      const dot = new three.Mesh(new three.CylinderGeometry(0.07, 0.07, 0.012, 24), dots);
      dot.position.copy(p).setY(0.008);
      this.group.add(dot);
    }
    if (this.points.length) {
      const way = [this.start().place, ...this.points].map((p) => p.clone().setY(0.01));
      this.group.add(new three.Line(new three.BufferGeometry().setFromPoints(way), new three.LineBasicMaterial({ color: colour })));
    }
    const walk = el("button", { type: "button", class: "primary", disabled: !this.points.length, onclick: () => void this.walk() }, "Walk it");
    const back = el("button", { type: "button", class: "plain", disabled: !this.points.length, onclick: () => (this.points.pop(), this.draw()) }, "Take back");
    const text = this.points.length ? `${this.points.length} place${this.points.length > 1 ? "s" : ""}` : "Click the floor where the avatar should walk next, at the end.";
    this.host.replaceChildren(el("span", { role: "status" }, text), back, walk, el("button", { type: "button", class: "plain", onclick: () => this.toggle(false) }, "Close"));
    this.host.hidden = !this.on;
    this.studio.redraw();
  }

  /** Where the timeline ends, and how the body is turned there. */
  private start(): { place: three.Vector3; yaw: number } {
    const clip = this.studio.blend?.base;
    if (!clip) return { place: new three.Vector3(), yaw: 0 };
    const pose = sample(clip, clip.frames / clip.fps, emptyPose(clip));
    const ahead = new three.Vector3(0, 0, 1).applyQuaternion(new three.Quaternion().fromArray(pose.turns));
    return { place: new three.Vector3(pose.root[0], 0, pose.root[2]), yaw: Math.atan2(ahead.x, ahead.z) };
  }

  private async walk(): Promise<void> {
    const { place, yaw } = this.start();
    const [c, s] = [Math.cos(yaw), Math.sin(yaw)];
    const round = (v: number): number => Math.round(v * 100) / 100;
    const waypoints = this.points.map((p): [number, number] => {
      const [x, z] = [p.x - place.x, p.z - place.z];
      return [round(x * c - z * s), round(x * s + z * c)];
    });
    const done = await this.studio.work("Walking the path", async (progress, signal) => {
      const request = { clauses: [{ action: "walk", waypoints }] };
      const [motion] = await api.work("/v1/motions", { request }, progress, signal);
      if (motion) await this.studio.append(motion.id, "a person walks along a path", "The path is walked.");
    });
    if (done) this.toggle(false);
  }
}
