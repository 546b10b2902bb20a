/** The timeline: transport, activities, segments; click = seek, drag an end = cut, double click = words. */

import type { Segment } from "./api";
import { clock, el, iconButton } from "./dom";
import { Graphs } from "./graphs";
import { icon } from "./icons";
import { cutLine, LEAST } from "./inspector";
import { ask, showMenu, tell, type Item } from "./menu";
import type { Stretch } from "./stretch";
import type { Studio } from "./studio";
import type { Tracks } from "./tracks";

const HUES = 5;
const STEPS = [0.5, 1, 2, 5, 10, 30, 60, 120];
const TICK_PX = 70;
const HINT = "timeline hint";

export class Timeline {
  private readonly play = iconButton("play", "Play", () => this.studio.player.toggle(), { class: "tool play" });
  private readonly time = el("span", { class: "time" });
  private readonly tracks = el("div", { class: "tracks" });
  private keys: Tracks | null = null;
  private readonly lane = el("div", { class: "lane" });
  private readonly head = el("div", { class: "head" });
  private readonly loop = iconButton("loop", "Play over and over", () => this.toggleLoop(), { "aria-pressed": "true" }, "Loop");
  private readonly legend = el("div", { class: "legend", hidden: true });
  private readonly slider = el("input", { type: "range", class: "hidden", min: "0", step: "0.05", "aria-label": "Time in seconds" });
  private readonly hint = el("p", { class: "once", hidden: true });
  readonly graphs: Graphs;
  private zoom = 1;

