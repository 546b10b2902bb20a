/** Small helpers for building the page. */

import { icon, type Icon } from "./icons";

type Child = Node | string | null | undefined | false;

/** An element with attributes (`on...` are listeners) and children; texts are never read as markup. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("aria-")) {
      if (value !== undefined && value !== null) node.setAttribute(name, String(value));
      continue;
    }
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value as EventListener);
    else if (name === "class") node.className = String(value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) node.append(child);
  return node;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const node = document.getElementById(id);
  if (!node) throw new Error(`no element ${id}`);
  return node as T;
}

/** A button that is an icon, with a word beside it where there is room, and its name for those who do not see it. */
export function iconButton(
  name: Icon, label: string, run: (event: MouseEvent) => void, extra: Record<string, unknown> = {}, word = "",
): HTMLButtonElement {
  const button = el("button", { type: "button", class: "tool", "aria-label": label, title: label, onclick: run, ...extra });
  button.append(icon(name));
  if (word) button.append(el("span", { class: "word" }, word));
  return button;
}

export const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

/** Redraw what is in a host; what had the focus there gives it to its successor, which has the same attribute. */
export function keepFocus(host: HTMLElement, attribute: string, redraw: () => void): void {
  const value = host.contains(document.activeElement) ? document.activeElement?.getAttribute(attribute) : null;
  redraw();
  if (value) [...host.querySelectorAll<HTMLElement>(`[${attribute}]`)].find((node) => node.getAttribute(attribute) === value)?.focus();
}

export const clock = (seconds: number): string => {
  const s = Math.max(0, seconds);
  return `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
};

export function save(blob: Blob, name: string): void {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
