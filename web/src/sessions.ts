/** The sessions that this browser has had: a session is known by its secret address alone, so the list stays here. */

import { el, iconButton } from "./dom";
import { ask, dialog, tell } from "./menu";
import type { Studio } from "./studio";

interface Known {
  id: string;
  title: string;
  seconds: number;
  /** When it was last changed, ms. */
  when: number;
  /** The user has named it. */
  named?: boolean;
}

const STORE = "sessions";
const MOST = 200;
const UNITS: [number, Intl.RelativeTimeFormatUnit][] = [[60, "second"], [60, "minute"], [24, "hour"], [7, "day"], [1e9, "week"]]; // prettier-ignore

const read = (): Known[] => JSON.parse(localStorage.getItem(STORE) ?? "[]") as Known[];
const write = (rows: Known[]): void => localStorage.setItem(STORE, JSON.stringify(rows.slice(0, MOST)));

/** Keep the list: each session that has something on its timeline, the last changed first. */
export function keepSessions(studio: Studio): void {
  let version = "";
  studio.on("session", () => {
    const { session } = studio;
    if (!session || studio.viewing || !session.segments.length) return;
    const rows = read();
    const old = rows.find((r) => r.id === session.id);
    const first = session.turns.find((t) => t.user && t.user !== t.acts.join(" | "))?.user ?? session.segments[0]?.caption ?? "";
    const title = old?.named ? old.title : first.slice(0, 80);
    // one that is only opened keeps its time
    const changed = version.startsWith(session.id) && version !== `${session.id} ${session.version}`;
    version = `${session.id} ${session.version}`;
    const row: Known = { id: session.id, title, seconds: session.seconds, when: old && !changed ? old.when : Date.now(), ...(old?.named ? { named: true } : {}) };
    write([row, ...rows.filter((r) => r.id !== session.id)].sort((a, b) => b.when - a.when));
  });
}

function ago(when: number): string {
  let [n, unit]: [number, Intl.RelativeTimeFormatUnit] = [(when - Date.now()) / 1000, "second"];
  for (const [size, name] of UNITS) {
    unit = name;
    if (Math.abs(n) < size) break;
    n /= size;
  }
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.round(n), unit);
}

function go(studio: Studio, id: string): void {
  if (studio.busy) return tell("One moment: something is still being made.");
  history.pushState(null, "", id ? `#s=${id}` : location.pathname);
  location.reload();
}

export function sessionList(studio: Studio): void {
  const list = el("ul", { class: "sessions", "aria-label": "Sessions" });
  const fresh = el("button", { type: "button", class: "primary", onclick: () => go(studio, "") }, "New session");
  const about = el("p", { class: "faint" }, "Known to this browser alone; the server keeps each for 14 days after its last change.");
  const shown = dialog("Sessions", list, el("div", { class: "row end" }, about, fresh));
  shown.node.classList.add("wide-list");
  const draw = (): void => {
    const rows = read();
    list.replaceChildren(
      ...rows.map((row) => {
        const here = row.id === studio.session?.id;
        const open = el(
          "button", { type: "button", class: "session", "aria-current": here, onclick: () => (here ? shown.node.close("") : go(studio, row.id)) },
          el("b", {}, row.title || "Untitled"), el("small", {}, `${row.seconds.toFixed(1)} s · ${ago(row.when)}${here ? " · open" : ""}`),
        ); // prettier-ignore
        const rename = iconButton("pen", `Rename: ${row.title}`, async () => {
          const title = await ask("Rename", "Name of the session", row.title, "text", "Rename");
          if (title) write(read().map((r) => (r.id === row.id ? { ...r, title, named: true } : r)));
          draw();
        });
        const forget = iconButton("close", `Take from the list: ${row.title}`, () => {
          write(read().filter((r) => r.id !== row.id));
          draw();
        });
        return el("li", {}, open, rename, forget);
      }),
    );
    if (!rows.length) list.append(el("li", { class: "faint" }, "None yet: what you make is kept here."));
  };
  draw();
}
