/** The page: puts the parts together. */

import * as api from "./api";
import { Chat } from "./chat";
import { Chips } from "./chips";
import { byId, el, iconButton } from "./dom";
import { exportAgain, exportMenu } from "./exports";
import { emotionPad } from "./feelings";
import { ACCEPTED, acceptDrops, addFiles, record } from "./files";
import { recall } from "./former";
import { icon } from "./icons";
import { Inspector } from "./inspector";
import { listen, sheet, type Shortcut } from "./keys";
import { ask, tell } from "./menu";
import { Moves } from "./moves";
import { Pulls } from "./pulls";
import { keepSessions, sessionList } from "./sessions";
import { Stage } from "./stage";
import { Stretch } from "./stretch";
import { Studio, type State } from "./studio";
import { Takes } from "./takes";
import { Timeline } from "./timeline";
import { Tracks } from "./tracks";
import { Waypoints } from "./waypoints";

const EXAMPLES = [
  "a person walks forward and waves",
  "plan 30 s: a morning at the gym",
  "a person dances, then bows",
  "sit down, then stand up and stretch",
];
const STATES: Record<State, string> = { loading: "Loading", ready: "Ready", busy: "Working", lost: "Server gone, trying again" };

function begun(): Stage {
  try {
    return new Stage(byId("stage"));
  } catch (error) {
    byId("link").dataset["state"] = "lost";
    byId("link").textContent = "This browser draws nothing: WebGL 2 is switched off or missing";
    throw error;
  }
}
const stage = begun();
const studio = new Studio(stage);
const words = byId<HTMLInputElement>("words");

// theme
const media = matchMedia("(prefers-color-scheme: dark)");
const themeButton = iconButton("dark", "Dark", () => setTheme(!isDark()));
const isDark = (): boolean => document.documentElement.dataset["theme"] === "dark";
function setTheme(dark: boolean, keep = true): void {
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  if (keep) localStorage.setItem("theme", dark ? "dark" : "light");
  const name = dark ? "Light colours" : "Dark colours";
  themeButton.replaceChildren(icon(dark ? "light" : "dark"));
  themeButton.setAttribute("aria-label", name);
  themeButton.title = name;
  stage.theme(dark);
}
const kept = localStorage.getItem("theme");
setTheme(kept ? kept === "dark" : media.matches, false);
media.addEventListener("change", () => localStorage.getItem("theme") ?? setTheme(media.matches, false));

// prompt
const mic = iconButton("mic", "Record a voice", () => void toggleRecording(), { id: "mic" });
const file = el("input", { type: "file", class: "hidden", multiple: true, accept: ACCEPTED, id: "file", tabindex: "-1", "aria-label": "Files" });
const add = iconButton("open", "Add a motion, an avatar or a voice", () => file.click(), { id: "add" });
const send = el("button", { class: "primary", type: "submit", id: "send" }, el("span", {}, "Make"));
send.append(icon("send"));
send.setAttribute("aria-label", "Make it");
const field = el("div", { class: "field" });
words.before(field);
field.append(words, add, mic);
byId("prompt").append(send, file);
file.addEventListener("change", () => {
  void addFiles(studio, [...(file.files ?? [])]);
  file.value = "";
});
byId("prompt").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = words.value.trim();
  const painting = tracks.ready;
  if ((!text && !painting) || studio.busy || studio.state === "loading") return;
  words.value = "";
  // who asks by touch wants to see what comes, not the keyboard
  if (matchMedia("(pointer: coarse)").matches) words.blur();
  void (painting ? tracks.make(text) : studio.send(text)).then((done) => {
    if (done || words.value) return;
    words.value = text;
    if (document.activeElement === words) words.select();
  });
});
recall(words, () => studio.lines.filter((line) => line.kind === "user").map((line) => line.text));
function suggest(text: string): void {
  words.value = text;
  words.focus();
}
let stop: (() => void) | null = null;
async function toggleRecording(): Promise<void> {
  if (stop) {
    stop();
    stop = null;
  } else {
    try {
      stop = await record(studio);
    } catch {
      tell("The microphone is not available to this page.", "error");
      return;
    }
  }
  mic.classList.toggle("recording", !!stop);
  const name = stop ? "Stop recording" : "Record a voice";
  mic.setAttribute("aria-label", name);
  mic.title = name;
  mic.replaceChildren(icon(stop ? "stop" : "mic"));
}
byId("examples").append(
  ...EXAMPLES.map((text) => el("button", { type: "button", class: "chip", onclick: () => void (studio.busy || studio.send(text)) }, text)),
);

