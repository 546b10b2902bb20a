"""Variations of clips (tempo, size of the arms, posture, gaze, style) and their captions."""

# A style is what separates clips of one action in two styles: the mean pose of trunk, head and hanging arms, how much
# the arms swing, and the tempo. It is learnt from pairs of clips and put on actions that nobody recorded in it. Legs
# and path are never touched, so that the feet stay where they stood.

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.mixture import balance_weights
from instruct_data.factory.synth.phrases import LICENCE, MAX_CAPTIONS, any_of, clauses, mirror_clip, sure_class
from instruct_data.factory.text.captions import CaptionBank, bank_style
from instruct_data.layering import ARMS, HEAD, SPINE, activity, chain
from instruct_data.resting import ARMS_ACT, GAITS
from instruct_data.text.english import CaptionParts, side_of
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

TRUNK = (*SPINE, *HEAD, 13, 14)
LIMBS = (16, 17, 18, 19)
_GAITS = {"walk", "run", "dash", "walk_back", "walk_left", "walk_right", "walk_turn_left", "walk_turn_right"}
MEASURED_CLIPS = 6  # of every action and style
_MIN_TURN = np.radians(14)  # sum over trunk, head and arms from which on a style is visible
_MIN_TEMPO = 0.12  # logarithm of the tempo from which on a style is visible
_MAX_ARM = np.radians(32)
# the tempo that a style's words promise, whatever the recordings are
_SLOWER = {"elderly", "exhausted", "tired", "sad", "giant", "not-confident"}
_FASTER = {"active", "youthful", "angry", "childlike", "happy"}


def stretch_time(motion: Motion, factor: float) -> Motion:
    """The same movement lasting `factor` times as long."""
    if not 0.2 <= factor <= 5:
        raise UserError(f"styling: duration times {factor:g}; accepted 0.2 to 5")
    return replace(motion.resampled(motion.fps * factor), fps=motion.fps)


def with_amplitude(motion: Motion, sides: Sequence[str], factor: float, around: float | None = None) -> Motion:
    """The arms' movement made larger or smaller.

    Args:
        sides: ``left``, ``right`` or both.
        factor: 0 = the arms stay in their mean pose, 1 = unchanged.
        around: seconds over which that pose is averaged; None = the whole clip.
    """
    q = motion.rotations.astype(np.float64)
    joints = [j for side in sides for j in ARMS[side][1:]]
    still = rot.continuous(q[:, joints])
    base = rot.normalize(still.mean(0) if around is None else gaussian(still, around * motion.fps))
    base = np.broadcast_to(base, still.shape)
    moved = rot.to_axis_angle(rot.multiply(rot.conjugate(base), q[:, joints])) * factor
    size = np.linalg.norm(moved, axis=-1, keepdims=True)
    moved *= np.minimum(1, 1.4 / np.maximum(size, 1e-9))
    q[:, joints] = rot.multiply(base, rot.from_axis_angle(moved))
    return replace(motion, rotations=q)


def lean_body(
    motion: Motion, forward: float = 0.0, left: float = 0.0, head: tuple[float, float, float] = (0, 0, 0)
) -> Motion:
    """Bend the trunk and turn the head.

    Args:
        forward: degrees, over the three spine joints; negative = backward. The head makes up for half of it.
        left: likewise to the left.
        head: pitch (+ = down), yaw (+ = left), roll (+ = left), degrees, over neck and head.
    """
    q = motion.rotations.astype(np.float64)
    spine = rot.from_axis_angle(np.radians([forward, 0, -left]) / 3)
    for j in SPINE:
        q[:, j] = rot.multiply(spine, q[:, j])
    pitch, yaw, roll = head
    half = np.radians([pitch - forward / 2, 0, -roll + left / 2]) / 2
    turn = rot.about_y(np.radians(yaw) / 2)
    for j in HEAD:
        q[:, j] = rot.multiply(turn, rot.multiply(rot.from_axis_angle(half), q[:, j]))
    return replace(motion, rotations=q)


@dataclass(frozen=True)
class StyleChange:
    """The change that a style makes to an action."""

    name: str  # the bank's
    offset: np.ndarray  # (22, 3) rotation vectors added to the local mean pose, radians; 0 for unchanged joints
    swing: float  # factor of the arms' movement
    tempo: float  # factor of speed

    @property
    def visible(self) -> bool:
        return float(np.linalg.norm(self.offset, axis=-1).sum()) > _MIN_TURN or abs(np.log(self.tempo)) > _MIN_TEMPO


