/** What was understood of the words of the selected segment, as chips; another choice makes it again. */

import * as api from "./api";
import type { Segment } from "./api";
import { byId, capital, el, keepFocus } from "./dom";
import { icon } from "./icons";
import { ask, showFinder, showMenu, tell, type Item } from "./menu";
import { deed, read, reworded, type Clause, type Reading, type Wish } from "./reading";
import type { Studio } from "./studio";

const FOUND = 12; // moves that a search shows
const STYLES = ["happily", "sadly", "angrily", "proudly", "carefully", "drunkenly"];
const SIDES = { left: "left", right: "right", both: "both", alternating: "by turns" } as const;
const MOST_TIMES = 6; // that the menu offers

export class Chips {
  private readonly row = el("div", { class: "reading", role: "group", "aria-label": "What was understood" });
  private readonly told = el("p", { class: "told", hidden: true });
  private shown = "";

  constructor(private readonly studio: Studio) {
    byId("inspector").append(this.row, this.told);
    for (const event of ["session", "select", "busy"] as const) studio.on(event, () => void this.draw());
  }

  private async draw(): Promise<void> {
    const { studio } = this;
    const s = studio.segment;
    const key = s ? JSON.stringify([s.n, s.caption, s.seconds, s.note, s.kind]) : "";
    if (key === this.shown) return;
    if (!s || s.kind !== "made") {
      this.shown = key;
      this.row.replaceChildren();
      return this.tellOf(s ? ["This segment was not made from words, so none can be changed."] : []);
    }
    if (studio.busy) return; // the model is at work; the reading would wait for it
    this.shown = key;
    const reading = await read(s.caption).catch((error: unknown) => error as Error);
    if (key !== this.shown) return;
    if (reading instanceof Error) {
      this.shown = "";
      this.row.replaceChildren();
      return this.tellOf([reading.message]);
    }
    keepFocus(this.row, "data-chip", () => this.row.replaceChildren(...reading.clauses.map((_, i) => this.clause(s, reading, i)), this.whole(s, reading)));
    this.tellOf(doubts(s, reading));
  }

  /** In plain words what was not understood. */
  private tellOf(lines: string[]): void {
    this.told.replaceChildren(...(lines.length ? [icon("note"), lines.join(" ")] : []));
    this.told.hidden = !lines.length;
  }

  private clause(s: Segment, reading: Reading, i: number): HTMLElement {
    const clause = reading.clauses[i] as Clause;
    const change = (wish: Wish, about: string): void => void this.change(s, reading, i, wish, about);
    const box = el("span", { class: "clause" });
    if (i) box.append(el("i", {}, clause.together ? "and" : "then"));
    const name = clause.known && clause.name ? deed(clause.name.replaceAll("_", " ")) : `${clause.words}?`;
    const told = clause.known ? `“${clause.words}” is read as ${name}` : `“${clause.words}” is not known`;
    const add = (what: string, label: string, about: string, open: (chip: HTMLElement) => void, extra = ""): void => {
      const chip = el("button", { type: "button", class: `chip ${extra}`, title: about, "aria-label": about, "aria-haspopup": "menu", "data-chip": `${what} ${i}` }, label);
      chip.addEventListener("click", () => !this.studio.busy && open(chip));
      box.append(chip);
    };
    add("action", clause.denied ? `not: ${name}` : name, `${told}. Choose another action`, (chip) => this.find(chip, clause, change), clause.known ? "action" : "action unknown");
    const side = clause.side;
    if (side) add("side", SIDES[side], `Side: ${SIDES[side]}. Choose another`, (chip) => this.sides(chip, side, change));
    const rest: [string, string][] = [
      ["Direction", clause.direction?.replaceAll("_", " ") ?? ""], ["Path", clause.path?.replaceAll("_", " ") ?? ""],
      ["Distance", clause.distance ? `${clause.distance} m` : ""], ["Turn", clause.turn ? `${clause.turn}°` : ""],
      ["Place", clause.in_place ? "in place" : ""], ["Size", clause.size?.replaceAll("_", " ") ?? ""],
    ]; // prettier-ignore
    for (const [what, label] of rest) if (label) add(what, label, `${what}: ${label}. Change the words`, () => this.studio.emit("words"));
    const { times, seconds, tempo, style } = clause;
    if (times) add("times", `${times}×`, `Count: ${times}. Choose another`, (chip) => this.counts(chip, times, change));
    if (seconds && reading.clauses.length > 1) add("seconds", `${seconds} s`, `Length: ${seconds} seconds. Choose another`, () => void this.lasts(seconds, change));
    if (tempo || style) add("manner", [tempo?.replaceAll("_", " "), style].filter(Boolean).join(", "), "Manner. Choose another", (chip) => this.manners(chip, clause, change));
    add("more", "+", `Add a side, a count, a length or a manner to “${clause.words}”`, (chip) => this.more(chip, reading, clause, change), "plus");
    return box;
  }

