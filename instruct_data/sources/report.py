"""What a reader took and what it left out, and why: nothing is dropped silently."""

from __future__ import annotations

from collections import Counter, defaultdict
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

    def reasons(self) -> list[str]:
        """Every reason with how often it was met and the first clips it was met with, the commonest first."""
        clips: dict[str, list[str]] = defaultdict(list)
        for clip, reason in self.skipped:
            clips[reason].append(clip)
        most = sorted(clips.items(), key=lambda item: -len(item[1]))
        return [f"{reason} ({len(some)}x: {', '.join(some[:3])}{', ...' * (len(some) > 3)})" for reason, some in most]

    def __str__(self) -> str:
        lines = [f"{self.read} clips read, {len(self.skipped)} skipped"]
        lines += [f"  skipped: {reason}" for reason in self.reasons()]
        lines += [f"  note: {what} ({n}x)" for what, n in self.notes.most_common()]
        return "\n".join(lines)
