"""Cycles for players and game engines: motion that leads into its own beginning, and ways that are taken out."""
# The best cycle is cut out and played three times, each seam inertialised (`instruct_data.joining`): the middle round
# follows itself in pose and speed. What is left of a turn bends the path evenly, what is left of a drift is taken out
# evenly, and feet stand over the seam as elsewhere (`avatargpt.body.contact`).

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from avatargpt.body.contact import LOOK_AHEAD, on_the_floor
from instruct_data.cycles import MIN_SECONDS, Cycle, find_cycle
from instruct_data.joining import join_motions
from vqvae import rotations as rot
from vqvae.motion import Motion, concatenate, count_resampled
from vqvae.moving_ground import WHOLE, MovingGround
from vqvae.smoothing import gaussian

CYCLE_BLEND, BLEND = 0.3, 0.6  # seconds of a seam, at most a third of the motion: of a cycle, of any motion
# metres a second: what goes no faster stays on its spot, and gaits that go no faster; seconds of a cycle there
DRIFT, GAIT_DRIFT, SPOT_SECONDS = 0.2, 0.05, 2.0
STRAIGHT = 60.0  # degrees of a turn that is taken out
# of a cycle that is played several times and retimed, to fill a length
MAX_RETIMING = 1.25
ASKEW = 10.0  # degrees from the way, as bad at the beginning as a step that is among the largest
# metres that still are one spot; share of a straight way that one velocity may leave over; seconds of the smoothing of
# a way that bends
SPOT_RADIUS, UNEVEN, SWAY_SECONDS = 0.5, 0.3, 0.6
PLANE = np.array([1.0, 0, 1])


def loop_motion(
    motion: Motion, seconds: float | None = None, whole: bool = False, gait: bool = False
) -> tuple[Motion, np.ndarray]:
    """The motion as a loop, first frame at the origin, and its way (3,) from round to round, metres.

    The frame after its last one would be its first, moved on by the way; where it turns by `STRAIGHT` or more, turned.

    Args:
        seconds: length of the loop, None = that of the cycle.
        whole: all of it is kept, instead of its best cycle. gait: it is to go somewhere, if slowly.
    """
    frames = None if seconds is None else round(seconds * motion.fps)
    drift = GAIT_DRIFT if gait else DRIFT
    cycle, rounds = (None, 1) if whole else _cycle(motion, frames, drift)
    three, count = _play_cycle(motion, cycle)
    once = three.slice(count, 2 * count + 1)  # and the first frame of the next round
    return _plant_feet(_fill_rounds(_level(once, drift), rounds, frames if cycle else None), cycle is not None)


