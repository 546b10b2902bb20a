/** Tracks of keys under the timeline: set at the play head, led in time and in space, held by what is made. */

import * as three from "three";
import { el, iconButton, keepFocus } from "./dom";
import { Handles } from "./handles";
import { asKeys, BODY, KINDS, markOf, momentOf, same, type Kind, type Mark, type Moment } from "./marks";
import { tell } from "./menu";
import { atFrame, FRAME, type Stretch } from "./stretch";
import type { Studio } from "./studio";

const ROOM = 4; // seconds behind the end for what comes next
const BETWEEN = "in between"; // the server's words for a stretch without words
const SIDES = ["x", "y", "z"] as const;

export class Tracks {
  on = false;
  marks: Mark[] = [];
  chosen: Mark | null = null;
  readonly bar = el("div", { class: "keybar", role: "toolbar", "aria-label": "Keys", hidden: true });
  private readonly handles: Handles;
  private px = 1;
  private kept = "";

  constructor(
    private readonly studio: Studio,
    private readonly stretch: Stretch,
    private readonly button: HTMLButtonElement,
    private readonly redraw: () => void,
  ) {
    this.handles = new Handles(studio);
    this.handles.changed = () => (this.wear(), this.fill(), this.keep());
    this.handles.choose = (mark) => this.choose(mark);
    studio.on("session", () => this.recall());
    studio.player.onChange(() => this.on && this.moved());
  }

  toggle(on = !this.on): void {
    const { studio } = this;
    if (on && studio.viewing) return;
    this.on = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.bar.hidden = !on;
    if (on) {
      studio.player.pause();
      this.recall();
      if (!studio.blend) this.makeRoom();
    } else {
      this.chosen = null;
      studio.room = 0;
      this.stretch.set(null);
    }
    this.draw();
    if (on) this.bar.querySelector("button")?.focus();
  }

  /** Room behind the end, as the stretch that is made next. */
  private makeRoom(): void {
    const { studio } = this;
    const end = studio.blend?.seconds ?? 0;
    studio.room += ROOM;
    this.stretch.set([end, end + studio.room]);
    if (end) studio.player.seek(end);
    this.draw();
  }

  // keys

  /** A key of what is there at the play head; one that is there already is chosen. */
  add(kind: Kind): void {
    const { player } = this.studio;
    player.pause();
    const mark = markOf(kind, atFrame(player.time), this.moment(player.time));
    const there = this.marks.find((m) => same(m, mark));
    if (!there) this.marks.push(mark);
    this.keep();
    this.choose(there ?? mark);
  }

  choose(mark: Mark | null): void {
    const { player } = this.studio;
    this.chosen = null; // the play head leaves none behind
    if (mark && player.playing) player.pause();
    if (mark && Math.abs(player.time - mark.second) > FRAME / 2) player.seek(mark.second);
    this.chosen = mark;
    this.draw();
  }

  remove(mark: Mark): void {
    this.marks = this.marks.filter((m) => m !== mark);
    if (this.chosen === mark) this.chosen = null;
    this.keep();
    this.draw();
  }

  private shift(mark: Mark, second: number): void {
    const to = atFrame(Math.min(Math.max(second, 0), this.studio.player.seconds));
    if (this.marks.some((m) => m !== mark && same(m, { ...mark, second: to }))) return;
    mark.second = to;
    this.keep();
  }

  /** Another second of the key that is chosen, and the play head with it. */
  private put(mark: Mark, second: number): void {
    this.shift(mark, second);
    this.chosen = null;
    this.studio.player.seek(mark.second);
    this.chosen = mark;
  }

  private moment(seconds: number): Moment {
    const { blend } = this.studio;
    return blend ? momentOf(blend.base, seconds) : this.studio.atRest();
  }

  /** The play head has gone on: a key is chosen where it stands alone. */
  private moved(): void {
    const { chosen } = this;
    if (chosen && Math.abs(this.studio.player.time - chosen.second) > FRAME) this.choose(null);
  }

  private get key(): string {
    return `keys ${this.studio.session?.id ?? ""}`;
  }

  private keep(): void {
    localStorage.setItem(this.key, JSON.stringify(this.marks));
    this.kept = this.key;
  }

