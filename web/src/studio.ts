/** The session, and what it shows: the one place that changes either. */

import * as api from "./api";
import { Blend, type Layer } from "./blend";
import { alike, changed, spliced } from "./drafts";
import { tell } from "./menu";
import { Player } from "./player";
import { answersOf } from "./questions";
import { emptyPose, type Clip, type Pose, type Shape } from "./frames";
import type { Stage } from "./stage";
import { faceOf, Moved, Own, parse, Vrm, type Wearer } from "./wear";

export type State = "loading" | "ready" | "busy" | "lost";

export interface Line {
  kind: "user" | "reply" | "about";
  text: string;
  acts?: string[];
  ok?: boolean;
  files?: { name: string; href: string }[];
}

export interface Busy {
  text: string;
  share: number | null;
  stop: (() => void) | null;
}

type Event = "session" | "state" | "busy" | "lines" | "clip" | "select" | "words";

const CLIPS = 24; // clips that are kept
const BEAT = 4000; // ms between looks at whether the server is there

export class Studio {
  session: api.Session | null = null;
  state: State = "loading";
  busy: Busy | null = null;
  lines: Line[] = [];
  selected = 0;
  blend: Blend | null = null;
  /** A single motion is looked at; nothing can be changed. */
  viewing = "";
  readonly player = new Player();
  private own: Own | null = null;
  private wearer: Wearer | null = null;
  private character: { id: string; name: string } | null = null;
  private listeners: Partial<Record<Event, (() => void)[]>> = {};
  private clips = new Map<string, Promise<Clip>>();
  private sounds = new Map<string, Promise<AudioBuffer>>();
  private shown = "";
  private faceOver = "";

  constructor(readonly stage: Stage) {
    stage.tick = () => this.tick();
    stage.controls.addEventListener("change", () => (this.refresh = true));
    this.player.onChange(() => stage.touch());
  }

  on(event: Event, run: () => void): void {
    (this.listeners[event] ??= []).push(run);
  }

  emit(event: Event): void {
    for (const run of this.listeners[event] ?? []) run();
  }

  private tick(): boolean {
    const moved = this.player.tick();
    if (moved || this.refresh) this.pose();
    const changed = moved || this.refresh;
    this.refresh = false;
    return changed;
  }
  private refresh = false;
  /** Extra bodies that are shown in place of the timeline's. */
  stand: { wearer: Wearer; clip: Clip; pose: Pose; at: number; draw: (seconds: number) => void }[] = [];

  /** Draw the pose of the present time again. */
  redraw(): void {
    this.refresh = true;
    this.stage.touch();
  }

  private pose(): void {
    for (const one of this.stand) one.draw(this.player.time);
    if (this.stand.length || !this.wearer) return;
    const { blend, wearer, posed } = this;
    if (posed) wearer.wear(posed.shape, posed.pose, this.player.time);
    else if (blend) wearer.wear(blend.shape, blend.at(this.player.time), this.player.time);
    else {
      const rest = this.atRest();
      wearer.wear(rest.shape, rest.pose, 0);
    }
    // who has no face of his own to show looks at the one who watches
    if (!blend?.shape.face.length && wearer instanceof Own) wearer.lookAt(this.stage.camera.position);
  }

  /** A file of the user's that wears the motion. */
  get worn(): { id: string; name: string } | null {
    return this.character;
  }

  /** A pose that is worn in place of that of the timeline. */
  posed: { shape: Shape; pose: Pose } | null = null;

  /** Our avatar as it stands where there is no motion yet. */
  atRest(): { shape: Shape; pose: Pose } {
    const shape = (this.own as Own).shape();
    const pose = emptyPose(shape);
    pose.root[1] = HIPS;
    shape.joints.forEach((name, j) => pose.turns.set(HANGING[name] ?? [0, 0, 0, 1], 4 * j));
    return { shape, pose };
  }

  /** Seconds behind the end of the motion, for keys of what comes next. */
  get room(): number {
    return this.behind;
  }
  set room(seconds: number) {
    this.behind = seconds;
    this.player.seconds = (this.blend?.seconds ?? 0) + seconds;
    this.player.seek(this.player.time);
    this.emit("clip");
    this.redraw();
  }
  private behind = 0;

