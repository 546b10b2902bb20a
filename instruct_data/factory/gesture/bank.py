"""The bank of strokes by name: recorded ones, their mirror images, and keyframed ones (``keyed.yaml``)."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.synth.format import Family, Key, KeyBlock
from instruct_data.factory.synth.loading import read_item
from instruct_data.factory.synth.solver import solve
from instruct_data.factory.synth.timeline import KeyTimeline, draw
from instruct_data.gesture.plan import WordClasses, word_classes
from instruct_data.gesture.strokes import FPS, HALF, SIDES, Stroke, stroke_of, wrists
from instruct_data.sources.corpus import Report
from instruct_data.sources.registry import read_corpus
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import bend_fingers, relax_fingers
from vqvae.io.data_files import read_yaml
from vqvae.io.files import parsing
from vqvae.motion import Motion
from vqvae.rates import BODY_FPS
from vqvae.smoothing import gaussian

# Keyframed strokes, solved like the actions of `instruct_data.factory.synth`.
PATH = Path(__file__).with_name("keyed.yaml")
TAKES = 4  # of each gesture
PERFORMER = "keyed"
SHAPED = 0.3  # s in which fingers take their shape before the emphasis, and leave it


@cache
def _table() -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    data: Any = read_yaml(PATH)
    with parsing(PATH, "shapes of hands and gestures"):
        shapes = {str(k): bend_fingers({f: tuple(map(float, v)) for f, v in s.items()})
                  for k, s in data["shapes"].items()}  # fmt: skip
        return shapes, {str(k): dict(v) for k, v in data["gestures"].items()}


def make_keyed_strokes(seed: int = 0, takes: int = TAKES, names: Collection[str] | None = None) -> list[Stroke]:
    """`takes` different strokes of every gesture, or of `names` alone; equal seeds give equal strokes."""
    return [_stroke(name, seed, k) for name in _table()[1] if names is None or name in names for k in range(takes)]


def _stroke(name: str, seed: int, take: int) -> Stroke:
    shapes, table = _table()
    row, where = table[name], f"{PATH.name}: {name}"
    with parsing(PATH, f"the gesture {name}"):
        keys = tuple(read_item(k, ["i"], f"{where}: key {i + 1}") for i, k in enumerate(row["keys"]))
        shape, emphasis = shapes[row["fingers"]], float(row["emphasis"])
    family = Family(name, "gestures", "none", "stand", "stand", (), (), keys, (0.2, 0.2), str(PATH))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), take])
    timeline = draw(family, rng)
    rotations, root = solve([timeline], [rng], [False], [None])[0]
    body = Motion(rotations, root, BODY_FPS).resampled(FPS)
    smooth = rot.normalize(gaussian(rot.continuous(body.rotations.astype(np.float64)), 1.0))
    eased = np.repeat(relax_fingers()[None], len(body), 0)
    motion = Motion(smooth, body.root, float(FPS), "gesture", fingers=eased)
    source, arrives = f"{PERFORMER}/{name}/{take}", _draw_seconds(emphasis, keys, timeline)
    stroke = stroke_of(motion, name, source, PERFORMER, arrives, exact=True)
    if (until := row.get("until")) is None:  # its pose holds until the hands have left it by 3 cm
        place = wrists(stroke.turns)
        far = np.linalg.norm(place - place[stroke.emphasis], axis=-1).max(1)[stroke.emphasis :] > 0.03
        end = stroke.emphasis + (int(far.argmax()) - 1 if far.any() else len(far) - 1)
    else:
        end = round(_draw_seconds(float(until), keys, timeline) * FPS)
    stroke = replace(stroke, end=min(end, len(stroke.turns) - 1))
    return replace(stroke, turns=_with_finger_shape(stroke, shape))


def _draw_seconds(seconds: float, keys: tuple[Key | KeyBlock, ...], timeline: KeyTimeline) -> float:
    """Seconds of the table -> seconds of the clip, whose initial pause and tempo are drawn."""
    written = [0.0]
    for key in keys:
        if isinstance(key, KeyBlock):
            raise UserError(f"{key.where}: a block; accepted: keys")
        for span in (key.after, key.hold):
            if span is not None:
                if callable(span[0]):
                    raise UserError(f"{key.where}: a formula for a time; accepted: seconds")
                written.append(written[-1] + span[0])
    return float(np.interp(seconds, written, timeline.times[1:]))


def _with_finger_shape(stroke: Stroke, shape: np.ndarray) -> np.ndarray:
    """The stroke's turns with the shape of the acting hands' fingers faded in and out."""
    frames, take = np.arange(len(stroke.turns)), SHAPED * FPS
    early = np.clip((frames - (stroke.emphasis - 1.6 * take)) / take, 0, 1)
    late = np.clip((stroke.end + 1.5 * take - frames) / take, 0, 1)
    share = np.minimum(early, late)
    share = share**3 * (10 - 15 * share + 6 * share**2)
    out = stroke.turns.copy()
    for k, side in enumerate(SIDES):
        if side in stroke.sides:
            columns = slice(len(out[0]) - 2 * HALF + k * HALF, len(out[0]) - 2 * HALF + (k + 1) * HALF)
            shaped = np.repeat(shape[None, k * HALF : (k + 1) * HALF], len(out), 0)
            out[:, columns] = rot.slerp(out[:, columns], shaped, share[:, None])
    return out


# The bank: strokes of all sources, resting poses and poses of talking hands.
STANDING = ("Idle01", "Idle02", "Idle03", "IdleStand01")
# gestures of both hands whose emphasis is a pose that hands keep during speech
READY = ("BeatLow", "BeatMid", "BeatFlip", "Offer", "Chop")
PAUSED = 0.85  # share of the way from rest to it at which hands are kept
RAISED = 0.1  # m above the resting hands


@dataclass(frozen=True, eq=False)
class Bank:
    """Strokes and poses."""

    strokes: dict[str, list[Stroke]]  # name -> strokes of it, never empty
    rests: np.ndarray  # (N, 43, 4) poses at rest, hanging arms
    ready: np.ndarray  # (M, 43, 4) poses of talking hands
    usual: dict[str, Stroke] = field(default_factory=dict, repr=False)  # class -> the stroke that most people make

    def of(self, names: Collection[str], performers: Collection[str], sides: Collection[str]) -> list[Stroke]:
        """Strokes of these gestures with these arms; of these performers, or of all where they have none."""
        candidates = [s for n in names for s in self.strokes[n] if set(s.sides) <= set(sides)]
        return [s for s in candidates if s.performer in performers] or candidates


def build(clips: Iterable[Clip], classes: WordClasses | None = None, takes: int = TAKES) -> Bank:
    """The bank from clips of a gesture library (`instruct_data.sources.packs`) and `make_keyed_strokes`.

    Args:
        clips: with ``sync``, ``speaker`` and ``posture`` in `extra`; gestures of no class give resting poses alone.
        takes: of each keyframed gesture.
    """
    table = classes or word_classes()
    strokes: dict[str, list[Stroke]] = {}
    rests: dict[tuple[str, str], np.ndarray] = {}
    for clip in clips:
        about = clip.extra
        if about.get("posture") not in STANDING:
            continue
        if clip.action in table.gestures:
            sync = about["sync"]
            try:
                stroke = stroke_of(clip.load(), clip.action, clip.id, about["speaker"], sync.get("emphasis"),
                                   sync.get("stroke"))  # fmt: skip
            except UserError:  # a gesture of the head or of the trunk alone
                continue
            rests.setdefault((about["speaker"], about["posture"]), stroke.rest_pose)
            for version in (stroke, stroke.mirror()):
                strokes.setdefault(version.name, []).append(version)
    for stroke in make_keyed_strokes(0, takes, table.gestures):
        for version in (stroke, stroke.mirror()):
            strokes.setdefault(version.name, []).append(version)
    missing = sorted(table.gestures - set(strokes))
    if missing:
        raise UserError(f"classes of words ask for {', '.join(missing)}, which no clip makes; accepted: "
                        f"{', '.join(sorted(strokes))}")  # fmt: skip
    if not rests:
        raise UserError("no clips of somebody who stands at rest; accepted: SmartBody's gestures")
    both = [s for n in READY for s in strokes.get(n, []) if len(s.sides) == 2]
    ready = []
    for stroke in both:
        height = wrists(stroke.turns[[0, stroke.emphasis]])[..., 1]
        if (height[1] - height[0]).min() > RAISED:  # both hands are above their rest on the emphasis
            ready.append(rot.slerp(stroke.rest_pose, stroke.turns[stroke.emphasis], PAUSED))
    if not ready:
        raise UserError(f"no {', '.join(READY)} of both hands that are up on the emphasis")
    return Bank(strokes, np.stack([*rests.values()]), np.stack(ready))


def read_bank(folder: Path) -> Bank:
    """The bank of a folder of SmartBody's gestures. Raises UserError as the reader and `build`."""
    return build(read_corpus("smartbody", folder, Report()))
