/** Hands and feet that are dragged to a place, at the time that is shown. */

import * as three from "three";
import { byId, el } from "./dom";
import { worldOf } from "./frames";
import { LIMBS, momentOf } from "./marks";
import type { Studio } from "./studio";

const REACH = 18; // pixels around a handle that take hold of it
const SIZE = 0.055; // metres

export class Pulls {
  on = false;
  private readonly group = new three.Group();
  private readonly host = byId("paths");
  private handles: { limb: keyof typeof LIMBS; mesh: three.Mesh }[] = [];
  private held: { limb: string; mesh: three.Mesh; plane: three.Plane } | null = null;

  constructor(
    private readonly studio: Studio,
    private readonly button: HTMLButtonElement,
  ) {
    const { stage } = studio;
    stage.scene.add(this.group);
    const shape = new three.SphereGeometry(SIZE, 24, 16);
    const colour = new three.MeshBasicMaterial({ color: "#3f68f0", transparent: true, opacity: 0.75, depthTest: false });
    for (const limb of Object.keys(LIMBS) as (keyof typeof LIMBS)[]) {
      const mesh = new three.Mesh(shape, colour);
      mesh.renderOrder = 2;
      this.handles.push({ limb, mesh });
      this.group.add(mesh);
    }
    this.group.visible = false;
    const canvas = stage.renderer.domElement;
    canvas.addEventListener("pointerdown", (event) => this.take(event), { capture: true });
    canvas.addEventListener("pointermove", (event) => this.lead(event));
    canvas.addEventListener("pointerup", (event) => void this.leave(event));
    studio.on("clip", () => this.draw());
    studio.player.onChange(() => this.on && (studio.player.playing ? this.toggle(false) : this.draw()));
  }

  toggle(on = !this.on): void {
    const { studio } = this;
    if (on && !studio.blend) return;
    this.on = on;
    if (on) studio.player.pause();
    this.button.setAttribute("aria-pressed", String(on));
    this.group.visible = on;
    const close = el("button", { type: "button", class: "plain", onclick: () => this.toggle(false) }, "Close");
    this.host.replaceChildren(el("span", { role: "status" }, "Drag a hand or a foot to where it should be at this moment."), close);
    this.host.hidden = !on;
    this.draw();
  }

  private draw(): void {
    const clip = this.studio.blend?.base;
    if (!this.on || !clip) return;
    const { places } = worldOf(clip, momentOf(clip, this.studio.player.time).pose);
    for (const { limb, mesh } of this.handles) {
      const j = clip.joints.indexOf(LIMBS[limb]);
      mesh.position.fromArray(places, 3 * j);
    }
    this.studio.redraw();
  }

  private take(event: PointerEvent): void {
    if (!this.on || this.studio.busy) return;
    const { stage } = this.studio;
    const away = ({ mesh }: { mesh: three.Mesh }): number => {
      const at = stage.onPage(...(mesh.position.toArray() as [number, number, number]));
      return Math.hypot(at.x - event.offsetX, at.y - event.offsetY);
    };
    const [near] = [...this.handles].sort((a, b) => away(a) - away(b));
    if (!near || away(near) > REACH) return;
    event.stopImmediatePropagation();
    const ahead = stage.camera.getWorldDirection(new three.Vector3());
    this.held = { ...near, plane: new three.Plane().setFromNormalAndCoplanarPoint(ahead, near.mesh.position) };
    (event.target as Element).setPointerCapture(event.pointerId);
  }

  private lead(event: PointerEvent): void {
    if (!this.held) return;
    const at = this.studio.stage.onPlane(event.offsetX, event.offsetY, this.held.plane);
    if (at) this.held.mesh.position.copy(at);
    this.studio.redraw();
  }

  private async leave(event: PointerEvent): Promise<void> {
    const { held, studio } = this;
    if (!held) return;
    this.held = null;
    (event.target as Element).releasePointerCapture(event.pointerId);
    const { time } = studio.player;
    const place = held.mesh.position.toArray().map((v) => v.toFixed(3));
    await studio.act(`pull: ${held.limb} ${time.toFixed(2)} ${place.join(" ")}`);
    studio.player.pause();
    studio.player.seek(time);
    this.toggle(true);
  }
}
