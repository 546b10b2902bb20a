/** How the server reads the words of a segment, and other words that it reads as what is wanted. */

import * as api from "./api";

/** A clause as `/v1/read` has it. */
export type Clause = Partial<Omit<api.Clause, "name" | "known">> & {
  /** The known action that it is read as. */
  name: string | null;
  known: boolean;
  nearest?: string;
  words: string;
};
export interface Reading {
  clauses: Clause[];
  /** Words, and numbers, that nothing shows. */
  unshown: string[];
  unread?: string[];
}
/** One thing of a clause that is to be another; null takes it away. */
export type Wish =
  | { what: "action"; move: api.Move }
  | { what: "side"; value: "left" | "right" | "both" | null }
  | { what: "times" | "seconds"; value: number | null }
  | { what: "tempo"; value: "slow" | "fast" | null }
  | { what: "style"; value: string };

const KEPT = 200; // readings
const LIMBS = ["hand", "foot", "arm", "leg"];
const NUMBERS = "\\d+(?:\\.\\d+)?|an?|one|two|three|four|five|six|seven|eight|nine|ten";
const TIMES = new RegExp(`\\s*\\b(?:once|twice|thrice|(?:${NUMBERS}) times)\\b`, "i");
const SECONDS = new RegExp(`\\s*\\bfor (?:${NUMBERS}) seconds?\\b`, "i");
const TEMPO = /\s*\b(?:very )?(?:slowly|slow|quickly|fast|rapidly)\b/gi;
const SIDED = /\s*\b(?:with |to )?(?:(?:the|his|her|a) )?(?:left|right|both)\b(?: (?:hands?|foot|feet|arms?|legs?|fists?|knees?|elbows?|shoulders?|sides?))?/i;
const SUBJECT = /^(?:(?:an?|the) [a-z]+|someone|somebody|he|she|they) /i;

const readings = new Map<string, Promise<Reading>>();

/** What words are read as; each is asked for once. */
export function read(text: string): Promise<Reading> {
  let found = readings.get(text);
  if (!found) {
    found = api.read(text).then((r) => r as unknown as Reading);
    found.catch(() => readings.delete(text));
    readings.set(text, found);
    if (readings.size > KEPT) readings.delete(readings.keys().next().value as string);
  }
  return found;
}

/** A caption without who does it. */
export const deed = (caption: string): string => caption.replace(SUBJECT, "");

/** The caption with what is wanted of a clause, in words that are read as it; null where none of those tried are. */
export async function reworded(caption: string, reading: Reading, i: number, wish: Wish): Promise<string | null> {
  const clause = reading.clauses[i] as Clause;
  const [whole, [from, to]] = located(caption, reading.clauses, i);
  const phrase = whole.slice(from, to);
  const tried = new Set(candidates(phrase, clause, wish).map((p) => whole.slice(0, from) + p.trim() + whole.slice(to)));
  if (wish.what === "action" && reading.clauses.length === 1) tried.add(wish.move.caption); // the model knows it by these very words
  const fit: { text: string; own: boolean }[] = [];
  for (const text of tried) {
    const now = text === caption ? null : await read(text);
    if (!now || !granted(now, reading, i, wish, text)) continue;
    if (wish.what !== "side") return text;
    // of several limbs the one that the move is done with, as its caption says
    const limb = LIMBS.find((l) => text.slice(from).includes(`${wish.value} ${l}`));
    fit.push({ text, own: !limb || !!now.clauses[i]?.nearest?.includes(limb) });
  }
  return (fit.find((f) => f.own) ?? fit[0])?.text ?? null;
}

/** Where a clause stands in the caption; a caption that does not hold all of them as they are read is put together anew. */
function located(caption: string, clauses: Clause[], i: number): [string, [number, number]] {
  const present = spans(caption, clauses)[i];
  if (present) {
    const [from, to] = present;
    return [caption, [from + (SUBJECT.exec(caption.slice(from, to))?.[0].length ?? 0), to]];
  }
  let text = "a person ";
  let span: [number, number] = [0, 0];
  clauses.forEach((c, k) => {
    if (k) text += c.together ? " while " : ", then ";
    if (k === i) span = [text.length, text.length + c.words.length];
    text += c.words;
  });
  return [text, span];
}

const TOKEN = /[^\s,.;:!?]+/g;
const GAP = 2; // tokens between those of a clause that its words leave out, such as a number

