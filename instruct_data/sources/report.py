"""What a reader took and what it left out, and why: nothing is dropped silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """Filled while a reader runs.

    Attributes:
        read: clips yielded.
        skipped: (clip, reason) of every one left out.
        notes: counts of things repaired or dropped within clips, by what they are.
    """

    read: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def skip(self, clip: str, reason: str) -> None:
        self.skipped.append((clip, reason))

    def __str__(self) -> str:
        lines = [f"{self.read} clips read, {len(self.skipped)} skipped"]
        lines += [f"  skipped: {reason} ({n}x)" for reason, n in Counter(r for _, r in self.skipped).most_common()]
        lines += [f"  note: {what} ({n}x)" for what, n in self.notes.most_common()]
        return "\n".join(lines)
