/** A stretch of the timeline that is made anew, or the room behind its end for what comes next. */

import { el, iconButton } from "./dom";
import type { Studio } from "./studio";

export const FRAME = 0.05; // seconds
const LEAST = 0.2; // seconds of a stretch
const NEAR = 7; // pixels from an edge of a segment at which a stretch holds to it
const DRAG = 6; // pixels after which a press has become a drag

export const atFrame = (seconds: number): number => Math.round(seconds / FRAME) / 20;

export class Stretch {
  range: [number, number] | null = null;
  /** What stands beside the transport while there is one. */
  readonly note = el("p", { class: "stretch-note", role: "status", hidden: true });
  private readonly band = el("div", { class: "stretch", hidden: true });
  private readonly ends: [HTMLElement, HTMLElement];
  private listeners: (() => void)[] = [];
  private px = 1;
  /** A drag has just ended: the click that follows it means nothing. */
  dragged = false;

  constructor(private readonly studio: Studio) {
    this.ends = [this.end(0, "Beginning of the stretch"), this.end(1, "End of the stretch")];
    this.band.append(...this.ends);
    studio.on("session", () => {
      if (this.range && this.range[1] > studio.player.seconds + FRAME) this.set(null);
    });
  }

  onChange(run: () => void): void {
    this.listeners.push(run);
  }

  set(range: [number, number] | null): void {
    this.range = range && [atFrame(Math.max(0, range[0])), atFrame(range[1])];
    this.place();
    for (const run of this.listeners) run();
  }

  /** The stretch of the selected segment, else a second about the play head; away with it where there is one. */
  toggle(): void {
    const { player, segments, selected } = this.studio;
    if (this.range || !player.seconds) return this.set(null);
    const segment = segments.find((s) => s.n === selected) ?? segments.find((s) => s.start <= player.time && player.time <= s.start + s.seconds);
    const about = Math.min(player.time, player.seconds - 1);
    this.set(segment ? [segment.start, segment.start + segment.seconds] : [about, about + 1]);
    this.ends[0].focus();
  }

  /** The band over the lane, at so many pixels a second. */
  draw(px: number): HTMLElement {
    this.px = px;
    this.place();
    return this.band;
  }

  private place(): void {
    this.band.hidden = this.note.hidden = !this.range;
    if (!this.range) return;
    const [a, b] = this.range;
    this.band.style.left = `${a * this.px}px`;
    this.band.style.width = `${(b - a) * this.px}px`;
    this.ends.forEach((node, i) => {
      const value = this.range?.[i] ?? 0;
      node.setAttribute("aria-valuenow", value.toFixed(2));
      node.setAttribute("aria-valuetext", `${value.toFixed(2)} seconds`);
      node.setAttribute("aria-valuemax", this.studio.player.seconds.toFixed(2));
    });
    const made = a >= (this.studio.blend?.seconds ?? 0) - FRAME ? "is made next" : "is made anew between what stands";
    this.note.replaceChildren(
      el("b", {}, `${a.toFixed(2)} to ${b.toFixed(2)} s`), el("span", {}, ` ${made}: say what happens there, or nothing, and Make.`),
      iconButton("close", "Leave the stretch (Esc)", () => this.set(null)),
    ); // prettier-ignore
  }

  private end(which: 0 | 1, name: string): HTMLElement {
    const node = el("span", { class: "end", role: "slider", tabindex: "0", "aria-label": name, "aria-valuemin": 0 });
    node.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      node.setPointerCapture(event.pointerId);
      node.focus();
      node.onpointermove = (e) => this.lead(which, this.held((e.clientX - (this.band.parentElement as HTMLElement).getBoundingClientRect().left) / this.px));
    });
    node.addEventListener("pointerup", () => (node.onpointermove = null));
    node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (event.key === "Escape") this.set(null);
      else if (step && this.range) this.lead(which, this.range[which] + step * FRAME * (event.shiftKey ? 10 : 1));
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return node;
  }

  private lead(which: 0 | 1, to: number): void {
    if (!this.range) return;
    const [a, b] = this.range;
    if (which) this.set([a, Math.min(Math.max(to, a + LEAST), this.studio.player.seconds)]);
    else this.set([Math.min(Math.max(to, 0), b - LEAST), b]);
  }

  /** A second of the timeline, or the edge of a segment that is near. */
  private held(seconds: number): number {
    const edges = this.studio.segments.flatMap((s) => [s.start, s.start + s.seconds]);
    return edges.find((e) => Math.abs(e - seconds) * this.px < NEAR) ?? seconds;
  }

  /** A press on a segment: where it is drawn aside, a stretch. Fingers scroll there. */
  press(event: PointerEvent, lane: HTMLElement): void {
    this.dragged = false;
    if (event.button || event.pointerType === "touch" || this.studio.busy) return;
    const target = event.currentTarget as HTMLElement;
    const second = (e: PointerEvent): number => this.held((e.clientX - lane.getBoundingClientRect().left) / this.px);
    const from = second(event);
    const move = (e: PointerEvent): void => {
      if (!this.dragged && Math.abs(e.clientX - event.clientX) < DRAG) return;
      this.dragged = true;
      const to = Math.min(Math.max(second(e), 0), this.studio.player.seconds);
      if (Math.abs(to - from) >= LEAST) this.set(to > from ? [from, to] : [to, from]);
    };
    target.setPointerCapture(event.pointerId);
    target.addEventListener("pointermove", move);
    target.addEventListener("pointerup", () => target.removeEventListener("pointermove", move), { once: true });
    target.addEventListener("pointercancel", () => target.removeEventListener("pointermove", move), { once: true });
  }
}
