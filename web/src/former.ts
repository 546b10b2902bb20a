/** ArrowUp and ArrowDown in the prompt: what was written before. */

/** In an empty box, or one that holds a former line, the arrows go through `lines` (oldest first). */
export function recall(box: HTMLInputElement, lines: () => string[]): void {
  box.addEventListener("keydown", (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step || event.isComposing || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const newest = [...new Set(lines().reverse())];
    const here = newest.indexOf(box.value.trim());
    if (box.value && here < 0) return; // what is being written stays
    const to = Math.min(here + step, newest.length - 1);
    event.preventDefault();
    if (to < -1 || to === here) return;
    box.value = newest[to] ?? "";
    box.setSelectionRange(box.value.length, box.value.length);
  });
}