  get avatar(): Wearer | null {
    return this.wearer;
  }

  twin(): Own {
    return (this.own as Own).twin();
  }

  // beginning

  async begin(): Promise<void> {
    const bytes = await (await api.request("/v1/avatar.glb")).arrayBuffer();
    this.own = new Own((await parse(bytes)).scene);
    this.put(this.own);
    const hash = new URLSearchParams(location.hash.slice(1));
    this.viewing = hash.get("view") ?? "";
    if (this.viewing) {
      document.body.classList.add("viewing");
      await this.view(this.viewing, hash.has("sound"));
    } else await this.resume(hash.get("s") ?? "");
    this.setState("ready");
    if (!this.viewing) setInterval(() => void this.beat(), BEAT);
  }

  private async view(id: string, sound: boolean): Promise<void> {
    const clip = await api.frames(`/v1/exports/${id}.frames`);
    document.title = `${clip.caption || "Motion"} · AvatarGPT`;
    this.setBlend(new Blend(clip, []));
    // browsers let a page be heard only after a click
    if (sound) this.player.setSounds([{ start: 0, buffer: await this.sound(`/v1/uploads/${id}`) }]);
    else this.player.play(0);
  }

  private async resume(id: string): Promise<void> {
    if (!id) return;
    try {
      await this.take(await api.getSession(id));
      await this.restoreCharacter();
    } catch (error) {
      if (!(error instanceof api.Failure) || error.status !== 404) throw error;
      history.replaceState(null, "", location.pathname);
      this.say({ kind: "about", text: "That session is not there any more; this is a new one.", ok: false });
    }
  }

  private async beat(): Promise<void> {
    if (document.hidden || this.busy) return;
    try {
      await api.health();
      if (this.state === "lost") await this.back();
    } catch {
      this.lost();
    }
  }

  private lost(): void {
    if (this.state === "lost") return;
    this.setState("lost");
    setTimeout(() => void this.beat(), 1000);
  }

  private async back(): Promise<void> {
    this.setState("ready");
    const id = this.session?.id;
    if (id) {
      try {
        await this.take(await api.getSession(id));
      } catch (error) {
        this.failed(error);
        return;
      }
    }
    tell("The server is back.");
  }

  private setState(state: State): void {
    this.state = state;
    this.emit("state");
  }

  // turns

  /** The session's id; there is one from the first thing that is done. */
  async id(): Promise<string> {
    if (!this.session) {
      this.session = await api.newSession();
      history.replaceState(null, "", `#s=${this.session.id}`);
    }
    return this.session.id;
  }

  /** Words of the user. False where they did not arrive, or were refused: nothing was done, no answers are offered. */
  async send(text: string, line: Line = { kind: "user", text }): Promise<boolean> {
    this.say(line);
    const arrived = await this.turn({ text }, "Reading");
    if (this.state === "lost") {
      this.lines = this.lines.filter((l) => l !== line);
      this.emit("lines");
    }
    return arrived && !this.refused;
  }
  private refused = false;

  /** Take back the open question: a turn that changes nothing does. */
  async neither(): Promise<boolean> {
    return this.work("Working", async (_, signal) => {
      await this.take((await api.takeTurn(await this.id(), { acts: ["chat"] }, signal)).session);
      this.say({ kind: "about", text: "Nothing was changed. Say it in other words." });
    });
  }

  /** Acts, as the conversation knows them; what is done is listed beside. */
  async act(...acts: string[]): Promise<boolean> {
    return this.turn({ acts }, "Working");
  }

  /** Undo or redo; what is being done is waited for, and where it changes nothing, there is nothing to take back. */
  async travel(act: "undo" | "redo"): Promise<boolean> {
    while (this.busy) if (!(await new Promise<boolean>((changed) => this.waiting.push(changed)))) return false;
    return this.act(act);
  }
  private waiting: ((changed: boolean) => void)[] = [];

  /** An act with keys of the timeline; what comes of it is told by the answer. False where it could not be done. */
  async paint(act: string, keys: api.Keys | undefined): Promise<boolean> {
    const arrived = await this.turn({ acts: [act], ...(keys ? { keys } : {}) }, "Making the stretch");
    return arrived && !this.refused;
  }

