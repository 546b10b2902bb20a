"""A small corpus made on the spot, in the form of the real one, so that the whole chain can be tried from nothing."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from instruct_data.synth.families import VALIDATION, families, keyframed
from vqvae.motion import atomic_write
from vqvae.skeleton import SMPL22

FAMILIES = ("wave", "bow", "squat", "march", "clap", "jumping_jack", "turn_around", "kick")
TRAINING, HELD = 6, 1  # clips of each
SHARD = "motions_00.npz"


def write_sample_corpus(folder: Path) -> None:
    """Write ``body/`` (as `instruct_data.sources.quantised` reads it) and ``text/`` (caption bank and rewrites).

    The clips are keyframed ones with their own captions: good enough to run every stage, not to learn from.
    """
    seeds = [*range(TRAINING), *range(VALIDATION, VALIDATION + HELD)]
    clips = [c for name in FAMILIES for c in keyframed(families()[name], seeds)]
    motions = [c.load() for c in clips]
    rows = [
        {"id": c.id, "shard": SHARD, "index": i, "action": c.action, "style": "", "captions": c.captions,
         "source": "sample", "split": c.split}
        for i, c in enumerate(clips)
    ]  # fmt: skip
    arrays: dict[str, np.ndarray] = {
        "rot": np.round(32767 * np.concatenate([m.rotations for m in motions])).astype(np.int16),
        "root": np.concatenate([m.root for m in motions]).astype(np.float32),
        "offsets": np.cumsum([0, *(len(m) for m in motions)], dtype=np.int64),
    }
    skeleton = {"joint_names": list(SMPL22.names), "offsets": np.asarray(SMPL22.offsets).tolist()}
    body, text = folder / "body", folder / "text"
    _write_lines(body / "captions.jsonl", rows)
    _write(body / "skeleton.json", json.dumps(skeleton))
    atomic_write(body / SHARD, lambda p: p.write_bytes(_npz(arrays)))
    said = {name: list(dict.fromkeys(t for c in clips if c.action == name for t in c.captions)) for name in FAMILIES}
    person = "a person "
    bank = {
        "actions": {name: [f"{{person}} {t.removeprefix(person)} {{manner}}" for t in texts if t.startswith(person)]
                    for name, texts in said.items()},
        "styles": {"normal": {"adverbs": ["calmly"], "phrases": ["at an even pace"], "person": ["a person"]}},
        "compose": ["{a}, then {b}", "first {a}, afterwards {b}", "{a}, {b}, and finally {c}"],
    }  # fmt: skip
    _write(text / "body_captions.json", json.dumps(bank, indent=1))
    rewrites = [{"prompt": f"please show how {t}", "plain": [t], "actions": [name], "styles": [None], "side": None}
                for name, texts in said.items() for t in texts[:2]]  # fmt: skip
    _write_lines(text / "rewrites_train.jsonl", rewrites)


def sample_corpus_stage(args: argparse.Namespace) -> None:
    """Write the sample corpus."""
    write_sample_corpus(Path(args.output))
    print(f"{args.output}: {len(FAMILIES) * (TRAINING + HELD)} clips of {len(FAMILIES)} actions")


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _write(path: Path, text: str) -> None:
    atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    _write(path, "".join(json.dumps(r) + "\n" for r in rows))
