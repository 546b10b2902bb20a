"""Keyframed gestures of our own: keyed.yaml, its format, and the strokes that the solver of actions makes of it."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.gesture.strokes import FPS, HALF, SIDES, Stroke, stroke_of
from instruct_data.synth.format import Block, Family, Key
from instruct_data.synth.reading import read_item
from instruct_data.synth.rows import Timeline
from instruct_data.synth.solver import solve
from instruct_data.synth.timeline import draw
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import bent_fingers, relaxed
from vqvae.io.data_files import read_yaml
from vqvae.io.files import parsing
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

PATH = Path(__file__).with_name("keyed.yaml")
TAKES = 4  # of each gesture
PERFORMER = "keyed"
SHAPED = 0.3  # s in which fingers take their shape before the emphasis, and leave it


@cache
def _table() -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    data: Any = read_yaml(PATH)
    with parsing(PATH, "shapes of hands and gestures"):
        shapes = {str(k): bent_fingers({f: tuple(map(float, v)) for f, v in s.items()})
                  for k, s in data["shapes"].items()}  # fmt: skip
        return shapes, {str(k): dict(v) for k, v in data["gestures"].items()}


def keyed_names() -> list[str]:
    """Names of the gestures."""
    return list(_table()[1])


def keyed_strokes(seed: int = 0, takes: int = TAKES, names: Collection[str] | None = None) -> list[Stroke]:
    """`takes` strokes of every gesture, no two alike; equal seeds give equal ones. `names`: of these alone.

    Raises:
        UserError: a table that cannot be understood.
    """
    return [_stroke(name, seed, k) for name in keyed_names() if names is None or name in names for k in range(takes)]


def _stroke(name: str, seed: int, take: int) -> Stroke:
    shapes, table = _table()
    row, where = table[name], f"{PATH.name}: {name}"
    with parsing(PATH, f"the gesture {name}"):
        keys = tuple(read_item(k, ["i"], f"{where}: key {i + 1}") for i, k in enumerate(row["keys"]))
        shape, told = shapes[row["fingers"]], float(row["emphasis"])
    family = Family(name, "gestures", "none", "stand", "stand", (), (), keys, (0.2, 0.2), str(PATH))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), take])
    timeline = draw(family, rng)
    rotations, root = solve([timeline], [rng], [False], [None])[0]
    body = Motion(rotations, root, 20.0).resampled(FPS)
    smooth = rot.normalize(gaussian(rot.continuous(body.rotations.astype(np.float64)), 1.0))
    eased = np.repeat(relaxed()[None], len(body), 0)
    motion = Motion(smooth, body.root, float(FPS), "gesture", fingers=eased)
    source, arrives = f"{PERFORMER}/{name}/{take}", _drawn(told, keys, timeline)
    stroke = stroke_of(motion, name, source, PERFORMER, arrives, exact=True)
    until = row.get("until")
    end = _kept(stroke) if until is None else round(_drawn(float(until), keys, timeline) * FPS)
    stroke = replace(stroke, end=min(end, len(stroke.turns) - 1))
    return replace(stroke, turns=_held(stroke, shape))


def _drawn(told: float, keys: tuple[Key | Block, ...], timeline: Timeline) -> float:
    """Seconds at which something is that the table tells: keys begin after a pause and go at a tempo that are drawn.

    Raises:
        UserError: blocks or formulas, whose times are not written.
    """
    written = [0.0]
    for key in keys:
        if isinstance(key, Block):
            raise UserError(f"{key.where}: a block; accepted: keys")
        for span in (key.after, key.hold):
            if span is not None:
                if callable(span[0]):
                    raise UserError(f"{key.where}: a formula for a time; accepted: seconds")
                written.append(written[-1] + span[0])
    return float(np.interp(told, written, timeline.times[1:]))


def _kept(stroke: Stroke) -> int:
    """The frame up to which the emphasis' pose is kept: where the hands have left it by 3 cm."""
    from instruct_data.gesture.strokes import wrists

    place = wrists(stroke.turns)
    far = np.linalg.norm(place - place[stroke.emphasis], axis=-1).max(1)[stroke.emphasis :] > 0.03
    return stroke.emphasis + (int(far.argmax()) - 1 if far.any() else len(far) - 1)


def _held(stroke: Stroke, shape: np.ndarray) -> np.ndarray:
    """The stroke's turns with the acting hands in a shape from the stroke on."""
    frames, take = np.arange(len(stroke.turns)), SHAPED * FPS
    early = np.clip((frames - (stroke.emphasis - 1.6 * take)) / take, 0, 1)
    late = np.clip((stroke.end + 1.5 * take - frames) / take, 0, 1)
    share = np.minimum(early, late)
    share = share**3 * (10 - 15 * share + 6 * share**2)
    out = stroke.turns.copy()
    for k, side in enumerate(SIDES):
        if side in stroke.sides:
            columns = slice(len(out[0]) - 2 * HALF + k * HALF, len(out[0]) - 2 * HALF + (k + 1) * HALF)
            whole = np.repeat(shape[None, k * HALF : (k + 1) * HALF], len(out), 0)
            out[:, columns] = rot.slerp(out[:, columns], whole, share[:, None])
    return out