  private async turn(turn: api.Said, text: string): Promise<boolean> {
    return this.work(text, async (progress, signal) => {
      const id = await this.id();
      const watching = new AbortController();
      const draft = (d: api.Draft): void => void this.drafted(d, watching.signal);
      void api.watch(id, { progress, draft }, watching.signal);
      try {
        const done = await api.takeTurn(id, turn, signal);
        watching.abort();
        await this.done(done);
      } finally {
        watching.abort();
        if (this.draft) await this.undraft();
      }
    });
  }

  /** What is being made: where it begins, and the segments with it in place. */
  private draft: { start: number; segments: api.Segment[] } | null = null;

  /** The selected segment, where there is one that can be changed. */
  get segment(): api.Segment | undefined {
    return this.viewing ? undefined : this.segments.find((s) => s.n === this.selected && !s.draft);
  }

  /** The segments as the timeline shows them: while something is made, as far as it has come. */
  get segments(): api.Segment[] {
    return this.draft?.segments ?? this.session?.segments ?? [];
  }

  /** Play what there is of a turn that goes on. */
  private async drafted({ frames, take, n, start, seconds, caption, activity }: api.Draft, signal: AbortSignal): Promise<void> {
    if (this.character && !(this.wearer instanceof Vrm)) return; // it moves by the server's retargeting alone
    const clip = await api.frames(`${frames}?take=${take}`).catch(() => null);
    if (!clip || signal.aborted) return;
    const first = !this.draft;
    const one: api.Segment = { n, caption, name: "", activity, start, seconds, rounds: 1, note: "", kind: "made", focus: true, draft: true,
      seed: null, tempo: 1, mirrored: false, actions: [], clip: null, sound: null };
    const layers = (this.blend?.layers ?? []).filter((l) => l.faceOnly || l.start + l.seconds <= start + 0.01);
    this.draft = { start: this.draft?.start ?? start, segments: [...this.segments.slice(0, n - 1), one] };
    this.player.more = true;
    if (first) this.player.setSounds([]);
    this.setBlend(new Blend(spliced(this.blend?.base ?? null, start, clip), layers));
    if (first) this.player.play(start);
    if (this.busy) this.busy.text = "Making the rest";
    this.emit("busy");
  }

  /** Back to what the session holds. */
  private async undraft(): Promise<void> {
    this.draft = null;
    this.player.more = false;
    this.shown = "";
    if (this.session && this.state !== "lost") await this.reload();
    this.emit("session");
  }

  private async done({ reply, session }: api.Done): Promise<void> {
    const before = this.session?.segments ?? [];
    this.refused = !!reply && !reply.ok && !reply.acts.length && !answersOf(session.question ?? "").length;
    if (reply) {
      const { text, acts, ok, files = [] } = reply;
      this.say({ kind: "reply", text: reply.question && !text ? reply.question : text, acts, ok, files });
    }
    const draft = this.draft && this.blend ? { start: this.draft.start, clip: this.blend.base } : null;
    this.draft = null;
    this.player.more = false;
    if (draft) this.shown = "";
    await this.take(session);
    const first = changed(session.segments, before);
    if (!first) return;
    this.select(first.n);
    if (session.takes.length > 1) return;
    // what is kept may be another movement than what was played so far; else it goes on
    const goesOn = draft && this.blend && alike(this.blend.base, draft.clip, draft.start) && this.player.playing;
    if (!goesOn) this.player.play(first.start);
  }

  /** Do something long: one at a time, with progress, cancelled by its button. */
  async work(text: string, run: (progress: (p: api.Progress) => void, signal: AbortSignal) => Promise<void>): Promise<boolean> {
    if (this.busy) {
      tell("One moment: something is still being made.");
      return false;
    }
    const control = new AbortController();
    let arrived = false;
    this.refused = false;
    this.busy = { text, share: null, stop: () => control.abort() };
    this.setState("busy");
    this.emit("busy");
    try {
      await run(({ done, total, stage }) => {
        if (!this.busy) return;
        this.busy.share = total > 1 ? done / total : null;
        if (!this.draft) this.busy.text = stage && stage !== "running" && stage !== "queued" ? stage : total > 1 ? `Making ${done} of ${total}` : "Making the motion";
        this.emit("busy");
      }, control.signal);
      arrived = true;
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy = null;
      if (this.state === "busy") this.setState("ready");
      this.emit("busy");
      for (const next of this.waiting.splice(0)) next(arrived && !this.refused);
    }
    return arrived;
  }

