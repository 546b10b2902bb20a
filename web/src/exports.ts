/** What can be taken home: files of the server, a film that the browser renders, the request, and Python. */

import * as api from "./api";
import { byId, el, save } from "./dom";
import { dialog, tell } from "./menu";
import { lastPreset, presetCards, remember, type Wanted } from "./presets";
import type { Studio } from "./studio";

const FORMS: [string, string, string][] = [
  ["glb", "GLB", "avatar with animation: Blender, Unity, Godot, web"],
  ["bvh", "BVH", "skeleton: every animation program"],
  ["vrma", "VRMA", "animation for VRM avatars"],
  ["fbx", "FBX", "Unreal, Maya"],
  ["npz", "NPZ", "arrays for Python"],
  ["csv", "CSV", "face curves, Live Link Face"],
];
const FILM_TYPES = ["video/mp4;codecs=avc1.42E01F,mp4a.40.2", "video/mp4", "video/webm;codecs=vp9,opus", "video/webm"];

export function exportMenu(studio: Studio): void {
  const has = studio.player.seconds > 0;
  const grid = el("div", { class: "files" });
  const n = studio.selected;
  const only = el("input", { type: "checkbox" });
  const part = studio.viewing || (studio.session?.segments.length ?? 0) < 2 || !n ? "" : el("label", { class: "only" }, only, `Segment ${n} alone`);
  const stretch = (): Record<string, string> => (only.checked ? { first: String(n), last: String(n) } : {});
  const attempt = async (run: () => Promise<void>): Promise<void> => {
    shown.node.close();
    try {
      await run();
    } catch (error) {
      studio.failed(error);
    }
  };
  const presets = presetCards(studio, !has, (preset, { form, options }) => {
    remember(preset);
    void attempt(() => file(studio, { form, options: { ...options, ...stretch() } }));
  });
  const shown = dialog(
    "Export",
    has ? "" : el("p", { class: "faint" }, "There is nothing to export yet: make a motion first."),
    presets, part, el("h3", {}, "Or as a file of your choice"), grid,
  ); // prettier-ignore
  const add = (name: string, about: string, run: () => Promise<void>): void => {
    grid.append(el("button", { type: "button", disabled: !has, onclick: () => void attempt(run) }, el("b", {}, name), el("small", {}, about)));
  };
  const written = studio.session?.motion;
  const forms = FORMS.filter(([form]) => form === "csv" || !written || form in written); // a .csv is a face's
  for (const [form, name, about] of forms) add(name, about, () => file(studio, { form, options: stretch() }));
  add("Film", "MP4 or WebM, rendered here as it plays", () => film(studio));
  add("Picture", "PNG of what you see", () => picture(studio));
  if (studio.viewing) return;
  add("Request", "JSON: words, lengths and seeds", async () => request(studio));
  add("Python", "what was done, as a script", () => python(studio));
}

const stem = (studio: Studio): string =>
  (studio.session?.segments[0]?.caption ?? studio.blend?.base.caption ?? "motion").replace(/^a person /, "").replace(/[^a-z0-9]+/gi, "-").slice(0, 40).replace(/^-|-$/g, "").toLowerCase() || "motion";

/** The file of the preset that was used last; the dialog where there was none. */
export function exportAgain(studio: Studio): void {
  const wanted = lastPreset(studio);
  if (!wanted || !studio.player.seconds) return exportMenu(studio);
  file(studio, wanted).catch((error: unknown) => studio.failed(error));
}

async function file(studio: Studio, { form, options }: Wanted): Promise<void> {
  tell(`Writing the .${form} …`);
  const spoken = studio.session?.segments.some((s) => s.clip);
  if (form === "csv" && !studio.viewing && !spoken) throw new api.Failure("A .csv holds a face; drop or record a voice first.", 400);
  const path = studio.viewing ? `/v1/exports/${studio.viewing}.${form}` : `/v1/sessions/${studio.session?.id}/exports.${form}`;
  save(await (await api.request(`${path}?${new URLSearchParams(options)}`)).blob(), `${stem(studio)}.${form}`);
  tell(`${stem(studio)}.${form} was saved.`);
}

async function picture(studio: Studio): Promise<void> {
  const blob = await new Promise<Blob | null>((done) => studio.stage.renderer.domElement.toBlob(done, "image/png"));
  if (blob) save(blob, `${stem(studio)}.png`);
}

/** Play once from the beginning and record what is drawn and heard. */
async function film(studio: Studio): Promise<void> {
  const type = FILM_TYPES.find((t) => MediaRecorder.isTypeSupported(t));
  if (!type) throw new api.Failure("This browser cannot record films.", 400);
  const { player, stage } = studio;
  await studio.work("Filming", async (progress, signal) => {
    const stream = stage.renderer.domElement.captureStream(30);
    if (player.hasSound) for (const track of player.stream().getAudioTracks()) stream.addTrack(track);
    const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 8_000_000 });
    const parts: Blob[] = [];
    recorder.ondataavailable = (event) => event.data.size && parts.push(event.data);
    const over = new Promise((done) => (recorder.onstop = done));
    const { loop, range } = player;
    player.loop = false;
    player.range = null;
    stage.opaque(true);
    recorder.start(500);
    player.play(0);
    while (player.playing && !signal.aborted) {
      progress({ done: player.time, total: player.seconds, stage: "Filming" });
      await new Promise((done) => setTimeout(done, 100));
    }
    await new Promise((done) => setTimeout(done, 150));
    recorder.stop();
    await over;
    stage.opaque(false);
    player.pause();
    Object.assign(player, { loop, range });
    if (signal.aborted) throw new DOMException("cancelled", "AbortError");
    save(new Blob(parts, { type }), `${stem(studio)}.${type.startsWith("video/mp4") ? "mp4" : "webm"}`);
  });
}

function request(studio: Studio): void {
  const segments = studio.session?.segments.map((s) => ({ prompt: s.caption, seconds: s.seconds, seed: s.seed, rounds: s.rounds, activity: s.activity || undefined }));
  const acts = studio.lines.flatMap((l) => l.acts ?? []);
  save(new Blob([JSON.stringify({ segments, acts }, null, 2)], { type: "application/json" }), `${stem(studio)}.json`);
}

async function python(studio: Studio): Promise<void> {
  const text = await api.getPython(studio.session?.id ?? "");
  const copy = el("button", { type: "button", class: "primary" }, "Copy");
  copy.addEventListener("click", () => void navigator.clipboard.writeText(text).then(() => (copy.textContent = "Copied")));
  const keep = el("button", { type: "button", class: "plain", onclick: () => save(new Blob([text]), `${stem(studio)}.py`) }, "Save");
  dialog("Python", el("pre", { tabindex: "0" }, text), el("div", { class: "row end" }, keep, copy));
  byId("toast").hidden = true;
}