// parts
const inspector = new Inspector(studio);
new Chips(studio);
const stretch = new Stretch(studio);
const timeline = new Timeline(byId("timeline"), studio, stretch);
const keysButton = iconButton("key", "Keys: way, poses, hands and feet (K)", () => tracks.toggle(), { "aria-pressed": "false", class: "tool edit" }, "Keys");
const tracks = new Tracks(studio, stretch, keysButton, () => (timeline.draw(), state()));
timeline.hold(tracks);
const stretchButton = iconButton("stretch", "Make a stretch anew (R)", () => stretch.toggle(), { class: "tool edit" }, "Stretch");
keepSessions(studio);
new Chat(byId("chat"), studio, suggest);
new Takes(studio);
acceptDrops(studio, byId("drop"));
const pathButton = iconButton("path", "Draw a path on the floor (P)", () => waypoints.toggle(), { "aria-pressed": "false", class: "tool wide edit" }, "Path");
const waypoints = new Waypoints(studio, pathButton);
const pullButton = iconButton("hand", "Pull a hand or a foot (H)", () => pulls.toggle(), { "aria-pressed": "false", class: "tool wide edit" }, "Pull");
const pulls = new Pulls(studio, pullButton);
const movesButton = iconButton("list", "Moves that the model knows (B)", () => moves.toggle(), { class: "tool edit" }, "Moves");
const moves = new Moves(studio, movesButton, suggest);
const undo = iconButton("undo", "Undo (Ctrl+Z)", () => void studio.travel("undo"), { id: "undo", class: "tool edit" }, "Undo");
const redo = iconButton("redo", "Redo (Ctrl+Shift+Z)", () => void studio.travel("redo"), { id: "redo", class: "tool edit" }, "Redo");
const take = el("button", { type: "button", class: "plain", id: "export", onclick: () => exportMenu(studio) });
take.append(icon("download"), "Export");
take.setAttribute("aria-label", "Export");
const gap = (): HTMLElement => el("span", { class: "gap" });
const bare = iconButton("body", "Our own avatar again", () => studio.undress(), { id: "own-avatar", hidden: true }, "Own avatar");
byId("tools").append(
  undo, redo, gap(), bare, movesButton, iconButton("face", "Emotion (E)", () => emotionPad(studio), { class: "tool edit" }, "Emotion"), pathButton, pullButton, keysButton, stretchButton, gap(),
  iconButton("clock", "Sessions (S)", () => sessionList(studio), { class: "tool edit" }, "Sessions"), themeButton,
  iconButton("help", "Keyboard (?)", () => sheet(shortcuts), { class: "tool wide" }, "Help"), take,
); // prettier-ignore

// view
const follow = iconButton("target", "Camera follows (F)", () => setFollow(!stage.follow), { "aria-pressed": "true" }, "Follow");
function setFollow(on: boolean): void {
  stage.follow = on;
  follow.setAttribute("aria-pressed", String(on));
  studio.redraw();
}
byId("view").append(
  follow,
  iconButton("body", "Whole body (1)", () => stage.look(false), {}, "Body"),
  iconButton("close_up", "Face (2)", () => stage.look(true), {}, "Face"),
);

