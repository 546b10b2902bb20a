/** The conversation beside the stage. */

import { request } from "./api";
import { el, save } from "./dom";
import { icon } from "./icons";
import type { Line, Studio } from "./studio";

const HINTS = [
  "then he sits down and waves",
  "make it slower",
  "plan 30 s: a day at the beach",
  "another take of segment 2",
  "how long is it?",
];

const ANSWERS = /^(question|show|describe|help|chat|clarify)\b/; // acts that change nothing

export class Chat {
  private readonly log = el("ol", { class: "log", role: "log", "aria-label": "What was said", tabindex: "0" });
  private readonly answers = el("div", { class: "answers" });

  constructor(
    host: HTMLElement,
    private readonly studio: Studio,
    private readonly suggest: (text: string) => void,
  ) {
    host.append(el("h2", {}, "Conversation"), this.log, this.answers);
    studio.on("lines", () => this.draw());
    studio.on("session", () => this.draw());
    this.draw();
  }

  private draw(): void {
    const { lines, session } = this.studio;
    this.log.replaceChildren(...lines.map((line) => this.line(line)));
    if (!lines.length) {
      const list = el("li", { class: "hint" }, "Say what happens, what comes next, or what to change:");
      this.log.append(list, ...HINTS.map((h) => el("li", { class: "hint" }, this.chip(h))));
    }
    this.log.scrollTop = this.log.scrollHeight;
    const open = session?.question ? answersOf(session.question) : [];
    this.answers.replaceChildren(...open.map((text) => this.chip(text, true)));
    this.answers.hidden = !open.length;
  }

  private chip(text: string, send = false): HTMLElement {
    const run = (): void => (send ? void this.studio.send(text) : this.suggest(text));
    return el("button", { type: "button", class: "chip", onclick: run }, text);
  }

  private line({ kind, text, acts, ok, files }: Line): HTMLElement {
    const tone = kind === "reply" && ok === false ? "reply no" : kind === "about" && ok === false ? "about bad" : kind;
    const node = el("li", { class: tone }, ...(kind === "reply" ? remarked(text) : [text]));
    if (acts?.some((act) => !ANSWERS.test(act))) {
      const about = el("summary", { title: "What was done, as lines that a script can do again" }, "What was done");
      node.append(el("details", { class: "acts" }, about, el("code", {}, acts.join("\n"))));
    }
    for (const file of files ?? []) {
      const get = async (): Promise<void> => save(await (await request(file.href)).blob(), file.name);
      node.append(el("button", { type: "button", class: "chip", onclick: () => void get() }, file.name));
    }
    return node;
  }
}

/** An answer whose lines of steps end in remarks, "  [not known: ...]": a sign for each, which the segment bears, too. */
function remarked(text: string): (Node | string)[] {
  return text.split("\n").flatMap((line, i) => {
    const [, step, note] = /^(.*\S) {2}\[(.+)\]$/.exec(line) ?? [];
    const sign = note ? el("span", { class: "remark", role: "img", title: note, "aria-label": note }) : null;
    sign?.append(icon("note"));
    return [`${i ? "\n" : ""}${step ?? line}`, ...(sign ? [sign] : [])];
  });
}

/** What a question offers: "... or ...?" in quotes, or its alternatives; else nothing to click. */
function answersOf(question: string): string[] {
  if (question.includes("(first)") && question.includes("(second)")) return ["first", "second"];
  return [...question.matchAll(/[“"]([^”"]{1,60})[”"]/g)].map((m) => m[1] as string).slice(0, 4);
}
