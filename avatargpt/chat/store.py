"""A conversation on disk: ``session.json`` and one ``motions/KEY.npz`` per segment that it still needs."""
# Motions are written before the session that names them and removed after the session that names them no more, and
# every file appears under its name only when it is complete: whenever the process ends, the folder holds the last
# finished turn.

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from avatargpt.chat.timeline import MAX_TAKES, Segment, Timeline, plan_from_json
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import folder_lock, parsing, sweep
from vqvae.motion import Motion, atomic_write

VERSION = 1
SESSION, MOTIONS = "session.json", "motions"
_OURS = re.compile(r"([0-9a-f]{20})\.npz")  # a motion; no other file in the folder is touched
MAX_UNDO = 50
MAX_TURNS = 200


@dataclass
class Memory:
    """The memory of a conversation.

    Attributes:
        now: the present timeline. past, future: for undo and redo, the nearest last.
        turns: the last ones, ``{"user", "acts", "reply"}``.
        seed: of the next act. saved: the last written file, relative to the outputs.
    """

    now: Timeline = field(default_factory=Timeline)
    past: list[Timeline] = field(default_factory=list)
    future: list[Timeline] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    seed: int = 0
    saved: str = ""

    def push(self, state: Timeline) -> None:
        """A new present; one step of undo."""
        self.past = [*self.past, replace(self.now)][-MAX_UNDO:]  # a copy keeps no composed motion in memory
        self.future, self.now = [], state

    def copy(self) -> Memory:
        return Memory(self.now, list(self.past), list(self.future), list(self.turns), self.seed, self.saved)

    def segments(self) -> dict[str, Segment]:
        """Key -> segment, of every timeline that can still be reached."""
        states = [self.now, *self.past, *self.future]
        return {s.key: s for t in states for s in (*t.segments, *t.takes)}


class Store:
    """The folder of a session, locked for one process; raises UserError where it cannot be made or is locked."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            (self.folder / MOTIONS).mkdir(parents=True, exist_ok=True)
            self._lock = ExitStack()
            busy = "another conversation is going on there; take another folder"
            self._lock.enter_context(folder_lock(self.folder, busy))
            sweep(self.folder / MOTIONS)
        except OSError as e:
            raise UserError(f"{self.folder}: cannot be a session folder ({e.strerror or e})") from None

    def save(self, memory: Memory) -> None:
        """Write new motions, then the session, then remove old motions.

        Raises:
            UserError: the disk is full or the folder cannot be written; the last session stays complete.
        """
        needed = memory.segments()
        for key, segment in needed.items():
            path = self._motion(key)
            if not path.is_file():
                segment.motion.save(path)
        data = {
            "version": VERSION, "seed": memory.seed, "saved": memory.saved, "turns": memory.turns[-MAX_TURNS:],
            "now": memory.now.to_json(), "past": [t.to_json() for t in memory.past],
            "future": [t.to_json() for t in memory.future],
        }  # fmt: skip
        text = json.dumps(data, ensure_ascii=False, indent=1)
        atomic_write(self.folder / SESSION, lambda p: p.write_text(text, encoding="utf-8"))
        for path in (self.folder / MOTIONS).iterdir():
            ours = _OURS.fullmatch(path.name)
            if ours and ours[1] not in needed:
                with suppress(OSError):
                    path.unlink()

    def load(self) -> Memory | None:
        """The last session, or None where there is none yet; raises UserError for a damaged one."""
        path = self.folder / SESSION
        if not path.exists():
            return None
        data = read_object(path)
        with parsing(path, "a session"):
            if data["version"] != VERSION:
                raise UserError(f"{path}: version {data['version']}; accepted {VERSION}")
            motions: dict[str, Motion] = {}
            past, future = ([self._timeline(t, motions) for t in data[k]] for k in ("past", "future"))
            return Memory(
                self._timeline(data["now"], motions), past, future, list(data["turns"]), int(data["seed"]),
                str(data["saved"]),
            )

    def _motion(self, key: str) -> Path:
        return self.folder / MOTIONS / f"{key}.npz"

    def _timeline(self, data: dict[str, Any], motions: dict[str, Motion]) -> Timeline:
        def segments_of(rows: Sequence[dict[str, Any]]) -> tuple[Segment, ...]:
            return tuple(self._segment(r, motions) for r in rows)

        plan = plan_from_json(data["plan"]) if "plan" in data else None
        takes, chosen = segments_of(data.get("takes", [])), int(data.get("chosen", 0))
        out = Timeline(plan=plan, files=tuple(map(str, data["files"])))
        with parsing(self.folder / SESSION, "a session"):
            out = out.replaced(segments_of(data["segments"]), loops=int(data["loops"]))
        if out.loops < 1 or len(takes) > MAX_TAKES or (takes and not 0 <= chosen < len(out.segments)):
            raise ValueError(f"loops {out.loops}, {len(takes)} takes of segment {chosen + 1}")
        return replace(out, takes=takes, chosen=chosen)

    def _segment(self, row: dict[str, Any], motions: dict[str, Motion]) -> Segment:
        key = str(row["motion"])
        if key not in motions:
            if not key.isalnum():
                raise UserError(f"{self.folder / SESSION}: not the name of a motion: {key!r}")
            motions[key] = Motion.load(self._motion(key))
        return Segment(
            str(row["caption"]), motions[key], int(row["seed"]), bool(row["fixed"]), float(row["tempo"]),
            bool(row["mirrored"]), row["kind"],
        )  # fmt: skip