  failed(error: unknown): void {
    if (error instanceof DOMException && error.name === "AbortError") {
      this.say({ kind: "about", text: "Cancelled; nothing was changed." });
      return;
    }
    if (error instanceof api.Failure && error.status === 0) {
      this.lost();
      return;
    }
    const text = error instanceof Error ? error.message : String(error);
    this.say({ kind: "about", text, ok: false });
    tell(text, "error");
  }

  say(line: Line): void {
    this.lines.push(line);
    this.emit("lines");
  }

  select(n: number): void {
    this.selected = n;
    this.emit("select");
  }

  // what is shown

  async take(session: api.Session, turns = this.session?.id === session.id && this.lines.length ? undefined : session.turns): Promise<void> {
    this.session = session;
    history.replaceState(null, "", `#s=${session.id}`);
    if (turns) {
      this.lines = turns.flatMap((t): Line[] => [
        ...(isActs(t) ? [] : [{ kind: "user", text: t.user } as Line]),
        t.user ? { kind: "reply", text: t.reply, acts: t.acts, ok: t.ok ?? true } : { kind: "about", text: t.reply },
      ]);
      this.emit("lines");
    }
    if (!session.segments.some((s) => s.n === this.selected)) this.selected = session.segments.find((s) => s.focus)?.n ?? 0;
    await this.reload();
    this.emit("session");
  }

  private async reload(): Promise<void> {
    const session = this.session as api.Session;
    const key = `${session.id} ${session.version} ${this.faceOver}`;
    if (key === this.shown) return;
    this.shown = key;
    if (!session.segments.length) {
      this.blend = null;
      this.player.pause();
      this.player.seconds = this.behind;
      this.player.setSounds([]);
      this.emit("clip");
      this.redraw();
      return;
    }
    const base = await this.clip(`/v1/sessions/${session.id}/frames?version=${session.version}`);
    const over = localStorage.getItem(`face ${session.id}`);
    const layers: Layer[] = [];
    if (over) {
      const clip = await this.clip(`/v1/exports/${over}.frames`).catch(() => null);
      if (clip) layers.push({ clip, start: 0, seconds: session.seconds, faceOnly: true });
    }
    const sounds: Promise<{ start: number; buffer: AudioBuffer }>[] = [];
    for (const segment of session.segments) {
      if (segment.clip) {
        const clip = await this.clip(segment.clip).catch(() => null);
        if (clip && (clip.face.length || clip.joints.length > 22)) {
          layers.push({ clip, start: segment.start, seconds: segment.seconds, faceOnly: false });
        }
      }
      if (segment.sound) sounds.push(this.sound(segment.sound).then((buffer) => ({ start: segment.start, buffer })));
    }
    if (key !== this.shown) return; // what came later is shown already
    this.setBlend(new Blend(base, layers));
    this.player.setSounds(await Promise.all(sounds));
    if (this.character) await this.wearCharacter();
    this.emit("clip");
  }

  private setBlend(blend: Blend): void {
    this.blend = blend;
    this.player.seconds = blend.seconds + this.behind;
    this.player.time = Math.min(this.player.time, this.player.seconds);
    this.redraw();
    this.emit("clip");
  }

  /** Lay a face over the whole timeline; empty takes it away. */
  async setFace(id: string): Promise<void> {
    const key = `face ${await this.id()}`;
    if (id) localStorage.setItem(key, id);
    else localStorage.removeItem(key);
    this.faceOver = id;
    this.shown = "";
    await this.reload();
  }

  clip(path: string): Promise<Clip> {
    const present = this.clips.get(path);
    if (present) return present;
    const made = api.frames(path);
    this.clips.set(path, made);
    made.catch(() => this.clips.delete(path));
    if (this.clips.size > CLIPS) this.clips.delete(this.clips.keys().next().value as string);
    return made;
  }

