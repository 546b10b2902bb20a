"""What a conversation is about: segments of motion in order, and what can be undone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from avatargpt.body.contact import with_seam_lifted
from avatargpt.body.stitch import retimed
from avatargpt.planning.types import Activity, Plan
from instruct_data.dialogue.acts import LEAST_SECONDS, MOST_SECONDS, outline
from instruct_data.joining import BLEND_SECONDS, join_motions, suits
from vqvae.errors import UserError
from vqvae.ground import floor_of
from vqvae.motion import Motion

FPS = 20.0
MAX_SEGMENTS = 60
MAX_TAKES = 9
MAX_FRAMES = round(MOST_SECONDS * FPS)
MAX_CUT_SECONDS = 0.5  # of a segment's ends, given up for a better seam where no length was asked for
Kind = Literal["made", "file", "long"]


@dataclass(frozen=True, eq=False)
class Segment:
    """One stretch of motion.

    Attributes:
        caption: what it shows, in plain words.
        motion: as it is shown, 20 frames per second; speed and mirroring are in it already.
        seed: that made it.
        fixed: whether its length was asked for; then it is kept to the frame.
        tempo: how much faster than made. mirrored: whether its sides are exchanged though the caption names none.
        kind: made by the model, read from a file, or long motion of many activities.
    """

    caption: str
    motion: Motion
    seed: int = 0
    fixed: bool = False
    tempo: float = 1.0
    mirrored: bool = False
    kind: Kind = "made"

    @cached_property
    def key(self) -> str:
        """Name of the motion's file: a digest of what is in it."""
        digest = hashlib.sha256(self.motion.rotations.tobytes())
        digest.update(self.motion.root.tobytes())
        return digest.hexdigest()[:20]

    def lasting(self, seconds: float) -> Segment:
        """The same movement stretched or squeezed to a length, kept to the frame."""
        return replace(self, motion=retimed(self.motion, max(2, round(seconds * FPS))), fixed=True)

    def to_json(self) -> dict[str, Any]:
        return {
            "caption": self.caption, "seed": self.seed, "fixed": self.fixed, "tempo": self.tempo,
            "mirrored": self.mirrored, "kind": self.kind, "motion": self.key,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Timeline:
    """Everything that an act may change; never changed in place.

    Attributes:
        segments: in order.
        loops: how often all of it is played.
        takes: versions of segment `chosen` that can be chosen among; empty = no choice is open.
        chosen: index of that segment.
        plan: made last, or None.
        files: that were read, in order.
    """

    segments: tuple[Segment, ...] = ()
    loops: int = 1
    takes: tuple[Segment, ...] = ()
    chosen: int = 0
    plan: Plan | None = None
    files: tuple[str, ...] = field(default=())

    @cached_property
    def _composed(self) -> tuple[Motion, tuple[tuple[int, int], ...]]:
        return compose(self.segments)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Frames [start, end) of every segment in one round."""
        return self._composed[1] if self.segments else ()

    @cached_property
    def round(self) -> Motion:
        """All segments joined, once.

        Raises:
            UserError: there are none.
        """
        if not self.segments:
            raise UserError("nothing has been made yet; say what should happen, e.g. a person waves")
        return self._composed[0].with_caption(self.caption)

    @cached_property
    def motion(self) -> Motion:
        """What is played and saved: the round, as often as it is repeated."""
        motion, power, left = None, self.round, self.loops
        while left:  # joined pair by pair: a hundred rounds take seven joins
            if left & 1:
                motion = power if motion is None else join_motions(motion, power)
            left >>= 1
            power = join_motions(power, power) if left else power
        assert motion is not None
        return motion

    @property
    def seconds(self) -> float:
        return sum(b - a for a, b in self.spans) * self.loops / FPS

    @property
    def caption(self) -> str:
        """All captions: ``a person walks, then waves``."""
        first, *following = [s.caption for s in self.segments] or [""]
        return ", then ".join([first, *(c.removeprefix("a person ") for c in following)])

    @property
    def text(self) -> str:
        """The line that the model is told, see `instruct_data.dialogue.acts`."""
        lengths = [(b - a) / FPS for a, b in self.spans]
        return outline([s.caption for s in self.segments], lengths, max(len(self.takes), 1), self.plan is not None)

    def index(self, segment: int | None) -> int:
        """Index of a segment given from 1; None = the last.

        Raises:
            UserError: no such segment.
        """
        count = len(self.segments)
        n = count if segment is None else segment
        if not 1 <= n <= count:
            raise UserError(no_segment(n, count))
        return n - 1

    def replaced(self, segments: Sequence[Segment], **changes: Any) -> Timeline:
        """With other segments; an open choice of takes is closed.

        Raises:
            UserError: too many segments, or motion too long.
        """
        if len(segments) > MAX_SEGMENTS:
            raise UserError(f"{len(segments)} segments; accepted at most {MAX_SEGMENTS}")
        loops = changes.get("loops", self.loops)
        frames = sum(len(s.motion) for s in segments) * loops
        if frames > MAX_FRAMES:
            raise UserError(no_length(frames / FPS))
        return replace(self, segments=tuple(segments), takes=(), chosen=0, **changes)

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"segments": [s.to_json() for s in self.segments], "loops": self.loops}
        if self.takes:
            out |= {"takes": [s.to_json() for s in self.takes], "chosen": self.chosen}
        if self.plan:
            out["plan"] = self.plan.to_json()
        return out | {"files": list(self.files)}


def no_segment(n: int, count: int) -> str:
    """Tells that segment `n` is not one of `count`."""
    if not count:
        return "nothing has been made yet; say what should happen, e.g. a person waves"
    return f"there is no segment {n}; there {'is 1 segment' if count == 1 else f'are {count} segments'}"


def no_length(seconds: float) -> str:
    """Tells that nothing in a conversation can last so long, or so short."""
    hint = "; `avatargpt long` makes more, straight into a file" if seconds > MOST_SECONDS else ""
    return f"{seconds:g} seconds; accepted {LEAST_SECONDS:g} to {MOST_SECONDS:g} in a conversation{hint}"


def compose(segments: Sequence[Segment]) -> tuple[Motion, tuple[tuple[int, int], ...]]:
    """Segments one after another, each turned and moved to go on where the one before ends, seams blended.

    Where no length was asked for on either side of a seam, up to half a second of both ends is given up for the
    frames that fit best (`instruct_data.joining.suits`). What sinks while it is blended is lifted (`body.contact`).

    Returns:
        The motion, first frame above the origin facing +Z, and the frames [start, end) of every segment.
    """
    motion = segments[0].motion.canonical()
    spans = [(0, len(motion))]
    for before, after in zip(segments, segments[1:], strict=False):
        start, end = spans[-1]
        following = after.motion
        if not (before.fixed or after.fixed):
            fit = suits(motion.slice(start, end), following, MAX_CUT_SECONDS)
            motion, end = motion.slice(0, start + fit.end), start + fit.end
            following = following.slice(fit.start, len(following))
            spans[-1] = (start, end)
        motion = join_motions(motion, following)
        floor = min(floor_of(before.motion), floor_of(after.motion))
        motion = with_seam_lifted(motion, end, min(len(motion), end + round(BLEND_SECONDS * FPS)), floor)
        spans.append((end, len(motion)))
    return motion, tuple(spans)


def plan_from_json(data: dict[str, Any]) -> Plan:
    """The inverse of `Plan.to_json`."""
    activities = tuple(Activity.from_json(a) for a in data["activities"])
    return Plan(str(data["scene"]), activities, str(data.get("planner", "")), tuple(data.get("notes", ())))


def segment_of(caption: str, motion: Motion, seed: int, fixed: bool, kind: Kind = "made") -> Segment:
    """A segment of any motion: 20 frames per second, first frame above the origin, no more than allowed.

    Raises:
        UserError: too long, or not a body.
    """
    if motion.modality != "body":
        raise UserError(f"a {motion.modality}; accepted a body motion, this conversation moves nothing else")
    if motion.seconds * FPS > MAX_FRAMES:
        raise UserError(no_length(motion.seconds))
    motion = motion.resampled(FPS).canonical()
    if len(motion) < 2:
        motion = replace(motion, rotations=np.repeat(motion.rotations, 2, 0), root=np.repeat(motion.root, 2, 0))
    return Segment(caption, motion.with_caption(caption), seed, fixed, kind=kind)
