"""Goldens of motion: the codes of prompts, descriptions, edits; and the bytes of every export format."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from golden_loaded import model, suite
from golden_store import Rows, sha

from avatargpt import export
from vqvae import rotations
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

SUITES_OF_PROMPTS = ("prompts_known", "prompts_everyday", "prompts_unseen")
PROMPTS = 20
DESCRIPTIONS = 5
SECONDS, BEST_OF, SEED = 3.0, 2, 7
FRAMES = 30
LAYOUTS = {".npz": ("motion", "smplx"), ".npy": ("hml263", "pos7"), ".vrma": ("both", "arkit", "presets"),
           ".json": ("audio2face", "beat")}  # fmt: skip
SMALL = {".gif": {"size": 96}, ".mov": {"size": 96}, ".mp4": {"size": 96}, ".png": {"frames": 4}}
DRAWN = {".gif": "pillow", ".png": "pillow", ".mov": "av", ".mp4": "av"}  # bytes are those of another project's encoder
RULES = ("walk in a circle while waving", "turn left 90 degrees, then bow", "sit down, then drink")


# --- codes

class Codes:
    """Keeps the codes that a tokenizer decodes."""

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []
        self._tokenizer = model().tokenizers["body"]
        self._decode = self._tokenizer.decode_features

    def __enter__(self) -> Codes:
        def decode(codes: np.ndarray, *args: Any, **options: Any) -> np.ndarray:
            several = np.asarray(codes, np.int64)
            self.kept += [*several] if several.ndim == 3 else [several]  # candidates may come together
            return self._decode(codes, *args, **options)

        object.__setattr__(self._tokenizer, "decode_features", decode)
        return self

    def __exit__(self, *_: object) -> None:
        object.__delattr__(self._tokenizer, "decode_features")


def _of(motion: Motion, codes: list[np.ndarray]) -> dict[str, Any]:
    """Codes as a hash, and where the body ends (metres, radians)."""
    parts = [part for c in codes for part in (str(c.shape).encode(), np.ascontiguousarray(c).tobytes())]
    joints = motion.joints
    return {
        "codes": sha(*parts), "shapes": [list(c.shape) for c in codes], "frames": len(motion),
        "end": [round(float(v), 3) for v in motion.root[-1]], "mean": round(float(np.abs(joints).mean()), 3),
    }  # fmt: skip


@cache
def _generated(prompt: str) -> tuple[Motion, dict[str, Any]]:
    with Codes() as codes:
        motion = model().generate(prompt, seconds=SECONDS, seed=SEED, best_of=BEST_OF)[0]
    return motion, _of(motion, codes.kept)


def _described(prompt: str) -> dict[str, Any]:
    motion = _generated(prompt)[0]
    return {"best": model().describe(motion)[0], "sampled": model().describe(motion, num=3, seed=SEED)[0]}


def _edited(which: str, first: str, second: str) -> dict[str, Any]:
    a, b = _generated(first)[0], _generated(second)[0]
    with Codes() as codes:
        if which == "in_between":
            motion = model().in_between(a, b, 1.0, seed=SEED, best_of=BEST_OF)
        elif which == "extend":
            motion = model().extend(a, 1.0, second, seed=SEED, best_of=BEST_OF)
        else:
            motion, _ = model().reconstruct(a)
    return _of(motion, codes.kept)


def codes() -> Rows:
    """Prompts of all suites and some that rules work on, descriptions of the first, and edits of two."""
    entries = [e["prompt"] for name in SUITES_OF_PROMPTS for e in suite(name)["prompts"]]
    step = len(entries) // (PROMPTS - len(RULES))
    prompts = [*entries[::step][: PROMPTS - len(RULES)], *RULES]
    rows: dict[str, Callable[[], Any]] = {f"generate: {p}": lambda p=p: _generated(p)[1] for p in prompts}
    rows |= {f"describe: {p}": partial(_described, p) for p in prompts[:DESCRIPTIONS]}
    return rows | {n: partial(_edited, n, prompts[0], prompts[1]) for n in ("in_between", "extend", "reconstruct")}


# --- exports

def _body() -> Motion:
    """Every joint swings about its own axis while the body travels and turns."""
    rng = np.random.default_rng(3)
    t = np.arange(FRAMES) / 20.0
    axis = rng.normal(size=(22, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    reach = rng.uniform(0.1, 0.8, 22) * np.sin(t[:, None] * rng.uniform(1, 5, 22) + rng.uniform(0, 6, 22))
    local = rotations.from_axis_angle(reach[..., None] * axis)
    root = np.stack([0.7 * t, 0.95 + 0.1 * np.sin(3 * t), 1.3 * np.sin(t)], -1)
    return Motion(local, root, 20.0, caption="a person swings every joint")


def _face() -> FaceMotion:
    """Every weight rises and falls at its own pace, the head turns."""
    rng = np.random.default_rng(4)
    t = np.arange(FRAMES)[:, None] / 30.0
    weights = 0.35 - 0.35 * np.cos(2 * np.pi * t * rng.uniform(0.3, 2, 52) + rng.uniform(0, 1, 52))
    head = 0.3 * np.sin(t * rng.uniform(1, 4, 3))
    return FaceMotion(weights.astype(np.float32), head.astype(np.float32), 30.0, "someone makes faces")


def _arrays(motion: Motion | FaceMotion) -> list[np.ndarray]:
    if motion.modality == "face":
        return [motion.weights, motion.head]
    return [motion.rotations, motion.root]


def _exported(clip: Callable[[], Motion | FaceMotion], suffix: str, layout: str) -> dict[str, Any]:
    """The bytes of a file, as a hash, and what is read back from it."""
    out: dict[str, Any] = {}
    if suffix in DRAWN:
        package = DRAWN[suffix]
        try:
            out["with"] = f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return {"with": f"no {package}"}
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"layout": layout} if layout else SMALL.get(suffix, {})
        motion = clip()
        try:
            path = export.save(motion, Path(folder) / f"clip{suffix}", **options)
        except UserError as e:
            return {"error": str(e).replace(folder, "OUT")}
        out |= {"sha256": sha(path.read_bytes()), "bytes": path.stat().st_size}
        if suffix in export.readable():
            try:
                read = export.load(path)
            except UserError as e:
                return out | {"read": {"error": str(e).replace(folder, "OUT")}}
            arrays = [np.round(a.astype(np.float64), 4) + 0.0 for a in _arrays(read)]
            out["read"] = {
                "modality": read.modality, "frames": len(read), "fps": round(float(read.fps), 4),
                "caption": read.caption, "sha256": sha(*(a.tobytes() for a in arrays)),
            }  # fmt: skip
    return out


def exports() -> Rows:
    """A body and a face in every format and layout that can be written, and what is read back."""
    rows: dict[str, Callable[[], Any]] = {}
    for clip, modality in ((_body, "body"), (_face, "face")):
        for suffix in sorted(set(export.writable(modality)) - {".fbx"}):  # Blender's
            layouts = LAYOUTS.get(suffix, ("",))
            for layout in ("",) if (modality, suffix) == ("body", ".vrma") else layouts:
                if modality == "face" and layout == "smplx":
                    continue
                name = f"{modality}{suffix}" + f" {layout}" * bool(layout)
                rows[name] = partial(_exported, clip, suffix, layout)
    return rows
