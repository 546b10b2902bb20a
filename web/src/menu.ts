/** Menus, dialogs and short messages. */

import { byId, el } from "./dom";

export interface Item {
  label: string;
  hint?: string;
  danger?: boolean;
  disabled?: boolean;
  run: () => void;
}

let open: { node: HTMLElement; back: Element | null } | null = null;

export function closeMenu(): void {
  const { node, back } = open ?? {};
  open = null;
  node?.remove();
  if (back instanceof HTMLElement && document.activeElement === document.body) back.focus();
}

/** A menu at a place of the page; arrows move in it, Escape leaves it. */
export function showMenu(x: number, y: number, label: string, items: (Item | "-")[]): void {
  closeMenu();
  const node = el("div", { class: "menu", role: "menu", "aria-label": label });
  for (const item of items) {
    if (item === "-") {
      node.append(el("hr", { role: "separator" }));
      continue;
    }
    const button = el(
      "button",
      { type: "button", role: "menuitem", class: item.danger ? "danger" : "", disabled: item.disabled ?? false },
      el("span", {}, item.label),
      item.hint ? el("kbd", {}, item.hint) : null,
    );
    button.addEventListener("click", () => {
      closeMenu();
      item.run();
    });
    node.append(button);
  }
  place(node, x, y);
  node.querySelector<HTMLElement>("button:not(:disabled)")?.focus();
}

/** Show a menu at a place of the page, as far as that leaves it within. */
function place(node: HTMLElement, x: number, y: number): void {
  const back = document.activeElement;
  document.body.append(node);
  open = { node, back };
  const box = node.getBoundingClientRect();
  node.style.left = `${Math.max(8, Math.min(x, innerWidth - box.width - 8))}px`;
  node.style.top = `${Math.max(8, Math.min(y, innerHeight - box.height - 8))}px`;
  node.addEventListener("keydown", (event) => {
    const buttons = [...node.querySelectorAll<HTMLElement>("input, button:not(:disabled)")];
    const at = buttons.indexOf(document.activeElement as HTMLElement);
    const typing = event.target instanceof HTMLInputElement;
    const to: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, ...(typing ? {} : { Home: 0, End: buttons.length - 1 }) };
    if (event.key in to) {
      event.preventDefault();
      buttons[((to[event.key] as number) + buttons.length) % buttons.length]?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      event.stopPropagation();
      closeMenu();
      if (back instanceof HTMLElement) back.focus();
    }
  });
}

const PAUSE = 250; // ms without a key after which a search begins

/** A menu whose items are looked for: a field, and below it what is found, at first for no words. */
export function showFinder(x: number, y: number, label: string, hint: string, search: (query: string, signal: AbortSignal) => Promise<Item[]>): void {
  closeMenu();
  const field = el("input", { type: "search", placeholder: hint, "aria-label": label, maxlength: "1000", enterkeyhint: "search" });
  const rows = el("div", { class: "rows" });
  const node = el("div", { class: "menu finder", role: "dialog", "aria-label": label }, field, rows);
  let [asking, timer] = [new AbortController(), 0];
  const look = async (): Promise<void> => {
    asking.abort();
    const { signal } = (asking = new AbortController());
    try {
      const items = await search(field.value, signal);
      if (signal.aborted) return;
      rows.replaceChildren(...items.map((item) => {
        const run = (): void => (closeMenu(), item.run());
        return el("button", { type: "button", onclick: run }, el("span", {}, item.label), item.hint ? el("small", {}, item.hint) : null);
      })); // prettier-ignore
    } catch (error) {
      if (!signal.aborted) rows.replaceChildren(el("p", { class: "faint" }, error instanceof Error ? error.message : String(error)));
    }
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void look(), PAUSE);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") (event.preventDefault(), rows.querySelector("button")?.click());
  });
  rows.append(el("p", { class: "faint", role: "status" }, "Looking"));
  place(node, x, y);
  field.focus();
  void look();
}

addEventListener("pointerdown", (event) => {
  if (open && !open.node.contains(event.target as Node)) closeMenu();
});
addEventListener("blur", closeMenu);

/** A dialog of the browser's own kind; resolves when it is closed. */
export function dialog(title: string, ...content: (Node | string)[]): { node: HTMLDialogElement; closed: Promise<string> } {
  const node = el("dialog", { "aria-label": title });
  const close = el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => node.close("") }, "×");
  node.append(el("header", {}, el("h2", {}, title), close), ...content);
  document.body.append(node);
  node.showModal();
  const closed = new Promise<string>((done) => {
    node.addEventListener("close", () => {
      node.remove();
      done(node.returnValue);
    });
  });
  node.addEventListener("click", (event) => {
    if (event.target === node) node.close("");
  });
  return { node, closed };
}

/** Ask for a line of text; null when nothing was entered. */
export async function ask(title: string, label: string, value = "", type = "text", action = "OK"): Promise<string | null> {
  const input = el("input", { type, value, name: "value", required: true, autocomplete: "off", ...(type === "number" ? { step: "0.1", min: "0.2" } : {}) });
  input.setAttribute("aria-label", label);
  const form = el("form", { method: "dialog" }, el("label", {}, el("span", {}, label), input), el("div", { class: "row end" }, el("button", { class: "primary", value: "ok" }, action)));
  const { node, closed } = dialog(title, form);
  input.select();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    node.close(input.value.trim());
  });
  return (await closed) || null;
}

let timer = 0;

/** A line at the foot of the stage: what happened, or what went wrong. */
export function tell(text: string, kind: "info" | "error" = "info"): void {
  const node = byId("toast");
  node.textContent = text;
  node.className = `toast ${kind}`;
  node.hidden = false;
  clearTimeout(timer);
  timer = window.setTimeout(() => (node.hidden = true), kind === "error" ? 9000 : 4000);
}