def _cycle(motion: Motion, frames: int | None, drift: float) -> tuple[Cycle | None, int]:
    """The best cycle of a motion, and how often it is played to fill so many frames."""
    if frames is None:
        return _best_cycle(motion, motion.seconds, drift), 1
    nearest, best, often = MAX_RETIMING, None, 1
    for rounds in range(1, 2 + frames // round(MIN_SECONDS * motion.fps)):
        cycle = _best_cycle(motion, MAX_RETIMING * frames / rounds / motion.fps, drift)
        if cycle is not None:
            ratio = rounds * (cycle.stop - cycle.start) / frames
            if max(ratio, 1 / ratio) < nearest:
                nearest, best, often = max(ratio, 1 / ratio), cycle, rounds
    return best, often


def _best_cycle(motion: Motion, longest: float, drift: float) -> Cycle | None:
    """The cycle of a motion, a straight one where there is one; on the spot a longer one, whose rounds show less."""
    cycle = find_cycle(motion, True, longest) or find_cycle(motion, False, longest)
    if cycle is None or cycle.stop - cycle.start >= SPOT_SECONDS * motion.fps:
        return cycle
    gone = float(np.linalg.norm((motion.root[cycle.stop] - motion.root[cycle.start]) * PLANE))
    if gone > drift * (cycle.stop - cycle.start) / motion.fps:
        return cycle
    return find_cycle(motion, True, longest, SPOT_SECONDS) or cycle


def _play_cycle(motion: Motion, cycle: Cycle | None) -> tuple[Motion, int]:
    """A cycle, or all of a motion, played three times, and the frames of a round."""
    if cycle is None:
        count, once = len(motion), motion
        blend, overlap, first = max(1, min(round(BLEND * motion.fps), count // 3)), False, 0
    else:
        count, once = cycle.stop - cycle.start, motion.slice(cycle.start - 1, cycle.stop + 1)
        blend, overlap, first = max(1, min(round(CYCLE_BLEND * motion.fps), count // 3)), True, 1
    out = once
    for _ in range(2):
        out = join_motions(out, once, blend, overlap)
    return out.slice(first, len(out)), count


def _level(once: Motion, drift: float) -> Motion:
    """A round and the first frame of the next one, without turn and drift from round to round."""
    count = len(once) - 1
    turn = float(np.angle(np.exp(1j * (once.heading[-1] - once.heading[0]))))
    turn = turn if abs(np.degrees(turn)) < STRAIGHT else 0.0
    share = np.arange(count + 1) / count
    rotations, root = once.rotations.astype(np.float64), once.root.astype(np.float64)
    rotations[:, 0] = rot.multiply(rot.about_y(-turn * share), rotations[:, 0])
    steps = rot.rotate(rot.about_y(-turn * (share[1:] + share[:-1]) / 2), np.diff(root, axis=0))
    root = np.concatenate([root[:1], root[0] + np.cumsum(steps, axis=0)])
    way = (root[-1] - root[0]) * PLANE
    if float(np.linalg.norm(way)) < drift * count / once.fps:
        root -= share[:, None] * way
    return replace(once, rotations=rotations, root=root)


def _fill_rounds(once: Motion, rounds: int, frames: int | None) -> Motion:
    """So many rounds in so many frames, and the first frame of the next one."""
    count = len(once) - 1
    several = _rounds(once, rounds)
    if frames is None or frames == rounds * count:
        return several
    return several.sampled(np.linspace(0, rounds * count, frames + 1))


def _rounds(once: Motion, rounds: int) -> Motion:
    """A round and the first frame of the next one, played several times, and that frame again."""
    count = len(once) - 1
    turn = float(once.heading[-1] - once.heading[0])
    parts, place = [], once
    for _ in range(rounds):
        parts.append(place.slice(0, count))
        turned = once.moved(turn * len(parts), np.zeros(3))
        place = replace(turned, root=turned.root + place.root[-1] - turned.root[0])
    return concatenate([*parts, place.slice(0, 1)])


def _plant_feet(once: Motion, anywhere: bool) -> tuple[Motion, np.ndarray]:
    """A round whose feet stand as in an endless row of rounds, without the frame after it, and its way (3,).

    Args:
        anywhere: it may begin at any of its frames.
    """
    count = len(once) - 1
    before = 1 + LOOK_AHEAD // count
    row = on_the_floor(_rounds(once, 2 * before + 2))
    first = before * count
    if anywhere:
        first += _calmest(row.slice(first - 1, first + count + 2))
    row = row.slice(first, first + count + 1).canonical()
    return row.slice(0, count), (row.root[-1] - row.root[0]).astype(np.float64)


def _calmest(row: Motion) -> int:
    """The frame at which a loop begins best: moved little, steadily, and facing where it goes.

    Args:
        row: (1 + T + 2) frames of an endless row, one more before them and two behind.
    """
    local = rot.rotate(rot.about_y(-row.heading)[:, None], (row.joints - row.joints[:, :1] * PLANE).astype(np.float64))
    speed = np.diff(local, axis=0)
    moved = np.linalg.norm(speed, axis=-1).mean(-1)[:-2]
    jolt = np.linalg.norm(np.diff(speed, axis=0), axis=-1).mean(-1)
    jolt = np.maximum(jolt[:-1], jolt[1:])
    turned = np.abs(row.heading - row.heading.mean())[1:-2] / np.radians(ASKEW)
    return int(np.max([turned, *(x / max(float(np.percentile(x, 95)), 1e-9) for x in (moved, jolt))], axis=0).argmin())


def loop_at_rate(loop: Motion, fps: float) -> Motion:
    """A loop at another frame rate; its last frames lead to the first one, moved on, instead of standing still."""
    if len(loop) < 2:
        return loop.resampled(fps)
    turn, root = loop.heading, loop.root.astype(np.float64)
    turned = float(turn[-1] - turn[0] + (turn[-1] - turn[-2] + turn[1] - turn[0]) / 2)
    following = loop.slice(0, 1).moved(turned if abs(np.degrees(turned)) >= STRAIGHT else 0.0, np.zeros(3))
    place = root[-1] + (root[-1] - root[-2] + root[1] - root[0]) / 2
    following = replace(following, root=place * PLANE + root[:1] * (1 - PLANE))
    frames = np.arange(count_resampled(loop, fps)) * loop.fps / fps
    return replace(concatenate([loop, following]).sampled(frames), fps=float(fps))


def on_treadmill(
    motion: Motion, spans: Sequence[tuple[int, int]], way: np.ndarray | None = None
) -> tuple[Motion, list[str]]:
    """The motion with the ways of its spans taken out, each at one velocity, and a line with it where there is a way.

    Args:
        spans: frames [start, end). way: (3,) of a loop from round to round, metres; None = it is no loop.
    """
    root, notes = motion.root.astype(np.float64).copy(), []
    for start, end in spans:
        plane = root[start:end] * PLANE
        if _reach(plane) < SPOT_RADIUS:
            continue
        step = (plane[-1] - plane[0]) / max(end - start - 1, 1) if way is None else way * PLANE / (end - start)
        root[start:] -= np.arange(len(root) - start)[:, None].clip(max=end - start) * step
        which = f", {start / motion.fps:g} to {end / motion.fps:g} s" * (end - start < len(root))
        note: str = MovingGround.of(f"{WHOLE}{which}", -step * motion.fps, motion.seconds)
        rest, gone = root[start:end] * PLANE, float(np.linalg.norm(step)) * (end - start)
        if _reach(rest) > max(SPOT_RADIUS, UNEVEN * gone):
            bent = gaussian(rest, SWAY_SECONDS * motion.fps) - rest[0]
            root[start:end] -= bent
            root[end:] -= bent[-1]
            note = f"in place{which}: the way bends, so the ground has no one velocity"
        notes.append(note)
    return replace(motion, root=root), notes


def _reach(plane: np.ndarray) -> float:
    """Metres that a way (T, 3) leads away from its beginning."""
    return float(np.linalg.norm(plane - plane[0], axis=1).max())