const step = (frames: number) => (): void => {
  studio.player.pause();
  studio.player.seek(studio.player.time + frames / (studio.blend?.base.fps ?? 20));
  studio.redraw();
};
const chosen = (line: (n: number) => string) => (): void => {
  const n = studio.selected;
  if (n) void studio.act(line(n));
  else tell("Select a segment of the timeline first.");
};
const shortcuts: Shortcut[] = [
  { keys: "/", about: "Write in the prompt", run: () => words.focus() },
  { keys: "Space", about: "Play, pause", run: () => studio.player.toggle() },
  { keys: "ArrowUp", about: "Earlier prompt, in the empty box" },
  { keys: "ArrowDown", about: "Later prompt" },
  { keys: "ArrowLeft", about: "One frame back", run: step(-1) },
  { keys: "ArrowRight", about: "One frame on", run: step(1) },
  { keys: "Home", about: "To the beginning", run: () => (studio.player.seek(0), studio.redraw()) },
  { keys: "End", about: "To the end", run: () => (studio.player.seek(studio.player.seconds), studio.redraw()) },
  { keys: "Ctrl+Z", about: "Undo", run: () => void studio.travel("undo") },
  { keys: "Ctrl+Shift+Z or Ctrl+Y", about: "Redo", run: () => void studio.travel("redo") },
  { keys: "T", about: "Another take of the selected segment", run: chosen((n) => `again ${n}`) },
  { keys: "V", about: "Four variants of it side by side, of which one is kept", run: () => inspector.vary() },
  { keys: "[", about: "Cut off what is before the playhead", run: () => inspector.cut("start") },
  { keys: "]", about: "Cut off what is after the playhead", run: () => inspector.cut("end") },
  { keys: "M", about: "Menu of the segment that has the focus" },
  { keys: "F2", about: "Change its words" },
  { keys: "Delete or Backspace", about: "Delete the selected segment", run: chosen((n) => `delete ${n}`) },
  { keys: "L", about: "Play over and over", run: () => timeline.toggleLoop() },
  { keys: "G", about: "Graphs", run: () => timeline.toggleGraphs() },
  { keys: "B", about: "Browse the moves that the model knows", run: () => moves.toggle() },
  { keys: "E", about: "Emotion", run: () => emotionPad(studio) },
  { keys: "P", about: "Draw a path on the floor", run: () => waypoints.toggle() },
  { keys: "H", about: "Pull a hand or a foot to a place", run: () => pulls.toggle() },
  { keys: "K", about: "Keys: way, poses, hands and feet", run: () => tracks.toggle() },
  { keys: "R", about: "Make a stretch anew", run: () => stretch.toggle() },
  { keys: "Escape", about: "Leave the stretch", run: () => stretch.set(null) },
  { keys: "S", about: "Sessions", run: () => sessionList(studio) },
  { keys: "F", about: "Camera follows", run: () => setFollow(!stage.follow) },
  { keys: "1", about: "Whole body", run: () => stage.look(false) },
  { keys: "2", about: "Face", run: () => stage.look(true) },
  { keys: "+ or =", about: "Zoom into the timeline", run: () => timeline.scale(1.5) },
  { keys: "0", about: "Show all of the timeline", run: () => timeline.scale(0) },
  { keys: "Ctrl+E", about: "Export", run: () => exportMenu(studio) },
  { keys: "Ctrl+Shift+E", about: "Export again, for the same program", run: () => exportAgain(studio) },
  { keys: "?", about: "This sheet", run: () => sheet(shortcuts) },
];
listen(shortcuts);

// states
function state(): void {
  const link = byId("link");
  link.dataset["state"] = studio.state;
  link.textContent = STATES[studio.state];
  const { session, busy } = studio;
  undo.disabled = !session?.can_undo || !!busy;
  redo.disabled = !session?.can_redo || !!busy;
  send.disabled = !!busy || studio.state !== "ready";
  take.disabled = studio.state === "loading";
  bare.hidden = !studio.avatar || studio.avatar.name === "AvatarGPT";
  byId("welcome").hidden = studio.state === "loading" || !!studio.player.seconds || !!busy || !!studio.viewing;
  words.placeholder = stretch.range ? "What happens there, or nothing" : tracks.ready ? "Make leads it through the keys; with words it is made anew" : studio.player.seconds ? "What happens next, or what should change?" : (EXAMPLES[0] as string);
  const pill = byId("busy");
  pill.hidden = !busy;
  byId("busy-text").textContent = busy?.text ?? "";
  const bar = byId<HTMLProgressElement>("busy-bar");
  bar.hidden = !busy || busy.share === null;
  if (busy?.share !== null && busy) bar.value = busy.share;
}
for (const event of ["state", "busy", "session", "clip"] as const) studio.on(event, state);
stretch.onChange(state);
byId("busy-stop").addEventListener("click", () => studio.busy?.stop?.());
api.onMissingKey(() => ask("Key", "This server asks for its key", "", "password", "Enter"));
state();

// what tests and curious people look at
const about = {
  studio,
  get joints(): unknown {
    return studio.stand[0]?.wearer.joints() ?? studio.avatar?.joints() ?? {};
  },
  get morphs(): Record<string, number> {
    return studio.avatar?.morphs() ?? {};
  },
  get time(): number {
    return studio.player.time;
  },
  get frame(): number {
    return Math.floor(studio.player.time * (studio.blend?.base.fps ?? 20));
  },
  get heard(): number {
    return studio.player.heard();
  },
  /** Milliseconds of script of the last frames. */
  get cost(): number[] {
    return stage.cost;
  },
  tracks,
  stretch,
  get draws(): { calls: number; triangles: number } {
    const { calls, triangles } = stage.renderer.info.render;
    return { calls, triangles };
  },
};
declare global {
  interface Window {
    studio: typeof about;
  }
}
window.studio = about;

studio.begin().then(
  () => {
    if (!studio.player.seconds) words.focus({ preventScroll: true });
    state();
  },
  (error: unknown) => {
    studio.failed(error);
    byId("link").textContent = error instanceof Error ? error.message : "The page could not be loaded";
  },
);