  /** What the whole segment has: its length. */
  private whole(s: Segment, { clauses }: Reading): HTMLElement {
    const about = `Length: ${s.seconds.toFixed(1)} seconds. Choose another`;
    const chip = el("button", { type: "button", class: "chip", title: about, "aria-label": about, "aria-haspopup": "menu", "data-chip": "length" }, `${s.seconds.toFixed(1)} s`);
    const act = (seconds: number) => (): void => void this.studio.act(`retime ${s.n} ${seconds}s`);
    chip.addEventListener("click", () => {
      const other = async (): Promise<void> => {
        const seconds = await ask("Length", `Seconds of segment ${s.n}`, s.seconds.toFixed(1), "number", "Change");
        if (seconds) act(Number(Number(seconds).toFixed(2)))();
      };
      const items: Item[] = [1, 2, 3, 4, 6, 8, 10].map((v) => ({ label: `${v} seconds`, run: act(v) }));
      if (!this.studio.busy) menuAt(chip, "Length", [...items, { label: "Another length…", run: () => void other() }]);
    });
    return el("span", { class: "clause" }, el("i", {}, clauses.length > 1 ? "in all" : ""), chip);
  }

  private find(chip: HTMLElement, clause: Clause, change: (wish: Wish, about: string) => void): void {
    const box = chip.getBoundingClientRect();
    const search = (query: string, signal: AbortSignal): Promise<api.Move[]> => api.moves(query.trim() || clause.words, FOUND, 0, signal);
    showFinder(box.left, box.bottom + 4, "Another action", `like “${clause.words}”`, async (query, signal) =>
      (await search(query, signal)).map((move) => ({
        label: deed(move.caption),
        hint: move.seconds === null ? "" : `${move.seconds.toFixed(1)} s`,
        run: () => change({ what: "action", move }, deed(move.caption)),
      })),
    );
  }

  private sides(chip: HTMLElement, present: string | null, change: (wish: Wish, about: string) => void): void {
    const items: Item[] = (["left", "right", "both"] as const).filter((v) => v !== present).map((value) => ({ label: value === "both" ? "Both" : value === "left" ? "Left" : "Right", run: () => change({ what: "side", value }, `${value} side`) }));
    if (present) items.push({ label: "No side", run: () => change({ what: "side", value: null }, "no side") });
    menuAt(chip, "Side", items);
  }

  private counts(chip: HTMLElement, present: number | null, change: (wish: Wish, about: string) => void): void {
    const to = (value: number | null) => (): void => change({ what: "times", value }, value === null ? "any count" : `${value} times`);
    const other = async (): Promise<void> => {
      const times = await ask("Count", "How often", String(present ?? 2), "number", "Change");
      if (times) to(Math.round(Number(times)))();
    };
    const items: Item[] = Array.from({ length: MOST_TIMES }, (_, k) => k + 1).filter((v) => v !== present).map((v) => ({ label: v === 1 ? "Once" : v === 2 ? "Twice" : `${v} times`, run: to(v) }));
    items.push({ label: "Another count…", run: () => void other() });
    if (present) items.push({ label: "No count", run: to(null) });
    menuAt(chip, "Count", items);
  }

