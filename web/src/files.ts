/** Files that are dropped or chosen, and the voice that is recorded: motions, avatars, sounds, films. */

import * as api from "./api";
import { dialog } from "./menu";
import { el } from "./dom";
import type { Studio } from "./studio";

export const ACCEPTED = ".bvh,.glb,.gltf,.vrm,.vrma,.fbx,.npz,.npy,.c3d,.csv,.json,.wav,.flac,.ogg,.mp3,.m4a,.webm,.mp4,.mov";
const DECODED = /\.(mp3|m4a|aac|weba)$/i; // sounds that the browser reads for the server
const RATE = 16_000; // Hz of a recording

/** Emotion that voices are spoken with, as the pad has it. */
export const feeling = { emotion: "" };

export async function addFiles(studio: Studio, files: Iterable<File>): Promise<void> {
  for (const file of files) {
    await studio.work(`Reading ${file.name}`, (progress, signal) => addFile(studio, file, progress, signal));
  }
}

type Report = (p: api.Progress) => void;

async function addFile(studio: Studio, file: File, progress: Report, signal: AbortSignal): Promise<void> {
  const sound = DECODED.test(file.name);
  const body = sound ? await asWav(studio, file) : file;
  const sent = await api.upload(body, sound ? file.name.replace(DECODED, ".wav") : file.name);
  if (/\.vrm$/i.test(file.name) || sent.kind === "avatar") return wear(studio, sent, file.name);
  if (sent.kind === "sound") return speak(studio, sent.id, file.name, progress, signal);
  if (sent.kind === "film") {
    progress({ done: 0, total: 0, stage: `Watching ${file.name}` });
    const motions = await api.work("/v1/capture", { film: sent.id }, progress, signal);
    return described(studio, motions[0], file.name);
  }
  if (sent.kind === "motion" && sent.motion) {
    if (sent.character && /\.(glb|gltf|fbx)$/i.test(file.name) && (await asks(file.name)) === "wear") {
      return wear(studio, sent, file.name);
    }
    return described(studio, sent.motion, file.name);
  }
  throw new api.Failure(`${file.name}: a ${sent.kind} has no place here; accepted a motion, an avatar or a voice.`, 400);
}

/** A file with a character and a motion: which of both? */
async function asks(name: string): Promise<string> {
  const pick = (value: string, text: string): HTMLElement =>
    el("button", { type: "button", class: "plain", onclick: () => shown.node.close(value) }, text);
  const shown = dialog(
    name, el("p", {}, "The file holds a character and a motion. What do you want of it?"), el("p", {}, "\u00a0"),
    el("div", { class: "row end" }, pick("wear", "Wear the character"), pick("motion", "Add the motion")),
  ); // prettier-ignore
  return shown.closed;
}

async function wear(studio: Studio, sent: api.Upload, name: string): Promise<void> {
  await studio.dress(sent.id, name);
  studio.say({ kind: "about", text: `${name} ${studio.player.seconds ? "wears the motion" : "waits for a motion"}. ${studio.face}` });
}

async function described(studio: Studio, motion: api.MotionInfo | undefined, name: string): Promise<void> {
  if (!motion) throw new api.Failure(`${name}: no motion was found in it.`, 400);
  const { descriptions } = motion.channels.body ? await api.describe(motion.id) : { descriptions: [] };
  const text = descriptions[0] ?? motion.prompt;
  const line = text ? `${name} shows: ${text}` : `${name} was read.`;
  if (motion.channels.body) return studio.append(motion.id, text, line);
  studio.say({ kind: "about", text: line });
  await studio.setFace(motion.id);
}

async function speak(studio: Studio, sound: string, name: string, progress: Report, signal: AbortSignal): Promise<void> {
  progress({ done: 0, total: 0, stage: "Listening to the voice" });
  const body = feeling.emotion ? { sound, emotion: feeling.emotion } : { sound };
  const [motion] = await api.work("/v1/speak", body, (p) => progress({ ...p, stage: "Speaking" }), signal);
  if (!motion) throw new api.Failure(`${name}: no motion came of it.`, 400);
  await studio.append(motion.id, motion.prompt || "a person speaks", `${name} is spoken: lips, face and hands go with it.`);
}

/** Record until `stop` is called; the recording becomes a voice of the timeline. */
export async function record(studio: Studio): Promise<() => void> {
  const media = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
  const recorder = new MediaRecorder(media);
  const parts: Blob[] = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    for (const track of media.getTracks()) track.stop();
    void studio.work("Hearing the recording", async (progress, signal) => {
      const wav = await asWav(studio, new Blob(parts, { type: recorder.mimeType }));
      const sent = await api.upload(wav, "recording.wav");
      await speak(studio, sent.id, "recording", progress, signal);
    });
  };
  recorder.start();
  return () => recorder.stop();
}

async function asWav(studio: Studio, file: Blob): Promise<Blob> {
  const heard = await studio.player.audio().decodeAudioData(await file.arrayBuffer());
  const off = new OfflineAudioContext(1, Math.ceil(heard.duration * RATE), RATE);
  const source = off.createBufferSource();
  source.buffer = heard;
  source.connect(off.destination);
  source.start();
  const data = (await off.startRendering()).getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * data.length));
  const text = (at: number, s: string): void => [...s].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * data.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * data.length, true);
  data.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, v)) * 32767), true));
  return new Blob([view.buffer], { type: "audio/wav" });
}

/** Files over the page: a frame appears, what is dropped is added. */
export function acceptDrops(studio: Studio, frame: HTMLElement): void {
  let depth = 0;
  const files = (event: DragEvent): boolean => !!event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth++;
    frame.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!files(event)) return;
    depth--;
    frame.hidden = depth > 0 ? false : true;
  });
  addEventListener("dragover", (event) => files(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth = 0;
    frame.hidden = true;
    void addFiles(studio, event.dataTransfer?.files ?? []);
  });
}
