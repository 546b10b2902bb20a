/** The conversation beside the stage. */

import { request } from "./api";
import { el, save } from "./dom";
import { icon } from "./icons";
import { answersOf } from "./questions";
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
    // answers, a keyboard or another width take of its height: who was at the last line stays there
    this.log.addEventListener("scroll", () => {
      const { clientHeight, scrollHeight, scrollTop } = this.log;
      if (clientHeight === this.height) this.atEnd = scrollHeight - scrollTop - clientHeight < 40;
    });
    new ResizeObserver(() => {
      this.height = this.log.clientHeight;
      if (this.atEnd) this.log.scrollTop = this.log.scrollHeight;
    }).observe(this.log);
    this.draw();
  }

  private atEnd = true;
  private height = 0;

  private draw(): void {
    const { lines, session } = this.studio;
    this.log.replaceChildren(...lines.map((line) => this.line(line)));
    if (!lines.length) {
      const list = el("li", { class: "hint" }, "Say what happens, what comes next, or what to change:");
      this.log.append(list, ...HINTS.map((h) => el("li", { class: "hint" }, this.chip(h, () => this.suggest(h)))));
    }
    const open = session?.question ? answersOf(session.question) : [];
    this.answers.replaceChildren(...open.map(({ label, text }) => this.chip(label, () => void this.studio.send(text, { kind: "user", text: label }))));
    if (open.length) this.answers.append(this.chip("Neither", () => void this.studio.neither()));
    this.answers.hidden = !open.length;
    this.atEnd = true;
    this.log.scrollTop = this.log.scrollHeight;
  }

  private chip(label: string, run: () => void): HTMLElement {
    return el("button", { type: "button", class: "chip", onclick: run }, label);
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

/** An answer whose lines of steps end in remarks, "  [not known: ...]": each behind the sign that the segment bears, too. */
function remarked(text: string): (Node | string)[] {
  return text.split("\n").flatMap((line, i) => {
    const [, step, note] = /^(.*\S) {2}\[(.+)\]$/.exec(line) ?? [];
    const sign = note ? el("span", { class: "remark" }) : null;
    sign?.append(icon("note"), ` ${note}`);
    return [`${i ? "\n" : ""}${step ?? line}`, ...(sign ? [sign] : [])];
  });
}
