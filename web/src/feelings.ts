/** The emotion pad: how pleasant to the right, how lively upwards; the face follows, and so do voices. */

import * as api from "./api";
import { el } from "./dom";
import { feeling } from "./files";
import { dialog } from "./menu";
import type { Studio } from "./studio";

// Where the emotions that the model knows lie, after Russell (1980): pleasure and arousal from -1 to 1.
const PLACES: [string, number, number][] = [
  ["happy", 0.78, 0.42], ["surprised", 0.22, 0.82], ["fear", -0.45, 0.74], ["angry", -0.78, 0.5], ["disgusted", -0.8, -0.02],
  ["sad", -0.62, -0.62], ["contempt", -0.28, -0.2], ["neutral", 0.2, -0.55],
]; // prettier-ignore

export function emotionPad(studio: Studio): void {
  const dot = el("span", { class: "dot", "aria-hidden": "true" });
  const pad = el("div", { class: "pad", role: "group", "aria-label": "Emotions: pleasant to the right, lively upwards" }, dot);
  const state = el("p", { class: "faint", role: "status" }, feeling.emotion ? `Voices are spoken ${feeling.emotion}.` : "Click a feeling, or anywhere in between.");
  const buttons = PLACES.map(([name, x, y]) => {
    const button = el("button", { type: "button", "aria-pressed": feeling.emotion.startsWith(name) }, name);
    button.style.left = `${50 + 46 * x}%`;
    button.style.top = `${50 - 46 * y}%`;
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      choose(x, y);
    });
    return button;
  });
  pad.append(...buttons);
  const choose = (x: number, y: number): void => {
    const [near] = PLACES.map((p) => ({ p, d: Math.hypot(p[1] - x, p[2] - y) })).sort((a, b) => a.d - b.d);
    const name = near?.p[0] ?? "neutral";
    const strength = Math.min(1, Math.max(0.2, Math.hypot(x, y) / Math.hypot(near?.p[1] ?? 1, near?.p[2] ?? 1)));
    feeling.emotion = name === "neutral" ? "" : `${name}:${strength.toFixed(2)}`;
    dot.style.left = `${50 + 46 * x}%`;
    dot.style.top = `${50 - 46 * y}%`;
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(PLACES[i]?.[0] === name)));
    state.textContent = name === "neutral" ? "Voices are spoken as they are." : `${name}, ${Math.round(100 * strength)} %: on the face now, and in the next voice.`;
    void show(studio);
  };
  pad.addEventListener("pointerup", (event) => {
    if (event.target instanceof HTMLButtonElement) return;
    const box = pad.getBoundingClientRect();
    choose(((event.clientX - box.left) / box.width - 0.5) / 0.46, (0.5 - (event.clientY - box.top) / box.height) / 0.46);
  });
  const place = PLACES.find(([n]) => feeling.emotion.startsWith(n));
  dot.style.left = `${50 + 46 * (place?.[1] ?? 0)}%`;
  dot.style.top = `${50 - 46 * (place?.[2] ?? 0)}%`;
  dialog("Emotion", pad, state);
}

/** The chosen emotion on the face of the whole timeline. */
async function show(studio: Studio): Promise<void> {
  if (!studio.player.seconds) return;
  await studio.work("Making the face", async (progress, signal) => {
    if (!feeling.emotion) return studio.setFace("");
    const seconds = Math.min(60, Math.max(1, studio.player.seconds));
    const [face] = await api.work("/v1/faces", { emotion: feeling.emotion, seconds }, progress, signal);
    if (face) await studio.setFace(face.id);
  });
}
