"""Quality gates: why a film, a shot, a track or a segment is left out; None where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from avatargpt.curate.manifest import FilmFile
from avatargpt.curate.recipe import Curation, GateOptions
from avatargpt.curate.segments import STEP

LAG = 2.0  # s by which one of two equal tracks may begin later
MIN_COMMON = 1.5  # s that two tracks are compared over
Row = Mapping[str, Any]


def film_reason(film: FilmFile, recipe: Curation) -> str | None:
    """Of a film, before it is read."""
    licence, accepted = film.licence or recipe.dataset.licence, recipe.gates.licences
    if film.problem:
        return film.problem
    if accepted and licence not in accepted:
        return f"licence: {licence}; accepted {', '.join(accepted)}"
    return None


def reject_shot(shot: Row, options: GateOptions) -> str | None:
    """Of a shot, by its pictures."""
    if (seconds := shot["end"] - shot["start"]) < options.seconds:
        return f"short: {seconds:.1f} s; accepted {options.seconds:g} or more"
    if shot["sharpness"] < options.sharpness:
        return f"blurred: sharpness {shot['sharpness']:.1f}; accepted {options.sharpness:g} or more"
    return None


def track_reason(track: Row, options: GateOptions) -> str | None:
    """Of a track, by its figures."""
    least = options.face_height if track["modality"] == "face" else options.height
    if (seconds := track["frames"] / track["fps"]) < options.seconds:
        return f"short: {seconds:.1f} s; accepted {options.seconds:g} or more"
    if track["doubts"]:
        return f"doubtful: {'; '.join(track['doubts'])}"
    if track["height"] < least:
        return f"small: {track['height']:.0%} of the picture's height; accepted {least:.0%} or more"
    if track["visible"] < options.visible:
        return f"unsure: confidence {track['visible']:.2f}; accepted {options.visible:g} or more"
    if track["occluded"] > options.occluded:
        return f"hidden: in {track['occluded']:.0%} of the frames; accepted {options.occluded:.0%} or less"
    return None


def segment_reason(modality: str, seconds: float, speeds: Sequence[float], options: GateOptions) -> str | None:
    """Of a segment, by its length and its speeds at steps of `STEP` seconds."""
    if seconds < options.seconds - 1e-3:
        return f"short: {seconds:.1f} s; accepted {options.seconds:g} or more"
    least, unit = (options.face_movement, "1/s") if modality == "face" else (options.movement, "m/s")
    if (mean := float(np.mean(speeds))) < least:
        return f"static: {mean:.3f} {unit}; accepted {least:g} or more"
    if modality == "body" and (fastest := float(np.max(speeds))) > options.fastest:
        return f"fast: {fastest:.1f} m/s; nobody moves all joints at more than {options.fastest:g}"
    return None


def copies(tracks: Sequence[tuple[str, Row, Row, Sequence[float]]], options: GateOptions) -> Iterator[tuple[int, str]]:
    """Tracks that show what an earlier one shows: the number of each, and the reason.

    Pictures alike are not enough, for a speaker before a wall looks alike in every film; the movement is compared, too.

    Args:
        tracks: name, shot, row and speeds of each.
    """
    originals: list[int] = []
    earlier, starts = np.zeros(0, np.uint64), np.zeros(0, int)
    for k, (_, shot, row, speeds) in enumerate(tracks):
        hashes = np.array([int(h, 16) for h in shot["hashes"]], np.uint64)
        for j in np.flatnonzero(_differences(hashes, earlier, starts) <= options.duplicate):
            name, other_shot, other, other_speeds = tracks[originals[j]]
            if row["modality"] != other["modality"] or shot is other_shot:
                continue
            if correlation(speeds, other_speeds) >= options.same_movement:
                yield k, f"duplicate: pictures and movement of {name}"
                break
        else:
            if len(hashes):
                originals.append(k)
                earlier, starts = np.concatenate([earlier, hashes]), np.append(starts, len(earlier))


def _differences(hashes: np.ndarray, earlier: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Bits by which the pictures of the shorter of two shots differ from the nearest of the other, on average.

    Args:
        hashes: (N,) uint64 of a shot.
        earlier: (M,) of other shots, one after the other, each from its place in `starts`.
    """
    if not len(earlier) or not len(hashes):
        return np.zeros(0)
    bits = np.bitwise_count(hashes[:, None] ^ earlier[None]).astype(np.float32)
    lengths = np.diff(np.append(starts, len(earlier)))
    theirs = np.minimum.reduceat(bits, starts, axis=1).mean(0)
    ours = np.add.reduceat(bits.min(0), starts) / lengths
    return np.where(len(hashes) <= lengths, theirs, ours)


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest correlation of two courses of speeds, one shifted against the other by up to `LAG` seconds."""
    first, second = np.asarray(a, float), np.asarray(b, float)
    least, best = round(MIN_COMMON / STEP), -1.0
    for lag in range(-round(LAG / STEP), round(LAG / STEP) + 1):
        x, y = first[max(lag, 0) :], second[max(-lag, 0) :]
        count = min(len(x), len(y))
        # nearly all of the shorter one, or a common still part would be enough
        if count < max(least, 0.8 * min(len(first), len(second))):
            continue
        x, y = x[:count] - x[:count].mean(), y[:count] - y[:count].mean()
        norm = float(np.linalg.norm(x) * np.linalg.norm(y))
        best = max(best, float(x @ y) / norm if norm else -1.0)
    return best