  /** The keys of the session; those that were set before it had an id become its own. */
  private recall(): void {
    if (this.kept === this.key) return this.draw();
    if (this.kept === "keys " && this.marks.length) {
      localStorage.removeItem(this.kept);
      this.keep();
    } else {
      this.marks = JSON.parse(localStorage.getItem(this.key) ?? "[]") as Mark[];
      this.kept = this.key;
    }
    this.draw();
  }

  // what is made

  /** The keys that a turn sends: those of the stretch, without one those of what stands. */
  private get sent(): Mark[] {
    if (!this.on) return [];
    const [a, b] = this.stretch.range ?? [0, this.studio.blend?.seconds ?? 0];
    return this.marks.filter((m) => m.second >= a - FRAME / 2 && m.second <= b + FRAME / 2);
  }

  /** Whether Make is about a stretch or keys, for which it takes no words, too. */
  get ready(): boolean {
    return !!this.stretch.range || this.sent.length > 0;
  }

  /** Make the stretch, or lead what stands through its keys; with words the segments with keys are made anew. */
  async make(words: string): Promise<boolean> {
    const { studio, stretch, sent } = this;
    const text = words.replace(/[|;]/g, ",").trim();
    let range = stretch.range;
    if (!range && text) {
      const held = studio.segments.filter((s) => sent.some((m) => m.second >= s.start && m.second < s.start + s.seconds));
      const last = held.at(-1);
      if (held[0] && last) range = [held[0].start, last.start + last.seconds];
    }
    if (range && !range[0] && !text) {
      tell("A stretch at the beginning needs words: say what happens there.", "error");
      return false;
    }
    const file = sent.length ? "keys.json" : "";
    const [a, b] = (range ?? [0, 0]).map((s) => s.toFixed(2));
    const act = range ? `repaint from${a}s to${b}s: ${[text || BETWEEN, file].filter(Boolean).join("; ")}` : `hold: ${file}`;
    if (words) studio.say({ kind: "user", text: words });
    const done = await studio.paint(act, sent.length ? asKeys(sent) : undefined);
    if (done) {
      this.chosen = null;
      studio.room = 0;
      stretch.set(null);
      this.draw();
    }
    return done;
  }

  // what is shown

  /** `anew`: the bar, too; it stays while a number in it is written. */
  draw(anew = true): void {
    this.redraw();
    if (anew) this.controls();
    else this.fill();
    const { chosen } = this;
    this.handles.show(this.on ? this.marks : [], this.on ? chosen : null, chosen ? this.moment(chosen.second) : null);
    this.wear();
  }

  /** While a pose is keyed the avatar shows it. */
  private wear(): void {
    this.studio.posed = this.on ? this.handles.pose : null;
    this.studio.redraw();
  }

  /** A row for each kind of keys that there are. */
  rows(px: number): HTMLElement[] {
    this.px = px;
    if (!this.on) return [];
    const kinds = (Object.keys(KINDS) as Kind[]).filter((kind) => this.marks.some((m) => m.kind === kind));
    return kinds.map((kind) => {
      const row = el("div", { class: "track", role: "group", "aria-label": `${KINDS[kind].name}: keys` }, el("span", { class: "name" }, KINDS[kind].name));
      row.style.setProperty("--c", KINDS[kind].colour);
      for (const mark of this.marks.filter((m) => m.kind === kind).sort((a, b) => a.second - b.second)) row.append(this.diamond(mark));
      return row;
    });
  }

