/** The talking page: a microphone or a recording moves an avatar's face, all of it in the browser. */

/// <reference types="vite/client" />

import type { VRM } from "@pixiv/three-vrm";
import { byId, iconButton } from "./dom";
import { FaceDriver, NAMES, type FaceStream } from "./driver";
import { SpeechFeatures, FrameBlocks } from "./features";
import type { Pose, Shape } from "./frames";
import { Stage } from "./stage";
import { Own, parse, Vrm, type Wearer } from "./wear";

const ARMS = 1.15; // radians that arms of a T-pose are lowered
const FACE: Shape = { joints: [], parents: [], offsets: [], face: NAMES };
const pose: Pose = { root: new Float32Array(3), turns: new Float32Array(0), face: new Float32Array(NAMES.length) };
const stage = new Stage(byId("stage"));
const status = byId("link");
const toast = byId("toast");
let driver: FaceDriver;
let wearer: Wearer | null = null;
let changed = false;
let frames = 0;
let stop: (() => void) | null = null;

function say(state: "loading" | "ready" | "busy", text: string): void {
  status.dataset["state"] = state;
  status.textContent = text;
}

function fail(error: unknown): void {
  toast.textContent = error instanceof Error ? error.message : String(error);
  toast.hidden = false;
}

/** Put an avatar on the stage: a VRM, or a glTF with morph targets of ARKit's names. */
async function wear(bytes: ArrayBuffer, name: string): Promise<void> {
  const gltf = await parse(bytes);
  const vrm = gltf.userData["vrm"] as VRM | undefined;
  const next: Wearer = vrm ? new Vrm(vrm, name) : new Own(gltf.scene);
  if (!vrm && !Object.keys(next.morphs()).some((morph) => NAMES.includes(morph))) {
    next.dispose();
    throw new Error(`${name}: no morph targets with ARKit's names; accepted: a VRM, or a GLB that has them`);
  }
  for (const [side, sign] of [["left", -1], ["right", 1]] as const) {
    const lowered = sign * ARMS * (vrm?.meta.metaVersion === "0" ? -1 : 1);
    const arm = vrm ? vrm.humanoid.getNormalizedBoneNode(`${side}UpperArm`) : gltf.scene.getObjectByName(`${side[0]}_shoulder`);
    if (arm) arm.rotation.z = lowered;
  }
  stage.show([next]);
  wearer?.dispose();
  wearer = next;
  stage.look(true);
  stage.camera.position.lerp(stage.controls.target, 0.4); // nearer than in the studio: the face alone moves
  changed = true;
}

/** Curves of a frame become what the avatar shows from the next drawing on. */
function show(curves: Float32Array): void {
  pose.face.set(curves.subarray(0, NAMES.length));
  changed = true;
  frames++;
}

stage.tick = () => {
  if (!changed || !wearer) return false;
  changed = false;
  wearer.wear(FACE, pose, performance.now() / 1000);
  if (wearer instanceof Own) wearer.lookAt(stage.camera.position);
  return true;
};

/** Begin to hear what `source` makes; returns what ends it. */
async function hear(context: AudioContext, source: AudioNode): Promise<() => void> {
  await context.audioWorklet.addModule(new URL("./samples.js", import.meta.url));
  const samples = new AudioWorkletNode(context, "samples", { numberOfOutputs: 0 });
  const stream: FaceStream = driver.stream(context.sampleRate);
  samples.port.onmessage = (event: MessageEvent<Float32Array>) => void stream.push(event.data).then((all) => all.forEach(show), fail);
  source.connect(samples);
  await context.resume();
  return () => {
    samples.port.onmessage = null;
    void context.close();
  };
}

async function listen(): Promise<void> {
  end();
  const quiet = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: quiet });
  const context = new AudioContext();
  const close = await hear(context, context.createMediaStreamSource(microphone));
  begin("Listening", () => {
    for (const track of microphone.getTracks()) track.stop();
    close();
  });
}

/** A recording is heard as late as the face is. */
async function play(bytes: ArrayBuffer): Promise<void> {
  end();
  const context = new AudioContext();
  const source = context.createBufferSource();
  source.buffer = await context.decodeAudioData(bytes);
  const late = context.createDelay(1);
  late.delayTime.value = driver.delay;
  source.connect(late).connect(context.destination);
  begin("Playing", await hear(context, source));
  source.onended = end;
  source.start();
}

function begin(text: string, close: () => void): void {
  stop = close;
  microphoneButton.setAttribute("aria-pressed", String(text === "Listening"));
  stopButton.disabled = false;
  say("busy", text);
}

function end(): void {
  stop?.();
  stop = null;
  toast.hidden = true;
  microphoneButton.setAttribute("aria-pressed", "false");
  stopButton.disabled = true;
  say("ready", "Ready");
}

async function take(file: File): Promise<void> {
  const bytes = await file.arrayBuffer();
  if (/\.(vrm|glb)$/i.test(file.name)) return wear(bytes, file.name);
  if (!/\.(wav|mp3|ogg|flac|m4a|webm)$/i.test(file.name)) throw new Error(`${file.name}: accepted .vrm, .glb, or a recording`);
  await play(bytes).catch((error: unknown) => Promise.reject(new Error(`${file.name}: ${error instanceof Error ? error.message : error}`)));
}

const chooser = Object.assign(document.createElement("input"), { type: "file", accept: ".vrm,.glb,audio/*" });
chooser.addEventListener("change", () => chooser.files?.[0] && void take(chooser.files[0]).catch(fail));
const microphoneButton = iconButton("mic", "Speak", () => void (stop ? end() : listen().catch(fail)), {}, "Microphone");
const stopButton = iconButton("stop", "Stop", end, { disabled: true });
byId("tools").append(microphoneButton, iconButton("open", "Open an avatar or a recording", () => chooser.click(), {}, "Open"), stopButton);
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  for (const file of event.dataTransfer?.files ?? []) void take(file).catch(fail);
});

setInterval(() => {
  const recent = driver?.cost.slice(-90) ?? [];
  const mean = recent.reduce((a, x) => a + x.features + x.network, 0) / recent.length;
  if (stop && recent.length) byId("figures").textContent = `${mean.toFixed(1)} ms a frame, ${Math.round(1000 * driver.delay)} ms behind the sound`;
}, 1000);

const dark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.dataset["theme"] = dark ? "dark" : "light";
stage.theme(dark);

/** What tests read. */
const talk = {
  state: "loading",
  take,
  cost: () => driver.cost,
  frames: () => frames,
  morphs: () => wearer?.morphs() ?? {},
  features(samples: Float32Array, rate: number): Float32Array[] {
    const features = new SpeechFeatures();
    return new FrameBlocks(rate).push(samples).map((block) => features.next(block));
  },
  drive: (samples: Float32Array, rate: number): Promise<Float32Array[]> => driver.stream(rate).push(samples),
  names: NAMES,
};
Object.assign(window, { talk });

async function start(): Promise<void> {
  const avatar = fetch("v1/avatar.glb").then(async (answer) => answer.ok && wear(await answer.arrayBuffer(), "AvatarGPT"));
  driver = await FaceDriver.load("v1/driver.onnx");
  await avatar;
  talk.state = "ready";
  end();
}

start().catch((error: unknown) => {
  talk.state = "failed";
  say("ready", "");
  fail(error);
});