  private async lasts(present: number, change: (wish: Wish, about: string) => void): Promise<void> {
    const seconds = await ask("Length", "Seconds of this action", String(present), "number", "Change");
    if (seconds) change({ what: "seconds", value: Number(seconds) }, `${seconds} seconds`);
  }

  private manners(chip: HTMLElement, { tempo, style = "" }: Clause, change: (wish: Wish, about: string) => void): void {
    const other = async (): Promise<void> => {
      const words = await ask("Manner", "How it is done", style || "happily", "text", "Change");
      if (words) change({ what: "style", value: words.replaceAll("|", " ") }, words);
    };
    const items: (Item | "-")[] = [
      { label: "Slowly", disabled: tempo === "slow", run: () => change({ what: "tempo", value: "slow" }, "slowly") },
      { label: "Quickly", disabled: tempo === "fast", run: () => change({ what: "tempo", value: "fast" }, "quickly") },
    ];
    if (tempo) items.push({ label: "At the usual pace", run: () => change({ what: "tempo", value: null }, "at the usual pace") });
    items.push("-", ...STYLES.filter((w) => w !== style).map((w): Item => ({ label: capital(w), run: () => change({ what: "style", value: w }, w) })));
    items.push({ label: "Another manner…", run: () => void other() });
    if (style) items.push({ label: `Not “${style}”`, run: () => change({ what: "style", value: "" }, `not ${style}`) });
    menuAt(chip, "Manner", items);
  }

  private more(chip: HTMLElement, reading: Reading, clause: Clause, change: (wish: Wish, about: string) => void): void {
    const items: Item[] = [];
    if (!clause.side) items.push({ label: "Side…", run: () => this.sides(chip, null, change) });
    if (!clause.times) items.push({ label: "Count…", run: () => this.counts(chip, null, change) });
    if (!clause.seconds && reading.clauses.length > 1) items.push({ label: "Length…", run: () => void this.lasts(3, change) });
    if (!clause.tempo && !clause.style) items.push({ label: "Manner…", run: () => this.manners(chip, clause, change) });
    items.push({ label: "Another action…", run: () => this.find(chip, clause, change) });
    menuAt(chip, "Add", items);
  }

  /** Make the segment again from words that are read as what is wanted; where there are none, that is said. */
  private async change(s: Segment, reading: Reading, i: number, wish: Wish, about: string): Promise<void> {
    let text: string | null;
    try {
      text = await reworded(s.caption, reading, i, wish);
    } catch (error) {
      return this.studio.failed(error);
    }
    if (text === null) return tell(`No words for “${about}” were found that are read so beside the rest. Double click the segment and say it.`, "error");
    await this.studio.act(`edit ${s.n}: ${about.replace(/[;|]/g, " ")}; ${text.replaceAll("|", " ")}`);
  }
}

function menuAt(chip: HTMLElement, label: string, items: (Item | "-")[]): void {
  const box = chip.getBoundingClientRect();
  showMenu(box.left, box.bottom + 4, label, items);
}

const list = (words: string[]): string => words.map((w) => `“${w}”`).join(", ");

/** A sentence for each thing that the words of a segment say and that was not understood, or is not shown. */
function doubts({ note }: Segment, { clauses, unshown, unread = [] }: Reading): string[] {
  const lines = note ? [`${capital(note)}.`] : [];
  for (const { known, words, nearest } of clauses) {
    if (known || note.includes(words)) continue;
    lines.push(`“${words}” is not known${nearest ? `; the nearest move is “${deed(nearest)}”` : ""}.`);
  }
  const left = [...unshown, ...unread].filter((w) => !note.includes(w));
  if (left.length) lines.push(`Not understood: ${list(left)}.`);
  return lines;
}
