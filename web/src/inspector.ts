/** The bar of the selected segment: what an animator changes of it, each by an act of the conversation. */

import type { Segment } from "./api";
import { byId, el, iconButton, keepFocus } from "./dom";
import { tell } from "./menu";
import type { Studio } from "./studio";

const VARIANTS = 4; // that stand side by side, the present one among them
const ROUNDS = [1, 2, 3, 4, 6, 8];
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
const IN_PLACE = "in place";
/** What stands behind the words of a segment for its energy. */
const ENERGY: [string, string][] = [["energetically", "more energy"], ["gently", "less energy"]]; // prettier-ignore
export const LEAST = 0.4; // seconds that a cut leaves

export class Inspector {
  private readonly bar = el("div", { class: "controls", role: "toolbar", "aria-label": "Selected segment" });
  private readonly host = byId("inspector");

  constructor(private readonly studio: Studio) {
    this.host.append(this.bar);
    for (const event of ["session", "select", "busy", "clip"] as const) studio.on(event, () => this.draw());
    this.draw();
  }

  private drawn = "";

  private draw(): void {
    const s = this.studio.segment;
    this.host.hidden = !s;
    const key = s ? JSON.stringify([s, !!this.studio.busy]) : "";
    if (key === this.drawn) return;
    this.drawn = key;
    if (!s) return this.bar.replaceChildren();
    keepFocus(this.bar, "data-act", () => {
      this.bar.replaceChildren(...this.controls(s));
      for (const node of this.bar.querySelectorAll<HTMLButtonElement | HTMLSelectElement>("button, select")) node.disabled ||= !!this.studio.busy;
    });
  }

  private controls(s: Segment): HTMLElement[] {
    const { n } = s;
    const made = s.kind === "made";
    const act = (...lines: string[]) => (): void => void this.studio.act(...lines);
    const still = has(s.caption, IN_PLACE);
    const energy = ENERGY.find(([word]) => has(s.caption, word))?.[0] ?? "";
    return [
      el("b", { class: "which", title: s.caption }, `${n}`),
      iconButton("cut_start", "Cut off what is before the playhead ([)", () => this.cut("start"), { "data-act": "start" }),
      iconButton("cut_end", "Cut off what is after the playhead (])", () => this.cut("end"), { "data-act": "end" }),
      this.select("Loop", "How often it is played", ROUNDS.map((r) => [String(r), r === 1 ? "once" : `${r}×`]), String(s.rounds), (v) => act(`loop ${n} x${v}`)()),
      iconButton("target", "In place: without going anywhere", () => this.stay(s, still), { "aria-pressed": String(still), "data-act": "place", disabled: !made }, "In place"),
      iconButton("mirror", "Exchange left and right", act(`mirror ${n}`), { "data-act": "mirror", "aria-pressed": String(s.mirrored) }, "Mirror"),
      this.select("Speed", "How fast it runs", SPEEDS.map((v) => [String(v), `${v}×`]), String(Math.round(s.tempo * 100) / 100), (v) => act(`speed ${n} x${ratio(Number(v), s.tempo)}`)()),
      this.select("Energy", "With how much energy it is done", [["", "as it is"], ...ENERGY], energy, (v) => this.energize(s, energy, v), !made),
      iconButton("variants", `${VARIANTS} variants side by side, of which one is kept (V)`, () => this.vary(), { "data-act": "vary", disabled: !made }, `${VARIANTS} variants`),
    ];
  }

  private select(name: string, about: string, options: [string, string][], value: string, choose: (value: string) => void, disabled = false): HTMLElement {
    const node = el("select", { "aria-label": `${name}: ${about.toLowerCase()}`, "data-act": name, disabled });
    if (!options.some(([v]) => v === value)) options = [[value, `${value}×`], ...options];
    for (const [v, label] of options) node.append(el("option", { value: v, selected: v === value }, label));
    node.addEventListener("change", () => choose(node.value));
    return el("label", { title: about }, el("span", {}, name), node);
  }

  /** Cut away one side of the playhead. */
  cut(side: "start" | "end"): void {
    const s = this.studio.segment;
    if (!s) return;
    const { time } = this.studio.player;
    const end = s.start + s.seconds;
    if (time < s.start + (side === "start" ? 0.05 : LEAST) || time > end - (side === "end" ? 0.05 : LEAST)) {
      return tell(`Move the playhead into segment ${s.n} first: what is cut, and what is left, needs some length.`, "error");
    }
    void this.studio.act(side === "start" ? cutLine(s.start, time) : cutLine(time, end));
  }

  /** Others like the selected segment, beside it. */
  vary(): void {
    const s = this.studio.segment;
    if (!s || this.studio.busy) return;
    const open = this.studio.session?.takes.length && this.studio.session.chosen === s.n ? this.studio.session.takes.length : 1;
    void this.studio.act(...Array.from({ length: Math.max(1, VARIANTS - open) }, () => `again ${s.n}`));
  }

  private stay(s: Segment, still: boolean): void {
    if (still) void this.studio.act(`edit ${s.n}: on the way again; ${without(s.caption, IN_PLACE)}`);
    else void this.studio.act(`edit ${s.n}: ${IN_PLACE}`);
  }

  private energize(s: Segment, before: string, word: string): void {
    const caption = before ? without(s.caption, before) : s.caption;
    void this.studio.act(before ? `edit ${s.n}: ${word || "as usual"}; ${word ? `${caption} ${word}` : caption}` : `edit ${s.n}: ${word}`);
  }
}

/** The act that takes seconds out of the timeline. */
export const cutLine = (from: number, to: number): string => `delete from${from.toFixed(2)}s to${to.toFixed(2)}s`;

const has = (caption: string, words: string): boolean => caption.toLowerCase().includes(` ${words}`);
const without = (caption: string, words: string): string => caption.replace(new RegExp(` ${words}`, "i"), "");
const ratio = (wanted: number, present: number): string => (wanted / present).toFixed(4).replace(/\.?0+$/, "");
