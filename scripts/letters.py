"""Learn how letters are spoken from cmudict: avatargpt/speech/pronouncing/letters.txt.xz, and measure it.

Letters and phones are aligned by EM (each letter gives none, one or two phones). A letter's phones then depend on the
letters around it: of ever wider contexts, those are kept that differ from the narrower one in at least
`MIN_WORDS` words. One word in twenty is held out for the figures that are printed.

Usage: .venv/bin/python scripts/letters.py [-o FILE]
"""

from __future__ import annotations

import argparse
import lzma
from collections import Counter, defaultdict
from pathlib import Path

from avatargpt.speech.pronouncing import (
    CONTEXTS,
    LETTERS_FILE,
    cmudict,
    letter_context,
    letter_table,
    letters_to_phones,
)

MIN_WORDS = 2
ROUNDS = 5
MAX_PHONES = 2  # phones of a letter


def aligned(word: str, phones: tuple[str, ...], chance: dict[str, Counter[str]], totals: dict[str, float]
            ) -> list[str] | None:  # fmt: skip
    """The most likely phones of each letter, spaces between; None where they do not fit."""
    best: dict[int, tuple[float, list[str]]] = {0: (1.0, [])}
    for letter in word:
        after: dict[int, tuple[float, list[str]]] = {}
        for at, (p, parts) in best.items():
            for n in range(MAX_PHONES + 1):
                if at + n > len(phones):
                    break
                part = " ".join(phones[at : at + n])
                q = p * (chance[letter][part] + 0.01) / (totals[letter] + 1)
                if at + n not in after or q > after[at + n][0]:
                    after[at + n] = q, [*parts, part]
        best = after
    result = best.get(len(phones))
    return None if result is None else result[1]


def learnt(entries: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Context -> phones."""
    chance: dict[str, Counter[str]] = defaultdict(Counter)
    for word, phones in entries.items():  # to begin with: phones about where the letter is
        for k, letter in enumerate(word):
            at = round(k * len(phones) / len(word))
            for n in range(MAX_PHONES + 1):
                for start in range(max(0, at - 1), min(len(phones), at + 2)):
                    chance[letter][" ".join(phones[start : start + n])] += 1 / (1 + n)
    parts: dict[str, list[str]] = {}
    for _ in range(ROUNDS):
        totals = {letter: sum(c.values()) for letter, c in chance.items()}
        parts = {w: a for w, p in entries.items() if (a := aligned(w, p, chance, totals)) is not None}
        chance = defaultdict(Counter)
        for word, letters in parts.items():
            for letter, part in zip(word, letters, strict=True):
                chance[letter][part] += 1
    table: dict[str, str] = {}
    for size in range(len(CONTEXTS)):
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for word, letters in parts.items():
            for k, part in enumerate(letters):
                counts[letter_context(word, k, size)][part] += 1
        for context, alternatives in counts.items():
            part, times = alternatives.most_common(1)[0]
            contexts = (narrowed(context, size, to) for to in range(size - 1, -1, -1))
            narrower = next((table[c] for c in contexts if c in table), "")
            if size == 0 or (part != narrower and times - alternatives[narrower] >= MIN_WORDS):
                table[context] = part
    return table


def narrowed(context: str, size: int, to: int) -> str:
    """The narrower context that a context contains."""
    left, letter, right = context.split("|")
    a, b = CONTEXTS[to]
    return f"{left[len(left) - a:]}|{letter}|{right[:b]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", type=Path, default=LETTERS_FILE)
    args = parser.parse_args()
    entries = {w: p[0] for w, p in cmudict().items() if w.isascii() and w.isalpha() and len(w) > 1 and p[0]}
    held_out = {w: p for i, (w, p) in enumerate(sorted(entries.items())) if i % 20 == 7}
    table = learnt({w: p for w, p in entries.items() if w not in held_out})
    lines = "".join(f"{c} {p}\n" for c, p in sorted(table.items()))
    args.o.write_bytes(lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME))
    letter_table.cache_clear()
    wrong = phones = right = 0
    for word, pronunciation in held_out.items():
        guess = [p.rstrip("012") for p in letters_to_phones(word)]
        true = [p.rstrip("012") for p in pronunciation]
        wrong, phones, right = wrong + distance(guess, true), phones + len(true), right + (guess == true)
    print(f"{len(table)} contexts, {args.o.stat().st_size / 1024:.0f} KB; of {len(held_out)} held-out words "
          f"{right / len(held_out):.1%} are right, {wrong / phones:.1%} of their phones are wrong")  # fmt: skip


def distance(a: list[str], b: list[str]) -> int:
    """Fewest insertions, deletions and replacements between two lists."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


if __name__ == "__main__":
    main()
