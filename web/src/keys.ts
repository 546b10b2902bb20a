/** Keyboard shortcuts, and the sheet that lists them. */

import { el } from "./dom";
import { dialog } from "./menu";

const GLYPHS: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Delete: "Del", Backspace: "⌫" };

export interface Shortcut {
  /** Names of keys, as browsers have them: `Ctrl+Z`, `Space`, `Delete or Backspace`. */
  keys: string;
  about: string;
  run?: () => void;
}

export function listen(shortcuts: Shortcut[]): void {
  const by = new Map(shortcuts.flatMap((s) => (s.run ? s.keys.split(" or ").map((k) => [k.toLowerCase(), s.run as () => void] as const) : [])));
  addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    const typing = target.matches("input:not([type=range]), textarea, select") || !!target.closest("dialog, .menu");
    const control = event.ctrlKey || event.metaKey;
    if (typing && !(control && event.key === "Enter")) return;
    if (event.key === " " && target.matches("button, a, summary") && !target.matches(".segment")) return;
    const name = event.key === " " ? "space" : event.key.toLowerCase();
    const chord = `${control ? "ctrl+" : ""}${event.shiftKey && name.length > 1 ? "shift+" : control && event.shiftKey ? "shift+" : ""}${name}`;
    const run = by.get(chord);
    if (!run || event.altKey) return;
    event.preventDefault();
    run();
  });
}

export function sheet(shortcuts: Shortcut[]): void {
  const list = el("dl", { class: "keys" });
  for (const { keys, about } of shortcuts) {
    const term = el("dt");
    keys.split(" or ").forEach((k, i) => term.append(i ? " or " : "", el("kbd", {}, GLYPHS[k] ?? k)));
    list.append(term, el("dd", {}, about));
  }
  dialog("Keyboard", list);
}