function spans(caption: string, clauses: Clause[]): ([number, number] | null)[] {
  const tokens = [...caption.toLowerCase().matchAll(TOKEN)].map((m) => ({ word: m[0], from: m.index, to: m.index + m[0].length }));
  let at = 0;
  return clauses.map(({ words }) => {
    const [first, ...rest] = words.toLowerCase().match(TOKEN) ?? [];
    const start = tokens.findIndex((t, k) => k >= at && t.word === first);
    if (start < 0) return null;
    let last = start;
    for (const word of rest) {
      const next = tokens.findIndex((t, k) => k > last && k <= last + 1 + GAP && t.word === word);
      if (next < 0) return null;
      last = next;
    }
    if (tokens[last]?.word === "for" && tokens[last + 2]?.word.startsWith("second")) last += 2;
    at = last + 1;
    return [tokens[start]?.from ?? 0, tokens[last]?.to ?? 0];
  });
}

/** The words of a clause as they might be for a wish, the likeliest first. */
function candidates(phrase: string, clause: Clause, wish: Wish): string[] {
  switch (wish.what) {
    case "action": {
      const bare = deed(wish.move.caption);
      const other = clause.side === "left" ? "right" : "left";
      const named = clause.side === "left" || clause.side === "right" ? bare.replace(new RegExp(`\\b${other}\\b`, "g"), clause.side) : bare;
      const counted = timed(lasting(named, clause.seconds ?? null), clause.times ?? null);
      return [`${counted} ${clause.style ?? ""}`, counted, named, bare];
    }
    case "side": {
      const { value } = wish;
      if (!value) return [phrase.replace(SIDED, "")];
      if (value === "both") return [phrase.replace(/\b(?:(?:the|his|her|a) )?(?:left|right) ([a-z]+)/i, (_, limb: string) => both(limb)), ...LIMBS.map((l) => `${phrase} with ${both(l)}`)];
      if (/\b(left|right)\b/i.test(phrase)) return [phrase.replace(/\b(left|right)\b/gi, value)];
      if (/\bboth\b/i.test(phrase)) return [phrase.replace(/\bboth ([a-z]+)/i, (_, limb: string) => `the ${value} ${limb === "feet" ? "foot" : limb.replace(/s$/, "")}`)];
      return [...LIMBS.map((l) => `${phrase} with the ${value} ${l}`), `${phrase} to the ${value}`, `${phrase} ${value}`];
    }
    case "times":
      return [timed(phrase, wish.value)];
    case "seconds":
      return [lasting(phrase, wish.value)];
    case "tempo":
      return [`${phrase.replace(TEMPO, "")} ${{ slow: "slowly", fast: "quickly" }[wish.value ?? "slow"]}`].map((p) => (wish.value ? p : phrase.replace(TEMPO, "")));
    case "style": {
      const bare = clause.style ? phrase.replace(new RegExp(`\\s*\\b${clause.style.replace(/[^a-z ]/gi, ".")}\\b`, "i"), "") : phrase;
      return wish.value ? [`${bare} ${wish.value}`] : [bare];
    }
  }
}

const both = (limb: string): string => (limb === "foot" ? "both feet" : `both ${limb.replace(/s$/, "")}s`);
const often = (times: number): string => (times === 1 ? " once" : times === 2 ? " twice" : ` ${times} times`);
const put = (phrase: string, pattern: RegExp, words: string): string => (pattern.test(phrase) ? phrase.replace(pattern, words) : phrase + words);
const timed = (phrase: string, times: number | null): string => put(phrase, TIMES, times === null ? "" : often(times));
const lasting = (phrase: string, seconds: number | null): string => put(phrase, SECONDS, seconds === null ? "" : ` for ${seconds} seconds`);

/** Whether words are read as what is wanted, and as before in all else. */
function granted(now: Reading, before: Reading, i: number, wish: Wish, text: string): boolean {
  const clause = now.clauses[i];
  if (!clause) return false;
  if (wish.what === "action" && text === wish.move.caption) return true;
  if (now.clauses.length !== before.clauses.length) return false;
  if (now.clauses.some((c, k) => k !== i && c.name !== before.clauses[k]?.name)) return false;
  if (wish.what === "action") return clause.name === wish.move.name || clause.nearest === wish.move.caption;
  if (!clause.known && before.clauses[i]?.known) return false;
  if (wish.what === "style") return !!clause.style === !!wish.value && clause.style !== before.clauses[i]?.style;
  return (clause[wish.what] ?? null) === wish.value;
}