  private diamond(mark: Mark): HTMLElement {
    const name = `${KINDS[mark.kind].name} at ${mark.second.toFixed(2)} s`;
    const node = el("button", { type: "button", class: "key", "aria-label": name, title: name, "aria-pressed": mark === this.chosen });
    const place = (): void => void (node.style.left = `clamp(11px, ${mark.second * this.px}px, calc(100% - 11px))`);
    place();
    let from: { x: number; second: number } | null = null;
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      from = { x: event.clientX, second: mark.second };
      node.setPointerCapture(event.pointerId);
    });
    node.addEventListener("pointermove", (event) => {
      if (!from || Math.abs(event.clientX - from.x) < 3) return;
      this.shift(mark, from.second + (event.clientX - from.x) / this.px);
      place();
    });
    node.addEventListener("pointerup", () => {
      from = null;
      this.choose(mark);
      this.focus(mark);
    });
    node.addEventListener("click", (event) => event.detail || (this.choose(mark), this.focus(mark)));
    node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Delete" || event.key === "Backspace") {
        this.remove(mark);
        this.bar.querySelector("button")?.focus();
      } else if (step) {
        this.put(mark, mark.second + step * FRAME * (event.shiftKey ? 10 : 1));
        this.choose(mark);
        this.focus(mark);
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    return node;
  }

  private focus(mark: Mark): void {
    const name = `${KINDS[mark.kind].name} at ${mark.second.toFixed(2)} s`;
    document.querySelector<HTMLElement>(`.key[aria-label="${name}"]`)?.focus();
  }

  private fields: { input: HTMLInputElement; value: () => number }[] = [];

  private fill(): void {
    for (const { input, value } of this.fields) if (document.activeElement !== input) input.value = value().toFixed(2);
  }

  /** What sets keys, and the numbers of the one that is chosen. */
  private controls(): void {
    if (!this.on) return;
    const { chosen } = this;
    const kinds = (Object.keys(KINDS) as Kind[]).map((kind) => {
      const { name, colour } = KINDS[kind];
      const node = el("button", { type: "button", class: "plain set", "aria-label": `Set at the play head: ${name}`, onclick: () => this.add(kind) }, el("i"), name);
      node.style.setProperty("--c", colour);
      return node;
    });
    const room = el("button", { type: "button", class: "plain", title: "Four seconds behind the end, for what is made next", onclick: () => this.makeRoom() }, "+ 4 s");
    const close = iconButton("close", "Close the keys (K)", () => this.toggle(false));
    this.fields = [];
    keepFocus(this.bar, "aria-label", () => {
      this.bar.replaceChildren(el("div", { class: "row" }, el("span", { class: "faint" }, "Set here:"), ...kinds, room, close));
      if (chosen) this.bar.append(this.numbers(chosen));
      this.fill();
    });
  }

  private numbers(mark: Mark): HTMLElement {
    const row = el("div", { class: "row" }, el("b", {}, KINDS[mark.kind].name));
    const add = (label: string, unit: string, step: number, value: () => number, set: (v: number) => void): void => {
      const input = el("input", { type: "number", step, "aria-label": `${KINDS[mark.kind].name}: ${label}, ${unit}` });
      input.addEventListener("change", () => {
        if (Number.isFinite(input.valueAsNumber)) set(input.valueAsNumber);
        this.keep();
        this.draw(false);
      });
      this.fields.push({ input, value });
      row.append(el("label", {}, label, input, el("small", {}, unit)));
    };
    add("at", "s", FRAME, () => mark.second, (v) => this.put(mark, v));
    if (mark.kind === "pose") {
      const joints = el("select", { "aria-label": "Joint" });
      for (const name of this.moment(mark.second).shape.joints.slice(0, BODY)) {
        joints.append(el("option", { value: name, selected: name === this.handles.joint }, spoken(name)));
      }
      joints.addEventListener("change", () => {
        this.handles.joint = joints.value;
        this.draw();
      });
      row.append(joints);
      const turn = (): three.Euler => new three.Euler().setFromQuaternion(new three.Quaternion().fromArray(mark.turns?.[this.handles.joint] ?? [0, 0, 0, 1]));
      for (const side of SIDES) {
        add(side, "°", 5, () => three.MathUtils.radToDeg(turn()[side]), (v) => {
          const now = turn();
          now[side] = three.MathUtils.degToRad(v);
          (mark.turns ??= {})[this.handles.joint] = new three.Quaternion().setFromEuler(now).toArray();
        }); // prettier-ignore
      }
      add("hips", "m", 0.05, () => mark.place[1], (v) => (mark.place[1] = v));
    } else {
      SIDES.forEach((side, i) => {
        if (mark.kind === "place" && side === "y") return;
        add(side, "m", 0.05, () => mark.place[i] as number, (v) => (mark.place[i] = v));
      });
    }
    row.append(el("button", { type: "button", class: "plain", onclick: () => this.remove(mark) }, "Delete"));
    return row;
  }
}

/** `l_shoulder` as people say it. */
const spoken = (joint: string): string => joint.replace(/^l_/, "left ").replace(/^r_/, "right ").replace(/(\d)$/, " $1");
