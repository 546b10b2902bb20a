"""Segments made anew, mirrored, or of another length or speed."""

from __future__ import annotations

from dataclasses import replace

from avatargpt.body.stitch import retimed
from avatargpt.chat.heard import GOES_ON
from avatargpt.chat.scene import Scene, said_seconds
from avatargpt.chat.timeline import Segment, made_segment
from instruct_data.text.english import mirror_text
from vqvae.errors import UserError

CHUNK_SECONDS = 600.0  # the most that one call makes
STRETCH = (0.75, 1.35)  # within this the same movement is stretched; beyond, it is made anew at that length
FARTHEST = 5.0  # a movement that cannot be made anew is stretched at most so much


def new_segment(scene: Scene, caption: str, seconds: float | None, seed: int) -> Segment:
    """A segment that the model makes of a caption."""
    if seconds is not None and seconds > CHUNK_SECONDS:
        raise UserError(f"{seconds:g} seconds in one segment; accepted at most {CHUNK_SECONDS:g}")
    return made_segment(caption, scene.generate(caption, seconds, seed), seed, seconds is not None)


def mirrored(segment: Segment) -> Segment:
    """The same movement with its sides exchanged, in the caption, too."""
    motion = segment.motion.mirrored().canonical()
    caption = mirror_text(segment.caption)
    if caption != segment.caption and segment.kind == "made":
        return replace(segment, motion=motion, caption=caption)
    return replace(segment, motion=motion, caption=caption, mirrored=not segment.mirrored)


def lasting(scene: Scene, segment: Segment, seconds: float) -> Segment:
    """A segment of another length: stretched, or made anew where that would show.

    Raises:
        UserError: too much for what cannot be made anew.
    """
    ratio = seconds / segment.motion.seconds
    if STRETCH[0] <= ratio <= STRETCH[1]:
        return segment.lasting(seconds)
    if segment.kind == "made" and segment.caption != GOES_ON:
        return remade(scene, segment, segment.caption, seconds, segment.seed)
    if not 1 / FARTHEST <= ratio <= FARTHEST:
        raise UserError(
            f"{said_seconds(segment.motion.seconds)} from a file or a continuation cannot become "
            f"{said_seconds(seconds)}; accepted up to {FARTHEST:g} times longer or shorter"
        )
    return segment.lasting(seconds)


def remade(scene: Scene, old: Segment, caption: str, seconds: float | None, seed: int) -> Segment:
    """A segment made anew, with the old one's speed and sides.

    Args:
        seconds: as it will be shown.
    """
    base = seconds * old.tempo if seconds is not None and old.tempo != 1 else seconds
    new = new_segment(scene, caption, base, seed)
    if old.mirrored:
        new = replace(new, motion=new.motion.mirrored().canonical(), mirrored=True)
    new = faster(new, old.tempo)
    return new if seconds is None else new.lasting(seconds)


def faster(segment: Segment, factor: float) -> Segment:
    """The same movement at `factor` times the speed."""
    if factor == 1.0:
        return segment
    frames = round(len(segment.motion) / factor)
    if frames < 4:
        raise UserError(f"{factor:g} times as fast leaves {frames} frames; accepted: slower, or a longer motion")
    return replace(segment, motion=retimed(segment.motion, frames), tempo=segment.tempo * factor)