  sound(path: string): Promise<AudioBuffer> {
    let made = this.sounds.get(path);
    if (!made) {
      made = api
        .request(path)
        .then((r) => r.arrayBuffer())
        .then((bytes) => this.player.audio().decodeAudioData(bytes));
      made.catch(() => this.sounds.delete(path));
      this.sounds.set(path, made);
    }
    return made;
  }

  /** Append a motion of the server's store, and say so in a line. */
  async append(motion: string, caption: string, line: string): Promise<void> {
    const { reply, session } = await api.append(await this.id(), motion, caption);
    if (reply && !reply.ok) throw new api.Failure(reply.text, 400);
    this.say({ kind: "about", text: line });
    await this.done({ reply: null, session });
  }

  // who wears it

  private put(wearer: Wearer): void {
    const old = this.wearer;
    this.wearer = wearer;
    this.stage.show([wearer]);
    if (old && old !== this.own && old !== wearer) old.dispose();
    this.redraw();
  }

  /** Back from takes to the one body. */
  alone(): void {
    this.stand = [];
    if (this.wearer) this.stage.show([this.wearer]);
    this.redraw();
  }

  /** Our own avatar again. */
  undress(): void {
    this.character = null;
    if (this.session) localStorage.removeItem(`avatar ${this.session.id}`);
    if (this.own) this.put(this.own);
    this.emit("clip");
  }

  /** An avatar of the server's store: a VRM moves at once, others through the server's retargeting. */
  async dress(id: string, name: string): Promise<void> {
    const [key, before] = [`avatar ${await this.id()}`, this.character];
    this.character = { id, name };
    try {
      if (/\.vrm$/i.test(name)) {
        const gltf = await parse(await (await api.request(`/v1/uploads/${id}`)).arrayBuffer(), name);
        const vrm = gltf.userData["vrm"];
        if (!vrm) throw new Error(`${name}: the file holds no VRM avatar.`);
        this.put(new Vrm(vrm, name));
      } else await this.wearCharacter();
    } catch (error) {
      if (!(error instanceof Waits)) this.character = before; // else each turn to come would fail as this did
      throw error;
    } finally {
      localStorage.setItem(key, JSON.stringify(this.character));
    }
    this.emit("clip");
  }

  /** Which shapes the face of the present avatar has. */
  get face(): string {
    return this.wearer && this.own ? faceOf(this.wearer, this.own.shapes()) : "";
  }

  private async restoreCharacter(): Promise<void> {
    const kept = localStorage.getItem(`avatar ${this.session?.id}`);
    if (!kept) return;
    const { id, name } = (JSON.parse(kept) ?? {}) as { id?: string; name?: string };
    if (id && name) await this.dress(id, name).catch(() => this.undress());
  }

  private async wearCharacter(): Promise<void> {
    const { character, session } = this;
    if (!character || /\.vrm$/i.test(character.name)) return;
    if (!session?.segments.length) {
      if (/\.fbx$/i.test(character.name)) throw new Waits(`${character.name} is shown as soon as there is a motion for it; make one first.`);
      const bytes = await (await api.request(`/v1/uploads/${character.id}`)).arrayBuffer();
      return this.put(new Moved(await parse(bytes, character.name), character.name, false));
    }
    const path = `/v1/sessions/${session.id}/exports.glb?character=${character.id}`;
    this.put(new Moved(await parse(await (await api.request(path)).arrayBuffer(), character.name), character.name));
  }
}

/** A character that is worn, but not shown before there is a motion. */
class Waits extends Error {}

/** Turns that were clicked, not said, are written as the acts themselves; what was appended has no words. */
const isActs = (turn: api.Turn): boolean => !turn.user || turn.user === turn.acts.join(" | ");

// an avatar that has nothing to do yet
const HIPS = 0.925; // metres over the soles
const turned = (z: number, y = 0): number[] => [0, Math.sin(y / 2), Math.sin(z / 2), Math.cos(Math.hypot(z, y) / 2)];
const HANGING: Record<string, number[]> = {
  l_shoulder: turned(-1.22), r_shoulder: turned(1.22), l_elbow: turned(0, -0.16), r_elbow: turned(0, 0.16),
}; // prettier-ignore
