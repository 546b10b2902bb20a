"""Segments made, changed and put into a timeline, each going on from the posture of the one before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from avatargpt.body.generate import Draft
from avatargpt.body.stitch import retime_motion
from avatargpt.chat.face_turns import restore_face
from avatargpt.chat.maker import GeneratedMotion
from avatargpt.chat.scene import ActContext, duration
from avatargpt.chat.timeline import FPS, Segment, Timeline, segment_of
from avatargpt.chat.turn_text import CONTINUES
from avatargpt.face.instructions.scores import join_scores
from avatargpt.long.pipeline import MAX_LOW_HEIGHT
from avatargpt.options import mix
from instruct_data.joining import join_motions, posture
from instruct_data.text.english import mirror_text
from vqvae.errors import UserError
from vqvae.motion import Motion

CHUNK_SECONDS = 600.0  # the most that one call makes
# within this the same movement is stretched; beyond, it is made anew at that length
STRETCH_RANGE = (0.75, 1.35)
# a movement that cannot be made anew is stretched at most so much
MAX_STRETCH = 5.0
# metres between the joints of two poses, in the mean, that a seam may blend over; candidates are chosen by
# `body.generate.POSE_WEIGHT`, this one says when a body must get up first, or a segment must be made again
MAX_GAP = 0.25
RISES, RISE_NOTE = "a person gets up", "gets up first"
# of getting up: how much faster than usual it may be, and seconds of the movement itself that are left after it
MAX_RISE_TEMPO, MIN_SECONDS_LEFT = 1.5, 1.0


def with_segment(state: Timeline, at: int, segment: Segment) -> Timeline:
    """Segment `at` exchanged."""
    segments = list(state.segments)
    segments[at] = segment
    return state.replace_segments(segments, at)


def insert_segments(state: Timeline, at: int, new: Sequence[Segment]) -> Timeline:
    """Segments put in before index `at`; between two of one loop or activity they become part of it."""
    segments = state.segments
    loops: tuple[tuple[int, int], ...] = ()
    activity = ""
    if 0 < at < len(segments):
        a, b = segments[at - 1], segments[at]
        loops = tuple(x for x, y in takewhile(lambda xy: xy[0] == xy[1], zip(a.loops, b.loops, strict=False)))
        activity = a.activity if a.activity == b.activity else ""
    put = [replace(s, loops=(*loops, *s.loops), activity=s.activity or activity) for s in new]
    return state.replace_segments([*segments[:at], *put, *segments[at:]], at + len(put) - 1)


def without_loops(state: Timeline, at: int) -> Segment:
    """Segment `at` with those loops that it alone is in."""
    segment = state.segments[at]
    others = {n for i, s in enumerate(state.segments) if i != at for n, _ in s.loops}
    return replace(segment, loops=tuple(x for x in segment.loops if x[0] not in others))


def loop_segments(state: Timeline, chosen: set[int], times: int) -> list[Segment]:
    """The segments with a loop of those at these neighbouring indices, in place of one that held just them."""
    held: dict[int, set[int]] = defaultdict(set)
    for i, segment in enumerate(state.segments):
        for number, _ in segment.loops:
            held[number].add(i)
    fresh, out = max(held, default=0) + 1, list(state.segments)
    for i in chosen:
        around = tuple(x for x in out[i].loops if held[x[0]] > chosen)
        inside = tuple(x for x in out[i].loops if held[x[0]] < chosen)
        out[i] = replace(out[i], loops=(*around, *([(fresh, times)] if times > 1 else []), *inside))
    return out


def new_segment(
    scene: ActContext, caption: str, seconds: float | None, seed: int, before: Sequence[Segment] = ()
) -> Segment:
    """A segment that the model makes of a caption, going on from the posture in which the last one before it ends."""
    if seconds is not None and seconds > CHUNK_SECONDS:
        raise UserError(f"{seconds:g} seconds in one segment; accepted at most {CHUNK_SECONDS:g}")
    follows = before[-1].key if before else ""

    def segment(motion: Motion) -> Segment:
        return replace(segment_of(caption, motion, seed, seconds is not None), follows=follows)

    draft: Draft = None
    if on_draft := scene.on_draft:

        def draft(motion: Motion) -> None:
            on_draft(Timeline().replace_segments([*before, segment(motion)]))

    if before:
        result, lead = _onward(scene, caption, seconds, seed, before[-1].motion, draft)
    else:
        result, lead = scene.maker.make(caption, seconds, seed, draft=draft), ""
    note = "; ".join(filter(None, (lead, *result.motion.notes)))
    return replace(segment(result.motion), note=note, actions=result.actions, score=result.score)


def _onward(
    scene: ActContext, caption: str, seconds: float | None, seed: int, after: Motion, draft: Draft
) -> tuple[GeneratedMotion, str]:
    """A motion that begins near the pose in which another one ends; who lies or sits gets up, which is said."""

    def near(first: Motion) -> None:
        if draft and pose_gap(after, first) <= MAX_GAP:
            draft(first)

    result = scene.maker.make(caption, seconds, seed, after, near if draft else None)
    motion = result.motion
    low, stands = after.root[-1, 1] < MAX_LOW_HEIGHT, float(np.median(motion.root[:, 1])) >= MAX_LOW_HEIGHT
    if pose_gap(after, motion) <= MAX_GAP or not (low and stands):
        return result, ""
    rise = scene.maker.make(RISES, None, mix(seed, 31), after, draft).motion
    if pose_gap(after, rise) > MAX_GAP or rise.root[-1, 1] < MAX_LOW_HEIGHT:
        return result, ""
    if seconds is not None:  # as much of the length as getting up leaves; where that is too little, it becomes longer
        frames = round(len(rise) / MAX_RISE_TEMPO)
        rise = retime_motion(rise, min(len(rise), max(frames, round((seconds - MIN_SECONDS_LEFT) * FPS))))
        seconds = max(round(seconds * FPS) - len(rise), round(MIN_SECONDS_LEFT * FPS)) / FPS
    result = scene.maker.make(caption, seconds, seed, rise)
    whole = join_motions(rise, result.motion)
    risen = len(whole) - len(result.motion)
    movements = result.actions or ((caption, 0.0),)
    actions = tuple((c, (risen + at * len(result.motion)) / len(whole)) for c, at in movements)
    score = result.score and join_scores([(risen / FPS, result.score)], whole.seconds)
    return GeneratedMotion(replace(whole, notes=result.motion.notes), ((RISES, 0.0), *actions), score), RISE_NOTE


def pose_gap(before: Motion, after: Motion) -> float:
    """Metres between the joints of the last pose of one motion and the first of another, in the mean."""
    (last,), (first,) = posture(before, len(before) - 1, len(before))[0], posture(after, 0, 1)[0]
    return float(np.linalg.norm(first - last, axis=-1).mean())


def settle_timeline(scene: ActContext, before: Timeline) -> tuple[Timeline, list[int]]:
    """The timeline with segments made again that no longer begin near the end of the one before, and their numbers;
    they keep their lengths.

    Args:
        before: the timeline before the act; seams that were there stay as they are.
    """
    state = scene.state
    known = {(a.key, b.key) for a, b in zip(before.segments, before.segments[1:], strict=False)}
    numbers = []
    for i in range(1, len(state.segments)):
        last, segment = state.segments[i - 1], state.segments[i]
        if (last.key, segment.key) in known or segment.follows == last.key or segment.kind != "made":
            continue
        if segment.caption == CONTINUES or pose_gap(last.motion, segment.motion) <= MAX_GAP:
            continue
        there = replace(scene, state=state, on_draft=None)
        new = remade(there, i, segment.caption, segment.motion.seconds, segment.seed)
        new = replace(new, fixed=segment.fixed)
        if pose_gap(last.motion, new.motion) < pose_gap(last.motion, segment.motion):
            state = replace(with_segment(state, i, new), focus=state.focus, takes=state.takes, chosen=state.chosen)
            numbers.append(i + 1)
    return state, numbers


def mirror_segment(segment: Segment) -> Segment:
    """The same movement with its sides exchanged, in the caption, too."""
    motion = segment.motion.mirrored().canonical()
    caption = mirror_text(segment.caption)
    actions = tuple((mirror_text(c), at) for c, at in segment.actions)
    score, spoken = segment.score and segment.score.mirror(), segment.spoken and segment.spoken.mirrored()
    segment = replace(segment, motion=motion, actions=actions, score=score, spoken=spoken)
    if caption != segment.caption and segment.kind == "made":
        return replace(segment, caption=caption)
    return replace(segment, caption=caption, mirrored=not segment.mirrored)


def set_length(scene: ActContext, segment: Segment, seconds: float) -> Segment:
    """A segment of another length: stretched, or generated again where that would show."""
    ratio = seconds / segment.motion.seconds
    if STRETCH_RANGE[0] <= ratio <= STRETCH_RANGE[1]:
        return segment.stretch_to(seconds)
    if segment.kind == "made" and segment.caption != CONTINUES:
        at = next(i for i, s in enumerate(scene.state.segments) if s is segment)
        return remade(scene, at, segment.caption, seconds, segment.seed)
    if not 1 / MAX_STRETCH <= ratio <= MAX_STRETCH:
        raise UserError(
            f"{duration(segment.motion.seconds)} from a file or a continuation cannot become "
            f"{duration(seconds)}; accepted up to {MAX_STRETCH:g} times longer or shorter"
        )
    return segment.stretch_to(seconds)


def remade(scene: ActContext, at: int, caption: str, seconds: float | None, seed: int) -> Segment:
    """Segment `at` generated again, `seconds` as shown; name, loops, speed, sides and face acts stay as they were."""
    old = scene.state.segments[at]
    base = seconds * old.tempo if seconds is not None and old.tempo != 1 else seconds
    if old.mirrored or old.tempo != 1:  # what is there first is of the other side, or at another speed
        scene = replace(scene, on_draft=None)
    new = new_segment(scene, caption, base, seed, scene.state.segments[:at])
    new = replace(new, name=old.name, activity=old.activity, loops=old.loops)
    if old.faces:
        new = restore_face(scene.model.composer, new, old.faces)
    if old.mirrored:
        score = new.score and new.score.mirror()
        new = replace(new, motion=new.motion.mirrored().canonical(), mirrored=True, score=score)
    new = faster(new, old.tempo)
    return new if seconds is None else new.stretch_to(seconds)


def faster(segment: Segment, factor: float) -> Segment:
    """The same movement at `factor` times the speed."""
    if factor == 1.0:
        return segment
    frames = round(len(segment.motion) / factor)
    if frames < 4:
        raise UserError(f"{factor:g} times as fast leaves {frames} frames; accepted: slower, or a longer motion")
    return replace(segment, motion=retime_motion(segment.motion, frames), tempo=segment.tempo * factor)


def note_new_meetings(before: Timeline, after: Timeline) -> list[str]:
    """A line about the segments that no act was about and that last another time because they meet others; or none."""
    lengths: defaultdict[str, list[float]] = defaultdict(list)
    for segment, (start, end) in zip(before.segments, before.spans, strict=True):
        lengths[segment.key].append((end - start) / FPS)
    rows = []
    for n, (segment, (start, end)) in enumerate(zip(after.segments, after.spans, strict=True), 1):
        seconds, former = (end - start) / FPS, lengths[segment.key]
        if former and abs(seconds - (old := former.pop(0))) >= 1 / FPS:
            rows.append(f"segment {n} lasts {duration(seconds)} (it was {duration(old)})")
    return [f"At the new seams {', '.join(rows)}."] if rows else []
