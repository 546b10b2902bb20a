/** The library of moves: one that is chosen goes into the prompt, or is made at once. */

import * as api from "./api";
import { byId, el, iconButton } from "./dom";
import { emptyPose, sample, worldOf } from "./frames";
import { tell } from "./menu";
import type { Studio } from "./studio";

const PAGE = 50; // rows that come at a time
const SIZE = 72; // px of a still, which is shown half as large
const BODY = 22; // joints of it: fingers are left out
const PAUSE = 250; // ms without a key after which a search begins

export class Moves {
  private readonly host = byId("moves");
  private readonly field = el("input", { type: "search", placeholder: "open a door", maxlength: "1000", enterkeyhint: "search", "aria-label": "Search the moves" });
  private readonly list = el("ul", { "aria-label": "Moves" });
  private readonly state = el("p", { class: "faint", role: "status" });
  private readonly more = el("button", { type: "button", class: "plain more", hidden: true, onclick: () => void this.goOn() }, "More");
  private asking: AbortController | null = null;
  private timer = 0;

  constructor(
    private readonly studio: Studio,
    private readonly button: HTMLButtonElement,
    private readonly suggest: (text: string) => void,
  ) {
    const found = el("div", { class: "found" }, this.list, this.more);
    const close = iconButton("close", "Close the moves", () => this.toggle(false));
    this.host.append(el("header", {}, this.field, close, this.state), found);
    button.setAttribute("aria-controls", this.host.id);
    button.setAttribute("aria-expanded", "false");
    this.field.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.load(true), PAUSE);
    });
    this.host.addEventListener("keydown", (event) => this.pressed(event));
    for (const event of ["clip", "session"] as const) studio.on(event, () => this.showStills());
    new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && void this.load(false), { root: found }).observe(this.more);
  }

  toggle(on = this.host.hidden): void {
    const inside = this.host.contains(document.activeElement);
    this.host.hidden = !on;
    this.button.setAttribute("aria-expanded", String(on));
    if (!on) return inside ? this.button.focus() : undefined;
    this.field.focus();
    this.showStills();
    if (!this.list.children.length) void this.load(true);
  }

  /** Arrows go from the field through the rows, Escape leaves. */
  private pressed(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.toggle(false);
    else if (event.key === "Enter" && event.target === this.field) void this.load(true);
    else if (step) {
      const rows = [this.field, ...this.list.querySelectorAll<HTMLElement>(".move")];
      const here = rows.findIndex((r) => r === event.target || r.parentElement === (event.target as Node).parentElement);
      rows[here + step]?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** The next rows, where the focus goes on. */
  private async goOn(): Promise<void> {
    const last = this.list.lastElementChild;
    await this.load(false);
    last?.nextElementSibling?.querySelector("button")?.focus();
  }

  /** Rows of the words in the field: `anew` from the first, else those that come next. */
  private async load(anew: boolean): Promise<void> {
    if (!anew && this.asking) return;
    clearTimeout(this.timer);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.state.textContent = "Looking";
    try {
      const found = await api.moves(this.field.value, PAGE, anew ? 0 : this.list.children.length, asking.signal);
      if (anew) this.list.replaceChildren();
      this.list.append(...found.map((move) => this.row(move)));
      if (anew) this.list.parentElement?.scrollTo(0, 0);
      this.showStills();
      this.more.hidden = found.length < PAGE;
      const rows = this.list.children.length;
      this.state.textContent = this.field.value.trim() ? `The ${rows} nearest, the best first` : `${rows} moves${this.more.hidden ? "" : ", and more below"}`;
    } catch (error) {
      if (!asking.signal.aborted) this.state.textContent = error instanceof Error ? error.message : String(error);
    } finally {
      if (this.asking === asking) this.asking = null;
    }
  }

  private row({ name, caption, seconds, own }: api.Move): HTMLElement {
    const title = name === caption ? null : el("b", {}, name.replaceAll("_", " "));
    const facts = [own ? "yours" : "", seconds === null ? "" : `${seconds.toFixed(1)} s`].filter(Boolean).join(", ");
    const words = title ? el("small", {}, caption) : el("b", {}, caption);
    const told = [title?.textContent, caption, facts].filter(Boolean).join(", ");
    const choose = el("button", { type: "button", class: "move", "aria-label": told, onclick: () => this.suggest(caption) }, title ?? words, el("i", {}, facts), title && words);
    return el("li", { "data-caption": caption }, choose, iconButton("play", `Make it: ${caption}`, () => this.make(caption)));
  }

  /** Beside the moves that stand on the timeline a still of theirs. */
  private showStills(): void {
    if (this.host.hidden) return;
    const made = new Map(this.studio.segments.filter((s) => !s.draft).map((s) => [s.caption, s.start + s.seconds / 2]));
    for (const row of this.list.querySelectorAll("li")) {
      row.querySelector("canvas")?.remove();
      const at = made.get(row.dataset["caption"] ?? "");
      if (at !== undefined) row.prepend(this.still(at));
    }
  }

  /** The body at a second of the timeline, as lines between its joints, seen from a little to the side. */
  private still(seconds: number): HTMLCanvasElement {
    const canvas = el("canvas", { width: SIZE, height: SIZE, "aria-hidden": "true" });
    const draw = canvas.getContext("2d");
    const clip = this.studio.blend?.base;
    if (!draw || !clip) return canvas;
    const { places } = worldOf(clip, sample(clip, seconds, emptyPose(clip)));
    const [x = 0, y = 0, z = 0] = places;
    const scale = SIZE / 2.2; // metres that the picture is high
    const at = (j: number): [number, number] => {
      const [a, b, c] = places.subarray(3 * j, 3 * j + 3) as unknown as [number, number, number];
      return [SIZE / 2 + scale * (0.87 * (a - x) + 0.5 * (c - z)), SIZE / 2 - scale * (b - Math.max(0.9, y))];
    };
    draw.strokeStyle = "#7588c9"; // seen on light and dark panels
    draw.lineWidth = 4;
    draw.lineCap = "round";
    clip.parents.slice(0, BODY).forEach((parent, j) => {
      if (parent < 0) return;
      draw.moveTo(...at(parent));
      draw.lineTo(...at(j));
    });
    draw.stroke();
    return canvas;
  }

  private make(caption: string): void {
    if (this.studio.busy || this.studio.state !== "ready") return tell("One moment: something is still being made.");
    // on a phone the panel lies over the avatar
    if (matchMedia("(max-width: 760px)").matches) this.toggle(false);
    void this.studio.send(caption);
  }
}
