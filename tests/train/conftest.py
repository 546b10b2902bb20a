"""A corpus of a few dozen procedural clips with texts, and the stages run on it once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from avatargpt.config import resolve
from avatargpt.train.command import main
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEBUG = {
    "language": "language/debug.yaml", "language:text": "language/debug.yaml:text",
    "tokenizer": "tokenizer/1_body.yaml:debug", "requests": "requests.yaml:debug",
}  # fmt: skip
ACTIONS = {
    "walk": ["{person} walks forward {manner}", "{person} strolls ahead {manner}"],
    "bow": ["{person} bows from the waist {manner}", "{person} takes a bow {manner}"],
    "wave-right-hand": ["{person} waves with the right hand {manner}", "{person} greets with the right hand"],
    "squat": ["{person} squats down {manner}", "{person} bends both knees deeply {manner}"],
}


def movement(action: str, frames: int, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 22, 4) and root (T, 3) of one clip; each action moves other joints."""
    t = np.arange(frames) / 20
    swing = 0.7 * np.sin(2 * np.pi * speed * t)
    q = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    root = np.stack([0 * t, 0 * t + 0.95, 0 * t], -1)
    joint, axis = {"walk": (1, [1, 0, 0]), "bow": (3, [1, 0, 0]), "wave-right-hand": (17, [0, 0, 1]),
                   "squat": (4, [1, 0, 0])}[action]  # fmt: skip
    q[:, joint] = rot.from_axis_angle(np.outer(swing, np.array(axis, float)))
    if action == "walk":
        q[:, 2] = rot.from_axis_angle(np.outer(-swing, [1.0, 0, 0]))
        root[:, 2] = speed * t
    if action == "squat":
        root[:, 1] -= 0.2 * np.abs(swing)
    return q, root


def write_corpus(folder: Path) -> None:
    """`captions.jsonl`, `skeleton.json` and one shard, as `instruct_data.sources.quantised` reads them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows, quats, roots, offsets = [], [], [], [0]
    for i in range(32):
        action = list(ACTIONS)[i % 4]
        q, root = movement(action, int(rng.integers(24, 60)), float(rng.uniform(0.6, 1.4)))
        words = action.replace("-", " ")
        captions = [f"a person does a {words}", f"someone: {words}"]
        rows.append({
            "id": f"clip{i:02d}", "shard": "motions_00.npz", "index": i, "action": action, "style": "",
            "captions": captions, "source": "bandai1" if i % 3 else "deepmimic",
            "split": "val" if i >= 28 else "train",
        })  # fmt: skip
        quats.append(q)
        roots.append(root)
        offsets.append(offsets[-1] + len(q))
    text = "".join(json.dumps(r) + "\n" for r in rows)
    (folder / "captions.jsonl").write_text(text)
    skeleton = {"joint_names": list(SMPL22.names), "offsets": np.asarray(SMPL22.offsets).tolist()}
    (folder / "skeleton.json").write_text(json.dumps(skeleton))
    np.savez(
        folder / "motions_00.npz", root=np.concatenate(roots).astype(np.float32), offsets=np.array(offsets, np.int64),
        rot=np.round(32767 * np.concatenate(quats)).astype(np.int16),
    )  # fmt: skip


def write_texts(folder: Path) -> None:
    """A caption bank and a handful of requests."""
    folder.mkdir(parents=True)
    style = {"adverbs": ["calmly"], "phrases": ["at an even pace"], "person": ["a person"]}
    bank = {
        "actions": {k.replace("-", "_"): v for k, v in ACTIONS.items()}, "styles": {"normal": style},
        "compose": ["{a}, then {b}", "first {a}, afterwards {b}", "{a}, {b}, and finally {c}"],
    }  # fmt: skip
    (folder / "body_captions.json").write_text(json.dumps(bank))
    asked = [
        ("go for a stroll", "a person walks forward", "walk", None),
        ("greet the king", "a person bows from the waist", "bow", None),
        ("say hi with your right hand", "a person waves with the right hand", "wave_right_hand", "right"),
        ("train your thighs", "a person squats down", "squat", None),
    ]
    rows = [
        {"prompt": p, "plain": [plain], "actions": [key], "styles": [None], "side": side}
        for p, plain, key, side in asked
    ]
    (folder / "rewrites_train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


class Mini:
    """Folders of one small pipeline run, and what tests do with them."""

    configs = CONFIGS

    def __init__(self, root: Path) -> None:
        self.root = root
        self.corpus, self.texts, self.store = root / "corpus", root / "texts", root / "store"
        self.tokenizer, self.codes = root / "tokenizer", root / "codes"

    def config(self, kind: str, change: Callable[[dict], object] | None = None, name: str = "changed") -> Path:
        """A configuration of `DEBUG`, changed, as a file."""
        data = resolve(f"{CONFIGS / DEBUG[kind]}")
        if change:
            change(data)
        path = self.root / f"{kind}-{name}.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    def language(self, config: Path, out: Path, *more: object) -> list[str]:
        """Arguments of a language run on the codes."""
        return [str(a) for a in (
            "language", "--config", config, "--tokenizer", self.tokenizer, "--codes", self.codes, "--texts", self.texts,
            "--threads", 1, "--device", "cpu", "-o", out, *more,
        )]  # fmt: skip

    @staticmethod
    def no_grounding(data: dict) -> None:
        """Leave the sentence encoder out: it takes seconds to load."""
        data["model"]["grounding_dim"] = 0

    @staticmethod
    def run(*argv: object) -> None:
        """One stage that must succeed."""
        assert main([str(a) for a in argv]) == 0

    @staticmethod
    def rows(folder: Path, key: str) -> list[float]:
        """All values of one curve of a run's log, in order."""
        log = folder / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
        return [row[key] for row in lines if key in row]

    @staticmethod
    def weights(folder: Path) -> dict[str, torch.Tensor]:
        """Weights of the last checkpoint."""
        return torch.load(folder / "checkpoint.pt", weights_only=True)["model"]

    @staticmethod
    def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
        """Equal to the bit."""
        assert a.keys() == b.keys()
        assert [k for k in a if not torch.equal(a[k], b[k])] == []


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Mini:
    """Corpus, store, tokenizer and codes, made by the stages themselves with the debug configurations."""
    m = Mini(tmp_path_factory.mktemp("mini"))
    write_corpus(m.corpus)
    write_texts(m.texts)
    prepare = f"{CONFIGS / 'prepare.yaml'}:debug"
    m.run("prepare", "--corpus", m.corpus, "--texts", m.texts, "--config", prepare, "-o", m.store)
    m.run("tokenizer", "--config", CONFIGS / DEBUG["tokenizer"], "--store", m.store, "-o", m.tokenizer, "--threads", 1,
          "--device", "cpu")  # fmt: skip
    m.run("codes", "--tokenizer", m.tokenizer, "--store", m.store, "-o", m.codes, "--threads", 1, "--device", "cpu")
    return m