  constructor(
    host: HTMLElement,
    private readonly studio: Studio,
    private readonly stretch: Stretch,
  ) {
    const speed = el("select", { "aria-label": "Speed", class: "wide" });
    for (const s of [0.25, 0.5, 1, 2]) speed.append(el("option", { value: s, selected: s === 1 }, `${s}×`));
    speed.addEventListener("change", () => {
      studio.player.speed = Number(speed.value);
      studio.player.seek(studio.player.time);
    });
    this.graphs = new Graphs(studio, this.legend);
    const graph = iconButton("graph", "Graphs (G)", () => this.toggleGraphs(), { "aria-pressed": "false", id: "graph-button" }, "Graphs");
    const transport = el(
      "div", { class: "transport", role: "toolbar", "aria-label": "Playback" },
      this.play, this.time, this.loop, speed, el("span", { class: "fill" }),
      iconButton("plus", "Zoom in (+)", () => this.scale(1.5)),
      iconButton("fit", "Show all (0)", () => this.scale(0), {}, "Fit"), graph,
    ); // prettier-ignore
    this.slider.addEventListener("input", () => studio.player.seek(Number(this.slider.value)));
    this.tracks.append(this.lane);
    this.hint.append(
      "Click a segment to go there, drag its ends to cut it (with Shift for its length), double click for its words, right click for more.",
      iconButton("close", "Close the hint", () => this.known()),
    );
    host.prepend(transport, this.slider, stretch.note, this.tracks, this.legend, this.hint);
    for (const event of ["session", "clip", "select"] as const) studio.on(event, () => this.draw());
    studio.on("words", () => {
      const s = studio.segment;
      if (s) this.edit(s);
    });
    studio.player.onChange(() => this.state());
    this.tracks.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.scale(event.deltaY < 0 ? 1.25 : 0.8);
    }, { passive: false }); // prettier-ignore
    new ResizeObserver(() => this.draw()).observe(this.tracks);
    const move = (): void => {
      this.moveHead();
      requestAnimationFrame(move);
    };
    requestAnimationFrame(move);
    this.draw();
    this.state();
  }

  /** Have rows of keys, and what sets them above. */
  hold(keys: Tracks): void {
    this.keys = keys;
    this.stretch.note.before(keys.bar);
  }

  /** The hint has been read, or what it says was done. */
  private known(): void {
    localStorage.setItem(HINT, "read");
    this.hint.hidden = true;
  }

  toggleLoop(): void {
    this.studio.player.loop = !this.studio.player.loop;
    this.loop.setAttribute("aria-pressed", String(this.studio.player.loop));
  }

  toggleGraphs(): void {
    const shown = this.graphs.toggle();
    document.getElementById("graph-button")?.setAttribute("aria-pressed", String(shown));
    this.draw();
  }

  /** 0 shows all of it. */
  scale(factor: number): void {
    this.zoom = factor ? Math.min(Math.max(this.zoom * factor, 1), 40) : 1;
    this.draw();
  }

  private get seconds(): number {
    return this.studio.player.seconds;
  }

  private get width(): number {
    return Math.max(this.tracks.clientWidth - 2, 50) * this.zoom;
  }

  private state(): void {
    const { player } = this.studio;
    const name = player.playing ? "Pause" : "Play";
    this.play.replaceChildren(icon(player.playing ? "pause" : "play"));
    this.play.setAttribute("aria-label", name);
    this.play.title = `${name} (Space)`;
    this.play.disabled = !player.seconds;
    this.slider.max = String(player.seconds);
  }

  private last = -1;

  private moveHead(): void {
    const { time, playing } = this.studio.player;
    if (time === this.last) return;
    this.last = time;
    const x = this.seconds ? (time / this.seconds) * this.width : 0;
    this.head.style.transform = `translateX(${x}px)`;
    this.time.replaceChildren(el("b", {}, clock(time)), ` / ${clock(this.seconds)}`);
    this.slider.value = String(time);
    if (playing && this.zoom > 1) {
      const { scrollLeft, clientWidth } = this.tracks;
      if (x < scrollLeft || x > scrollLeft + clientWidth - 40) this.tracks.scrollLeft = x - 60;
    }
  }

  draw(): void {
    const { segments } = this.studio;
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["n"] : undefined;
    if (!this.seconds) {
      this.lane.replaceChildren(el("p", { class: "empty" }, "What you make appears here, step by step."));
      this.lane.style.width = "";
      this.last = -1;
      this.moveHead();
      return;
    }
    const px = this.width / this.seconds;
    this.lane.style.width = `${this.width}px`;
    const parts: HTMLElement[] = [this.ruler(px)];
    const groups = grouped(segments);
    if (groups.length) {
      const row = el("div", { class: "activities" });
      for (const g of groups) {
        const node = el("div", { class: "activity", title: g.name }, g.name);
        place(node, g.start * px, g.seconds * px - 2);
        row.append(node);
      }
      parts.push(row);
    }
    if (segments.length) {
      const list = el("ol", { class: "segments", "aria-label": "Segments" });
      segments.forEach((s) => list.append(this.segment(s, px, groups)));
      parts.push(list);
    }
    const voices = segments.filter((s) => s.sound);
    if (voices.length) parts.push(this.voices(voices, px));
    parts.push(...(this.keys?.rows(px) ?? []));
    if (this.graphs.shown) parts.push(this.graphs.draw(this.width));
    this.legend.hidden = !this.graphs.shown;
    this.hint.hidden = !segments.length || !!localStorage.getItem(HINT);
    this.lane.replaceChildren(...parts, this.stretch.draw(px), this.head);
    this.last = -1;
    this.moveHead();
    if (focused) this.lane.querySelector<HTMLElement>(`[data-n="${focused}"]`)?.focus();
  }

  private ruler(px: number): HTMLElement {
    const node = el("div", { class: "ruler" });
    const step = STEPS.find((s) => s * px >= TICK_PX) ?? 300;
    for (let t = 0; t < this.seconds; t += step) {
      const mark = el("i");
      mark.style.left = `${t * px}px`;
      const label = el("span", {}, step < 1 ? `${t.toFixed(1)}` : t < 60 ? `${t}s` : `${Math.floor(t / 60)}:${String(t % 60).padStart(2, "0")}`);
      label.style.left = `${t * px}px`;
      node.append(mark, label);
    }
    const seek = (event: PointerEvent): void => {
      this.studio.player.seek(this.secondAt(event, px));
      this.studio.redraw();
    };
    node.addEventListener("pointerdown", (event) => {
      node.setPointerCapture(event.pointerId);
      seek(event);
      node.onpointermove = seek;
    });
    node.addEventListener("pointerup", () => (node.onpointermove = null));
    return node;
  }

  private segment(s: Segment, px: number, groups: Group[]): HTMLElement {
    const item = el("li");
    place(item, s.start * px, s.seconds * px);
    const group = groups.findIndex((g) => g.first <= s.n && s.n <= g.last);
    const about = `Segment ${s.n}: ${s.caption}, ${s.seconds.toFixed(1)} seconds${s.rounds > 1 ? `, played ${s.rounds} times` : ""}${s.note ? `. Note: ${s.note}` : ""}`;
    const small = el("small", {}, s.draft ? "being made" : `${s.seconds.toFixed(1)} s`);
    if (s.rounds > 1) small.append(el("span", {}, `×${s.rounds}`));
    if (s.note) {
      const badge = el("span", { class: "badge" });
      badge.append(icon("note"), el("span", {}, s.note));
      small.append(badge);
    }
    const button = el(
      "button",
      {
        type: "button", class: s.draft ? "segment draft" : "segment", disabled: !!s.draft, "data-n": s.n, "aria-label": about, title: about,
        "aria-current": s.n === this.studio.selected, "aria-haspopup": "menu",
      },
      el("b", {}, s.name || plain(s.caption)), small, ...marks(s, px),
    ); // prettier-ignore
    button.style.setProperty("--hue", `var(--hue-${(group < 0 ? s.n - 1 : group) % HUES})`);
    button.addEventListener("click", (event) => {
      if (event.detail > 1 || this.stretch.dragged) return;
      this.studio.select(s.n);
      this.studio.player.seek(event.detail ? this.secondAt(event, px) : s.start);
      this.studio.redraw();
    });
    button.addEventListener("pointerdown", (event) => this.stretch.press(event, this.lane));
    button.addEventListener("dblclick", () => this.edit(s));
    button.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      const box = button.getBoundingClientRect();
      this.menu(s, event.clientX || box.left, event.clientY || box.bottom);
    });
    button.addEventListener("keydown", (event) => {
      const box = button.getBoundingClientRect();
      if (event.key === "F2") this.edit(s);
      else if (event.key === "Delete" || event.key === "Backspace") void this.studio.act(`delete ${s.n}`);
      else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
        const to = s.n + (event.key === "ArrowRight" ? 1 : -1);
        this.lane.querySelector<HTMLElement>(`.segment[data-n="${to}"]`)?.focus();
      } else if (event.key === "m" || event.key === "ContextMenu") this.menu(s, box.left, box.bottom);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    item.append(button);
    if (s.draft) return item;
    const titles = { start: "Drag to cut off the beginning", end: "Drag inwards to cut off the end, outwards or with Shift for another length" };
    for (const side of ["start", "end"] as const) {
      const edge = el("span", { class: `edge ${side}`, title: `${about}\n${titles[side]}`, "aria-hidden": "true" });
      edge.addEventListener("pointerdown", (event) => this.drag(event, edge, item, s, px, side));
      item.append(edge);
    }
    return item;
  }

  /** The second of the timeline under a pointer. */
  private secondAt(event: MouseEvent, px: number): number {
    return (event.clientX - this.lane.getBoundingClientRect().left) / px;
  }

  /** An end that is dragged inwards is cut off; outwards, or with Shift, the segment gets another length. */
  private drag(begun: PointerEvent, edge: HTMLElement, item: HTMLElement, s: Segment, px: number, side: "start" | "end"): void {
    begun.preventDefault();
    edge.setPointerCapture(begun.pointerId);
    edge.classList.add("dragging");
    const { player } = this.studio;
    const button = item.querySelector(".segment") as HTMLElement;
    const shown = item.querySelector("small") as HTMLElement;
    const shade = el("i", { class: "cut" });
    item.append(shade);
    item.style.zIndex = "2";
    let [seconds, line] = [s.seconds, ""]; // of what is left, and the act that leaves it
    edge.onpointermove = (event) => {
      const moved = (event.clientX - begun.clientX) / px;
      const longer = side === "end" && (begun.shiftKey || moved > 0);
      seconds = Math.max(LEAST, longer ? s.seconds + moved : Math.min(s.seconds, s.seconds + (side === "end" ? moved : -moved)));
      const cut = s.seconds - seconds;
      item.style.width = `${(longer ? seconds : s.seconds) * px}px`;
      place(shade, side === "end" ? seconds * px : 0, longer ? 0 : cut * px);
      shade.hidden = longer || cut < 0.05;
      button.style.paddingLeft = side === "start" ? `${cut * px + 9}px` : ""; // its words stay beside what goes
      shown.textContent = longer ? `${seconds.toFixed(1)} s` : `${seconds.toFixed(1)} s, ${cut.toFixed(1)} s cut off`;
      const at = side === "end" ? s.start + seconds : s.start + cut;
      line = longer ? `retime ${s.n} ${(Math.round(seconds * 20) / 20).toFixed(2)}s` : side === "end" ? cutLine(at, s.start + s.seconds) : cutLine(s.start, at);
      if (longer) return;
      player.pause();
      player.seek(side === "end" ? at - 0.05 : at); // the pose where it is cut
      this.studio.redraw();
    };
    edge.onpointerup = edge.onpointercancel = (event) => {
      edge.onpointermove = edge.onpointerup = edge.onpointercancel = null;
      this.known();
      this.studio.select(s.n);
      if (event.type === "pointerup" && line && Math.abs(seconds - s.seconds) >= 0.05) void this.studio.act(line).then((ok) => ok || this.draw());
      else {
        if (event.type === "pointerup") this.studio.player.seek(this.secondAt(event, px));
        this.studio.redraw();
        this.draw();
      }
    };
  }

  /** Other words for a segment, which is then made anew. */
  edit(s: Segment): void {
    const item = this.lane.querySelector(`.segment[data-n="${s.n}"]`)?.parentElement;
    if (!item) return;
    const input = el("input", { class: "words", value: s.caption, "aria-label": `Words of segment ${s.n}`, maxlength: 400 });
    item.append(input);
    item.style.zIndex = "5";
    input.select();
    let over = false;
    const close = (write: boolean): void => {
      if (over) return;
      over = true;
      this.known();
      const text = input.value.replaceAll("|", " ").trim();
      this.draw();
      if (write && text && text !== s.caption) void this.studio.act(`replace ${s.n}: ${text}`);
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") close(true);
      if (event.key === "Escape") close(false);
    });
    input.addEventListener("blur", () => close(false));
  }

  menu(s: Segment, x: number, y: number): void {
    this.studio.select(s.n);
    const { studio } = this;
    const act = (line: string) => (): void => void studio.act(line);
    const n = s.n;
    const made = s.kind === "made";
    const items: (Item | "-")[] = [
      { label: "Change the words…", hint: "double click", run: () => this.edit(s) },
      { label: "Another take", hint: "T", disabled: !made, run: act(`again ${n}`) },
      { label: "Mirror", run: act(`mirror ${n}`) },
      { label: "Length…", run: () => void this.length(s) },
      "-",
      { label: s.rounds > 1 ? "Play once" : "Loop twice", run: act(`loop ${n} x${s.rounds > 1 ? 1 : 2}`) },
      { label: "Loop…", run: () => void this.rounds(s) },
      { label: "Move earlier", disabled: n === 1, run: act(`move ${n} ${n - 1}`) },
      { label: "Move later", disabled: n === studio.session?.segments.length, run: act(`move ${n} ${n + 1}`) },
      { label: "Name…", run: () => void this.name(s) },
      { label: "Describe what it shows", run: act(`describe ${n}`) },
      "-",
      { label: "Delete", hint: "Del", danger: true, run: act(`delete ${n}`) },
    ];
    if (s.note) items.unshift({ label: `Note: ${s.note}`, run: () => tell(s.note) }, "-");
    showMenu(x, y, `Segment ${n}`, items);
  }

  private async length(s: Segment): Promise<void> {
    const seconds = await ask("Length", `Seconds of segment ${s.n}`, s.seconds.toFixed(1), "number", "Change");
    if (seconds) await this.studio.act(`retime ${s.n} ${Number(seconds).toFixed(2)}s`);
  }

  private async rounds(s: Segment): Promise<void> {
    const times = await ask("Loop", `How often segment ${s.n} is played`, String(Math.max(2, s.rounds)), "number", "Loop");
    if (times) await this.studio.act(`loop ${s.n} x${Math.round(Number(times))}`);
  }

  private async name(s: Segment): Promise<void> {
    const name = await ask("Name", `Name of segment ${s.n}`, s.name, "text", "Name it");
    if (name) await this.studio.act(`rename ${s.n}: ${name.replaceAll("|", " ")}`);
  }

  private voices(voices: Segment[], px: number): HTMLElement {
    const row = el("div", { class: "voices", role: "img", "aria-label": "Voice" });
    for (const s of voices) {
      const canvas = el("canvas", { width: Math.ceil(s.seconds * px), height: 24 });
      place(canvas, s.start * px, s.seconds * px - 2);
      row.append(canvas);
      void this.studio.sound(s.sound as string).then((buffer) => wave(canvas, buffer));
    }
    return row;
  }
}

