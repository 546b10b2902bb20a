"""Clips of two systems side by side on a page, and what judges voted on it.

The page is one file without anything from outside: bodies are drawn in it from their rotations, faces and avatars are
pictures. Which side a system stands on is drawn by lot anew for every judge, half of the pairs each way.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt import export
from avatargpt.evaluation.output_files import SUFFIXES, read_motion, read_names
from avatargpt.evaluation.report import figure
from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.mesh import figure as capsules
from avatargpt.export.video import pictures
from avatargpt.metrics.agreement import fleiss_kappa, krippendorff_alpha
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, read_bytes
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22, SMPL52

PAGE = "index.html"
QUESTION = "Which one looks more natural and does better what the words say?"
CHOICES = ("a", "b", "same")
SOUNDS = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".flac": "audio/flac"}
PICTURE = 256  # pixels, a side of a face
FPS = 30.0  # frames a second at most
MAX_CLIP_SECONDS = 60.0
MAX_SOUND = 20 << 20  # bytes
MAX_PAGE = 400 << 20  # bytes; browsers take no much larger text
MAX_VOTES = 10 << 20  # bytes of a judge's file
MAX_PAIRS = 1000


@dataclass(frozen=True)
class Pair:
    """One item of both systems."""

    name: str  # of the files, without suffix
    text: str  # what was asked, empty = not known
    a: Path
    b: Path
    sound: Path | None = None


def match(
    first: Path, second: Path, prompts: Path | None = None, sounds: Path | None = None, limit: int = 0, seed: int = 0
) -> list[Pair]:
    """The pairs of files with the same name in two folders, sorted by it.

    Args:
        prompts: names and prompts, CSV or JSON; without it the captions in the files are the words.
        sounds: a folder with the sound of each item, NAME.wav. limit: so many, drawn by `seed`; 0 = all.

    Raises:
        UserError: no folder, two files of one name, no pair, more than `MAX_PAIRS`.
    """
    a, b = _by_name(first, SUFFIXES), _by_name(second, SUFFIXES)
    names = sorted(a.keys() & b.keys())
    if not names:
        raise UserError(f"{second}: no file with a name of one in {first}; accepted NAME.npz in both")
    if 0 < limit < len(names):
        names = sorted(np.random.default_rng(seed).choice(names, limit, replace=False).tolist())
    if len(names) > MAX_PAIRS:
        raise UserError(f"{first}: {len(names)} pairs; accepted at most {MAX_PAIRS}, or fewer of them with --limit")
    words = {} if prompts is None else read_names(prompts)
    recordings = {} if sounds is None else _by_name(sounds, tuple(SOUNDS))
    if sounds is not None and (missing := [n for n in names if n not in recordings]):
        raise UserError(f"{sounds}: no sound for {missing[0]}; accepted NAME with one of {', '.join(SOUNDS)}")
    return [Pair(n, words.get(n, ""), a[n], b[n], recordings.get(n)) for n in names]


def _by_name(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; accepted one of {', '.join(suffixes)}")
    out: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.stem == "prompts":
            continue
        if path.stem in out:
            raise UserError(f"{folder}: {out[path.stem].name} and {path.name}; accepted one file of each name")
        out[path.stem] = path
    return out


def write_page(
    pairs: Sequence[Pair], names: tuple[str, str], folder: Path, question: str = QUESTION,
    progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """Write ``index.html`` with all pairs into a folder.

    Args:
        names: what the two systems are called in the results; the judge does not see them.
        progress: called with pairs done and in all.

    Raises:
        UserError: a file that cannot be read, clips of different kinds, a page above `MAX_PAGE` bytes.
    """
    items, size = [], 0
    for k, pair in enumerate(pairs, 1):
        items.append(_item(pair))
        size += len(items[-1])
        if size > MAX_PAGE:
            raise UserError(f"{folder}: over {MAX_PAGE >> 20} MiB after {k} pairs; accepted fewer with --limit")
        if progress is not None:
            progress(k, len(pairs))
    listed = "[" + ",".join(items) + "]"
    study = hashlib.sha256(f"{names}{question}{listed}".encode()).hexdigest()[:16]
    head = {"study": study, "a": names[0], "b": names[1], "question": question, "bodies": _bodies()}
    # "</" would end the script; in JSON it may be written as "<\/".
    data = (json.dumps(head)[:-1] + ', "items": ' + listed + "}").replace("</", "<\\/")
    page = (files("avatargpt.evaluation") / "pairs.html").read_text(encoding="utf-8")
    target = folder / PAGE
    atomic_write(target, lambda temporary: temporary.write_text(page.replace("{DATA}", data), encoding="utf-8"))
    return target


def _bodies() -> dict[str, Any]:
    """Skeletons and capsules of bodies without fingers and with them, by their number of joints."""
    out: dict[str, Any] = {}
    for skeleton, fingers in ((SMPL22, False), (SMPL52, True)):
        shape = capsules(fingers)
        out[str(len(skeleton.names))] = {
            "parents": list(skeleton.parents), "offsets": np.round(skeleton.offsets, 4).tolist(),
            "joint": shape.joint.tolist(), "ends": np.round(shape.ends, 4).tolist(),
            "radii": np.round(shape.radii, 4).tolist(), "colours": np.round(255 * shape.colours).astype(int).tolist(),
        }  # fmt: skip
    return out


def _item(pair: Pair) -> str:
    """JSON of one pair."""
    a, b = _load(pair.a), _load(pair.b)
    if type(a) is not type(b):
        raise UserError(f"{pair.b}: {export.formats.with_article(b.modality)}, {pair.a} is "
                        f"{export.formats.with_article(a.modality)}; accepted two clips of one kind")  # fmt: skip
    item: dict[str, Any] = {
        "name": pair.name,
        "text": pair.text or a.caption or b.caption,
        "a": _clip(a),
        "b": _clip(b),
    }
    if pair.sound is not None:
        data = read_bytes(pair.sound, MAX_SOUND, "accepted a sound of an item")
        item["sound"] = f"data:{SOUNDS[pair.sound.suffix.lower()]};base64,{base64.b64encode(data).decode()}"
    return json.dumps(item)


def _load(path: Path) -> Motion | FaceMotion | AvatarMotion:
    motion: Motion | FaceMotion | AvatarMotion = read_motion(path) if path.suffix == ".npy" else export.load(path)
    if motion.seconds > MAX_CLIP_SECONDS:
        raise UserError(f"{path}: {motion.seconds:.0f} seconds; accepted at most {MAX_CLIP_SECONDS:g}")
    return motion if motion.fps <= FPS else motion.resampled(FPS)


def _clip(motion: Motion | FaceMotion | AvatarMotion) -> dict[str, Any]:
    if isinstance(motion, Motion):
        _, rotations = motion.with_fingers if motion.fingers is not None else (None, motion.rotations)
        turns = np.round(32767 * rotations).astype("<i2")
        return {"fps": motion.fps, "joints": rotations.shape[1], "root": _packed(motion.root.astype("<f4")),
                "turns": _packed(turns)}  # fmt: skip
    return {"fps": motion.fps, "pictures": [_jpeg(p) for p in pictures(motion, PICTURE)]}


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _jpeg(picture: np.ndarray) -> str:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=80)
    return base64.b64encode(data.getvalue()).decode()


@dataclass(frozen=True)
class Votes:
    """What one judge voted."""

    path: Path
    study: str
    systems: tuple[str, str]
    judge: str
    choice: Mapping[str, str]  # by item
    left: Mapping[str, str]  # which system stood left, by item


def read_votes(path: Path) -> Votes:
    """A file that the page gave a judge. Raises UserError where it is something else."""
    accepted = "accepted a file that the page of `eval pairs` gives"
    value = read_object(path, MAX_VOTES, accepted)
    texts = {k: value.get(k) for k in ("study", "a", "b", "judge")}
    rows = value.get("votes")
    if not all(isinstance(v, str) and v for v in texts.values()) or not isinstance(rows, list):
        raise UserError(f"{path}: no votes; {accepted}")
    choice: dict[str, str] = {}
    left: dict[str, str] = {}
    for k, row in enumerate(rows, 1):
        item = row.get("item") if isinstance(row, dict) else None
        if not isinstance(item, str) or row.get("vote") not in CHOICES or row.get("left") not in ("a", "b"):
            raise UserError(f"{path}: vote {k}: no item, vote ({', '.join(CHOICES)}) and left (a, b); {accepted}")
        if item in choice:
            raise UserError(f"{path}: vote {k}: {item} a second time; accepted one vote on each item")
        choice[item], left[item] = row["vote"], row["left"]
    if not choice:
        raise UserError(f"{path}: no vote; accepted at least one")
    return Votes(path, str(texts["study"]), (str(texts["a"]), str(texts["b"])), str(texts["judge"]), choice, left)


def summary(judges: Sequence[Votes]) -> dict[str, Any]:
    """Wins and agreement.

    Returns:
        ``wins``: share of votes for either system and for neither; ``preferred``: for the first, an even vote counting
        half, the mean over items with its interval, items drawn (`statistics.confidence`); ``left``: share of decided
        votes for the left side; ``agreement``: Krippendorff's alpha, Fleiss' kappa where all voted on all, and the
        share of equal pairs of votes; ``judges``: preference of each.

    Raises:
        UserError: votes of different pages, or one judge twice.
    """
    first = judges[0]
    paths: dict[str, Path] = {}
    for votes in judges:
        if votes.study != first.study:
            raise UserError(f"{votes.path}: votes on another page than {first.path}; accepted votes on one")
        if votes.judge in paths:
            raise UserError(
                f"{votes.path}: {votes.judge} judged in {paths[votes.judge]} as well; accepted a judge once"
            )
        paths[votes.judge] = votes.path
    by_item: dict[str, list[str]] = defaultdict(list)
    for votes in judges:
        for item, vote in votes.choice.items():
            by_item[item].append(vote)
    points = {"a": 1.0, "same": 0.5, "b": 0.0}
    counted = Counter(vote for votes in by_item.values() for vote in votes)
    units = [by_item[i] for i in sorted(by_item)]
    decided = [v.left[i] == c for v in judges for i, c in v.choice.items() if c != "same"]
    return {
        "a": first.systems[0], "b": first.systems[1], "items": len(units), "votes": counted.total(),
        "wins": {c: round(counted[c] / counted.total(), 5) for c in CHOICES},
        "preferred": figure([float(np.mean([points[v] for v in votes])) for votes in units]),
        "left": figure(decided),
        "agreement": {"alpha": _rounded(krippendorff_alpha(units)), "kappa": _rounded(fleiss_kappa(units)),
                      "equal": _equal_pairs(units)},
        "judges": {v.judge: {"votes": len(v.choice), "preferred": figure([points[c] for c in v.choice.values()])}
                   for v in judges},
    }  # fmt: skip


def _equal_pairs(units: Sequence[Sequence[str]]) -> float | None:
    pairs = [x == y for votes in units for k, x in enumerate(votes) for y in votes[:k]]
    return round(sum(pairs) / len(pairs), 5) if pairs else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