def _measure_pose(motion: Motion) -> tuple[np.ndarray, float, float]:
    """Mean local pose (22, 4), spread of the arms (radians), mean speed of the joints (metres per second)."""
    q = rot.continuous(motion.rotations.astype(np.float64))
    mean = rot.normalize(q.mean(0))
    moved = rot.to_axis_angle(rot.multiply(rot.conjugate(mean)[None], q))[:, list(LIMBS)]
    speed = np.linalg.norm(np.diff(motion.joints.astype(np.float64), axis=0), axis=-1).mean() * motion.fps
    return mean, float(np.sqrt((moved**2).sum(-1).mean())), float(speed)


def learn_styles(clips: Sequence[Clip], seed: int = 0) -> dict[str, StyleChange]:
    """Styles of a corpus that has clips of the same action in that style and in the normal one.

    Args:
        clips: training clips with `action` and `style`.

    Returns:
        The visible ones by the bank's name; empty where nothing can be compared.
    """
    rng = np.random.default_rng([seed, 7])
    groups: dict[tuple[str, str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.action and clip.style:
            groups[clip.source, clip.action.replace("-", "_"), bank_style(clip.style)].append(clip)
    measures = {}
    for key, members in groups.items():
        chosen = rng.permutation(len(members))[:MEASURED_CLIPS]
        measured = [_measure_pose(members[int(i)].load()) for i in chosen]
        pose = rot.continuous(np.stack([m[0] for m in measured]))
        swing, speed = (float(np.mean([m[k] for m in measured])) for k in (1, 2))
        measures[key] = rot.normalize(pose.mean(0)), swing, speed
    differences: dict[str, list[tuple[np.ndarray, float, float, bool]]] = defaultdict(list)
    for (source, action, style), (pose, swing, speed) in measures.items():
        plain = measures.get((source, action, "normal"))
        if style == "normal" or plain is None:
            continue
        turned = rot.to_axis_angle(rot.multiply(pose, rot.conjugate(plain[0])))
        differences[style].append((turned, swing / plain[1], speed / plain[2], action in _GAITS))
    out = {}
    for name, rows in sorted(differences.items()):
        offset = np.zeros((22, 3))
        offset[list(TRUNK)] = np.mean([r[0][list(TRUNK)] for r in rows], 0)
        gaits = [r[0][list(LIMBS)] for r in rows if r[3]]
        if gaits:
            arms = np.mean(gaits, 0)
            size = np.linalg.norm(arms, axis=-1, keepdims=True)
            offset[list(LIMBS)] = arms * np.minimum(1, _MAX_ARM / np.maximum(size, 1e-9))
        ratio = float(np.clip(np.exp(np.mean([np.log(r[1]) for r in rows])), 0.6, 1.5))
        tempo = float(np.exp(0.6 * np.mean([np.log(r[2]) for r in rows])))  # shrunk: few pairs, whole paths in them
        tempo = min(tempo, 0.9) if name in _SLOWER else max(tempo, 1.05) if name in _FASTER else tempo
        tempo = float(np.clip(tempo, 0.7, 1.35))
        learnt = StyleChange(name, offset, ratio, tempo)
        if learnt.visible:
            out[name] = learnt
    return out


def put_style(motion: Motion, style: StyleChange, strength: float = 1.0) -> Motion:
    """Put a style on a clip of another action.

    Trunk and head turn by the style's offset where the body is upright, the arms where they hang; the arms' movement is
    scaled and the whole is played at the style's tempo.
    """
    q = motion.rotations.astype(np.float64)
    _, turned = motion.skeleton.fk_full(q, motion.root.astype(np.float64))
    upright = np.clip((turned[:, 0, 1, 1] - 0.5) / 0.3, 0, 1) * strength  # how much the pelvis points upwards
    for j in TRUNK:
        q[:, j] = rot.multiply(rot.from_axis_angle(style.offset[j] * upright[:, None]), q[:, j])
    for side in ("left", "right"):
        _, shoulder, elbow, _ = ARMS[side]
        along = turned[:, shoulder, :, 0] * (1 if side == "left" else -1)  # direction of the upper arm
        hanging = np.clip((-along[:, 1] - 0.6) / 0.3, 0, 1) * upright
        for j in (shoulder, elbow):
            q[:, j] = rot.multiply(rot.from_axis_angle(style.offset[j] * hanging[:, None]), q[:, j])
    out = replace(motion, rotations=q)
    out = with_amplitude(out, ("left", "right"), 1 + (style.swing - 1) * strength, around=0.6)
    return stretch_time(out, style.tempo**-strength)


# in the air gravity decides the time: these keep their tempo
BALLISTIC = {
    "run", "dash", "jog", "jog_on_the_spot", "jump", "hop", "skip", "jumping_jack", "spin_kick", "backflip",
    "cartwheel", "sideflip", "throw_ball", "catch_ball", "dribble", "shoot", "fall_and_get_up", "stumble", "roll",
    "salsa_dance", "indian_dance", "martial_arts", "dance_short", "kick",
}  # fmt: skip
# actions of the whole body in which a style would not be visible
_STYLELESS = {
    "cartwheel", "backflip", "sideflip", "roll", "spin", "spin_kick", "martial_arts", "salsa_dance", "indian_dance",
    "crawl", "push_up", "sit_up", "lie_down", "get_up", "get_up_face_down", "get_up_face_up", "fall_and_get_up",
    "climb",
}  # fmt: skip
_MANNER = re.compile(
    r"\b(?:slow\w*|quick\w*|fast\w*|swift\w*|rapid\w*|brisk\w*|pace|speed|tempo|calm\w*|hurr\w*|rush\w*|normal\w*|"
    r"lean\w*|bend\w*|bent|stoop\w*|posture|upright|back|straight|bow\w*|wide\w*|broad\w*|big|small|large|"
    r"neutral|gent\w*|soft\w*|care\w*|stead\w*|even\w*|casual\w*|relax\w*|easy|ordinary|usual|look\w*|head|gaze|eyes|brow|"
    r"while|as|at the same time)\b", re.I
)  # fmt: skip
_ARMS = re.compile(r"\b(?:arms?|hands?|elbows?|swing\w*)\b", re.I)
_MAX_SPEED = 9.0  # metres per second; hands and feet of nearly all recordings are slower
SLOW = ["slowly", "slowly", "very slowly", "unhurriedly", "in slow motion", "at a slow pace", "taking time"]
_ARMS_WIDE = ["swinging the arms widely", "with big arm swings", "swinging both arms a lot"]
_ARMS_STILL = ["with the arms still", "without swinging the arms", "keeping the arms still", "with motionless arms"]
QUICK = ["quickly", "quickly", "fast", "hurriedly", "very fast", "rapidly", "in a hurry", "at a fast pace", "hastily"]
_POSTURES: list[tuple[str, dict[str, tuple[float, float]], list[str]]] = [
    ("leaning_forward", {"forward": (16, 26)}, ["leaning forward", "with the upper body leaning forward",
                                                "bent forward", "with the torso tilted forward", "hunched forward"]),
    ("leaning_back", {"forward": (-17, -11)}, ["leaning back", "leaning backward", "with the torso tilted back"]),
    ("leaning_left", {"left": (13, 20)}, ["leaning to the left", "tilted to the left", "leaning left",
                                          "with the upper body tilted to the left"]),
    ("head_down", {"pitch": (28, 40)}, ["with the head down", "looking down", "looking at the floor",
                                        "with the gaze on the ground", "with a lowered head"]),
    ("head_up", {"pitch": (-38, -26)}, ["looking up", "with the head tilted back", "looking at the ceiling",
                                        "looking up at the sky", "gazing upward"]),
    ("looking_left", {"yaw": (42, 65)}, ["looking to the left", "with the head turned to the left", "looking left",
                                         "facing straight on but looking to the left"]),
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Variation:
    motion: Motion
    name: str
    texts: list[str]
    style: str = ""


def _at_end(clause: CaptionParts, words: str, rng: np.random.Generator) -> str:
    """The caption with an adverb or phrase, behind or before."""
    kind = rng.random()
    if kind < 0.2 and words.endswith("ly") and " " not in words:
        return f"{clause.subject} {words} {clause.predicate}"
    if kind < 0.3 and not words.startswith(("at ", "in ")):
        return f"{words}, {clause.subject} {clause.predicate}"
    return f"{clause.subject} {clause.predicate} {words}"


def _texts(
    clip: Clip, bank: CaptionBank, rng: np.random.Generator, words: Sequence[str], avoid: Sequence[re.Pattern[str]] = ()
) -> list[str]:
    normal = bank.styles["normal"]
    plain = any_of(tuple(normal["adverbs"] + normal["phrases"]))
    ways = [c for c in clauses(clip, bank, rng, [_MANNER, plain, *avoid]) if c.neutral and "," not in c.predicate]
    if not ways:
        return []
    out = [_at_end(ways[int(rng.integers(len(ways)))], str(rng.choice(words)), rng) for _ in range(3 * MAX_CAPTIONS)]
    return list(dict.fromkeys(out))[:MAX_CAPTIONS]


class _Variations:
    """Variations of clips, with the usual speeds of their classes."""

    def __init__(self, clips: Sequence[Clip], names: Sequence[str], bank: CaptionBank, seed: int) -> None:
        self.bank = bank
        # A style that the bank has no words for could not be asked for.
        self.styles = {name: s for name, s in learn_styles(clips, seed=seed).items() if name in bank.styles}
        self.speeds: dict[str, float] = {}
        rng = np.random.default_rng([seed, 8])
        groups: dict[str, list[Clip]] = defaultdict(list)
        for clip, name in zip(clips, names, strict=True):
            if bank_style(clip.style) == "normal":
                groups[name].append(clip)
        for name, members in groups.items():
            speeds = [_speeds(members[int(i)].load()).mean() for i in rng.permutation(len(members))[:16]]
            self.speeds[name] = float(np.median(speeds))
        self.recorded = {(n, bank_style(c.style)) for c, n in zip(clips, names, strict=True)}

    def style(self, clip: Clip, name: str, rng: np.random.Generator) -> _Variation | None:
        """A learnt style on an action without recordings in it."""
        lacking = [s for s in self.styles.values() if (name, s.name) not in self.recorded]
        if not lacking or name in _STYLELESS:
            return None
        style: StyleChange = lacking[int(rng.integers(len(lacking)))]
        side = clip.extra.get("side") or side_of(clip.action.replace("-", " "))
        words = self.bank.styles[style.name]
        texts = _texts(clip, self.bank, rng, words["adverbs"])
        if texts and words["person"] != self.bank.styles["normal"]["person"]:
            clip_clauses = [c for c in clauses(clip, self.bank, rng, [_MANNER]) if c.neutral]
            texts += [f"{rng.choice(words['person'])} {c.predicate}" for c in clip_clauses[:2]]
        if texts and clip.action and not clip.extra.get("params"):
            paraphrases = [self.bank.paraphrase(clip.action, style.name, rng, side) for _ in range(2)]
            texts += [t for t in paraphrases if t]
        tempo = 1.0 if name in BALLISTIC else style.tempo
        motion = put_style(clip.load(), replace(style, tempo=tempo), float(rng.uniform(0.85, 1.15)))
        return _Variation(motion, name, texts, style.name)

    def speed(self, clip: Clip, name: str, rng: np.random.Generator) -> _Variation | None:
        """Slower or quicker than the class usually goes, by a quarter at least."""
        if name in BALLISTIC:
            return None
        slow = rng.random() < 0.5
        motion = stretch_time(clip.load(), float(rng.uniform(1.35, 1.9) if slow else rng.uniform(0.5, 0.72)))
        share = float(_speeds(motion).mean()) / max(self.speeds[name], 1e-6)
        if not (share < 0.78 if slow else share > 1.28) or _speeds(motion).max() > _MAX_SPEED:
            return None
        texts = _texts(clip, self.bank, rng, SLOW if slow else QUICK)
        return _Variation(motion, f"{name}+{'slowly' if slow else 'quickly'}", texts)

    def posture(self, clip: Clip, name: str, rng: np.random.Generator) -> _Variation | None:
        """Leaning or looking elsewhere."""
        if name not in GAITS | ARMS_ACT:
            return None
        label, ranges, words = _POSTURES[int(rng.integers(len(_POSTURES)))]
        drawn = {k: float(rng.uniform(*v)) for k, v in ranges.items()}
        if name not in GAITS:
            drawn["forward"] = float(np.clip(drawn.get("forward", 0.0), -12, 18))
        head = (drawn.get("pitch", 0.0), drawn.get("yaw", 0.0), 0.0)
        motion = lean_body(clip.load(), drawn.get("forward", 0.0), drawn.get("left", 0.0), head)
        return _Variation(motion, f"{name}+{label}", _texts(clip, self.bank, rng, words))

    def amplitude(self, clip: Clip, name: str, rng: np.random.Generator) -> _Variation | None:
        """Arms that swing wide or hardly at all in walking and running; large or small waves."""
        motion = clip.load()
        if name in ("walk", "walk_turn_left", "walk_turn_right", "run", "jog", "march", "walk_on_the_spot"):
            acts = activity(motion)
            if name.startswith("walk") and (acts.left.mean() > 0.3 or acts.right.mean() > 0.3):
                return None
            wide = rng.random() < 0.5
            motion = with_amplitude(motion, ("left", "right"), float(rng.uniform(1.8, 2.4) if wide else 0.08))
            reach = _swing(motion)
            if not (reach > 0.45 if wide else reach < 0.14):
                return None
            words = _ARMS_WIDE if wide else _ARMS_STILL
            label = "arms_wide" if wide else "arms_still"
            return _Variation(motion, f"{name}+{label}", _texts(clip, self.bank, rng, words, [_ARMS]))
        if name not in ("wave_left_hand", "wave_right_hand", "wave_both_hands"):
            return None
        large = rng.random() < 0.5
        sides = {"wave_left_hand": ["left"], "wave_right_hand": ["right"]}.get(name, ["left", "right"])
        motion = with_amplitude(motion, sides, float(rng.uniform(1.6, 1.9) if large else rng.uniform(0.35, 0.5)), 0.5)
        words = ["with big movements", "in wide sweeps", "with large swings"] if large else [
            "with small movements", "only a little", "with tiny movements"]  # fmt: skip
        texts = _texts(clip, self.bank, rng, words)
        return _Variation(motion, f"{name}+{'large' if large else 'small'}", texts)


def _speeds(motion: Motion) -> np.ndarray:
    """(T - 1, 22) speeds of the joints, metres per second."""
    return np.linalg.norm(np.diff(motion.joints.astype(np.float64), axis=0), axis=-1) * motion.fps


def _swing(motion: Motion) -> float:
    """Swing of the hands against the chest: 5th to 95th percentile, the larger hand, metres."""
    joints = motion.joints.astype(np.float64)
    chest = chain(motion.rotations.astype(np.float64), SPINE)
    away = rot.rotate(rot.conjugate(chest)[:, None], joints[:, [20, 21]] - joints[:, [16, 17]])[..., 2]
    return float((np.percentile(away, 95, axis=0) - np.percentile(away, 5, axis=0)).max())


def make_styled_clips(
    clips: Sequence[Clip], bank: CaptionBank, count: int, seed: int = 0, longest: int = 200
) -> Iterator[Clip]:
    """Variations of plain training clips: learnt styles, speed, posture, amplitude of the arms.

    Args:
        clips: real and keyframed training clips; styles are learnt from those that name one.
        bank: paraphrases and words for styles.
        longest: most frames.

    Yields:
        Clips with source ``styled``; the action of a style transfer is the clip's own, that of others ``ACTION+HOW``.
    """
    if not count:
        return
    rng = np.random.default_rng([seed, 3])
    classified = [(c, sure_class(c)) for c in clips if c.captions and "+" not in c.action]
    classified = [(c, n) for c, n in classified if n]
    if not classified:
        raise UserError("styling: no clip of a known class")
    maker = _Variations([c for c, _ in classified], [n for _, n in classified], bank, seed)
    plain = [(c, n) for c, n in classified if bank_style(c.style) == "normal"]
    weights = balance_weights([n for _, n in plain], 0.7)
    kinds: list[Callable[[Clip, str, np.random.Generator], _Variation | None]] = [
        maker.style, maker.speed, maker.posture, maker.amplitude
    ]  # fmt: skip
    drawn = tried = 0
    while drawn < count:
        tried += 1
        if tried > 1000 + 60 * count:
            raise UserError(f"styling: only {drawn} of {count} variations found; accepted: more clips")
        clip, name = plain[int(rng.choice(len(plain), p=weights))]
        kind = kinds[int(rng.choice(4, p=[0.4, 0.22, 0.22, 0.16]))]
        if kind == maker.amplitude and rng.random() < 0.8:  # which few classes have
            candidates = [p for p in plain if p[1].startswith(("walk", "wave", "run"))]
            clip, name = candidates[int(rng.integers(len(candidates)))] if candidates else (clip, name)
        result = kind(clip, name, rng)
        if result is None or not result.texts or not 20 <= len(result.motion) <= longest:
            continue
        texts = result.texts[: MAX_CAPTIONS + 2]
        extra = {k: v for k, v in clip.extra.items() if k in ("side", "params")}
        out = Clip(
            f"style_{drawn:05d}", result.motion.canonical().with_caption(texts[0]), texts, "styled", LICENCE, "train",
            result.name, result.style, {"parts": [clip.id], **extra},
        )  # fmt: skip
        yield mirror_clip(out) if rng.random() < 0.5 else out
        drawn += 1
