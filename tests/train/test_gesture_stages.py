"""A tokenizer of gestures and its codes, from a store of such clips, on the debug configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from avatargpt.train.command import main
from avatargpt.train.objectives import objective
from instruct_data.clip import Clip
from instruct_data.store import Store
from vqvae import rotations as rot
from vqvae.features import GestureFeatures
from vqvae.motion import Motion
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "tokenizer"


def beating(seed: int) -> Motion:
    """Both hands in front, beating; fingers that open and close."""
    rng = np.random.default_rng(seed)
    t = np.arange(45 + seed) / 30
    pulse = np.sin(2 * np.pi * rng.uniform(1, 2) * t)
    q, fingers = rot.identity((len(t), 22)), rot.identity((len(t), 30))
    for side, sign in ((0, 1.0), (1, -1.0)):
        q[:, 16 + side] = rot.from_axis_angle(np.array([0, 0, -1.2 * sign]))
        q[:, 18 + side] = rot.from_axis_angle(np.outer(1.2 + 0.4 * pulse, [0, -sign, 0]))
        bent = rot.from_axis_angle(np.outer(0.4 + 0.3 * pulse, [0, 0, -sign]))
        fingers[:, 15 * side + 3 : 15 * side + 15] = bent[:, None]
    return Motion(q, np.tile([0, 0.99, 0], (len(t), 1)), 30.0, "gesture", fingers=fingers)


def test_tokens_of_gestures(tmp_path: Path) -> None:
    clips = [Clip(f"g{i}", beating(i), [], "made", "ours", "val" if i > 9 else "train", "beat") for i in range(12)]
    Store.write(clips, tmp_path / "store")
    common = ["--store", str(tmp_path / "store"), "--threads", "1", "--device", "cpu"]
    config = f"{CONFIGS / 'gesture.yaml'}:debug"
    few = ["--set", "train.steps=24", "--set", "train.val_every=24"]
    assert main(["tokenizer", "--config", config, *few, *common, "-o", str(tmp_path / "tok")]) == 0
    log = (tmp_path / "tok" / "log.jsonl").read_text()
    assert "val_finger_mm" in log and "val_speed_kept" in log
    back = MotionTokenizer.load(tmp_path / "tok").reconstruct(clips[0].load())
    assert back.fingers is not None and len(back) == 45
    made, real = (np.concatenate([m.joints[:, 18:], m.finger_joints], 1) for m in (back, clips[0].load()))
    assert np.linalg.norm(made - real, axis=-1).mean() < 0.15
    assert main(["codes", "--tokenizer", str(tmp_path / "tok"), *common, "-o", str(tmp_path / "codes")]) == 0
    assert {c.modality for c in Store.open(tmp_path / "codes").codes()} == {"gesture"}


def test_losses_see_the_fingers() -> None:
    spec = GestureFeatures()
    x = torch.from_numpy(spec.encode(beating(0)))[None]
    aim = objective("gesture", {}, "test", 3)
    flat, unit = torch.zeros(spec.dim), torch.ones(spec.dim)
    losses, logged = aim.losses(x, x, flat, unit)
    assert sum(losses.values()) < 1e-4 and logged["mpjpe_mm"] < 1e-2
    bent = x.clone()
    bent[..., spec.slices()["fingers"]] = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(30)
    worse, _ = aim.losses(bent, x, flat, unit)
    assert worse["tips"] > 0.01 and worse["joints"] > 0.01
    assert MotionTokenizer(TokenizerConfig(modality="gesture", downsample=3, levels=2)).spec.dim == 270
