/** Questions of the conversation. */

import { capital } from "./dom";

/** What a question offers: its two readings, or what stands in quotes; else nothing to click. */
export function answersOf(question: string): { label: string; text: string }[] {
  const [, first, second] = /^Shall I (.+) \(first\), or (.+) \(second\)\?$/.exec(question) ?? [];
  if (first && second) return [{ label: capital(first), text: "first" }, { label: capital(second), text: "second" }];
  return [...question.matchAll(/[“"]([^”"]{1,60})[”"]/g)].slice(0, 4).map(([, text = ""]) => ({ label: text, text }));
}