interface Group {
  name: string;
  first: number;
  last: number;
  start: number;
  seconds: number;
}

function grouped(segments: Segment[]): Group[] {
  const out: Group[] = [];
  for (const s of segments) {
    const last = out.at(-1);
    const end = s.start + s.seconds;
    if (s.activity && last?.name === s.activity && last.last === s.n - 1) Object.assign(last, { last: s.n, seconds: end - last.start });
    else if (s.activity) out.push({ name: s.activity, first: s.n, last: s.n, start: s.start, seconds: s.seconds });
  }
  return out;
}

/** Where each action of a segment of several begins, with its words. */
function marks(s: Segment, px: number): HTMLElement[] {
  const actions = s.actions ?? [];
  return actions.map(({ caption, at }, i) => {
    const mark = el("i", { class: "mark", title: caption }, plain(caption));
    mark.style.left = `${100 * at}%`;
    mark.style.width = `${((actions[i + 1]?.at ?? 1) - at) * s.seconds * px}px`;
    return mark;
  });
}

const plain = (caption: string): string => caption.replace(/^(an?|the) (person|man|woman|figure) /i, "");

function place(node: HTMLElement, left: number, width: number): void {
  node.style.left = `${left}px`;
  node.style.width = `${Math.max(width, 6)}px`;
}

function wave(canvas: HTMLCanvasElement, buffer: AudioBuffer): void {
  const draw = canvas.getContext("2d") as CanvasRenderingContext2D;
  draw.fillStyle = getComputedStyle(canvas).getPropertyValue("--accent");
  const data = buffer.getChannelData(0);
  const step = data.length / canvas.width;
  const loudest = data.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-3);
  for (let x = 0; x < canvas.width; x++) {
    let peak = 0;
    for (let i = Math.floor(x * step); i < (x + 1) * step && i < data.length; i += 8) peak = Math.max(peak, Math.abs(data[i] as number));
    const height = Math.max(1, (peak / loudest) * 22);
    draw.fillRect(x, 12 - height / 2, 1, height);
  }
}
