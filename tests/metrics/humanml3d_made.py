"""A tiny HumanML3D on disk, a tiny vocabulary and a tiny evaluator."""

import pickle
from pathlib import Path

import numpy as np
import torch

from avatargpt.metrics.humanml3d import Evaluator, MatchingNetwork, PublishedShape, WordVectors

SHAPE = PublishedShape(word=12, tags=15, width=16, movement=8, text=10, motion=14, joint=6)
WORDS = ("unk", "sos", "eos", "a", "person", "walk", "left", "slowly", "jump")
VERBS, MANNERS = ("walk", "jump"), ("left", "slowly")


def filled(module: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    """The module with weights that a formula gives, over its parameters in the order of their names."""
    begin = 0
    with torch.no_grad():
        for _, value in sorted(module.state_dict().items()):
            at = torch.arange(begin, begin + value.numel(), dtype=torch.float64)
            value.copy_((scale * torch.sin(1.7 * at)).reshape(value.shape).float())
            begin += value.numel()
    return module


def vocabulary(size: int = SHAPE.word) -> WordVectors:
    vectors = np.random.default_rng(7).normal(size=(len(WORDS), size)).astype(np.float32)
    return WordVectors(WORDS, vectors)


def evaluator(seed: int = 0) -> Evaluator:
    torch.manual_seed(seed)
    return Evaluator(MatchingNetwork(SHAPE), np.zeros(263), np.ones(263), vocabulary())


def motion(number: int, frames: int) -> np.ndarray:
    """(frames, 263) float32."""
    return np.random.default_rng(number).normal(size=(frames, 263)).astype(np.float32)


def write_corpus(folder: Path, clips: int = 20) -> Path:
    """Splits of `clips` clips each of 40 frames and more, two captions each, one of the first clip's of a part."""
    for name in ("new_joint_vecs", "texts"):
        (folder / name).mkdir(parents=True)
    for place, split in enumerate(("train", "val", "test")):
        names = [f"{1000 * place + i:06d}" for i in range(clips)]
        for i, name in enumerate(names):
            np.save(folder / "new_joint_vecs" / f"{name}.npy", motion(1000 * place + i, 40 + 7 * (i % 20)))
            verb, manner = VERBS[i % 2], MANNERS[i // 2 % 2]
            lines = [f"a person {verb}s.#a/DET person/NOUN {verb}/VERB#0.0#0.0",
                     f"a person {verb}s {manner}.#a/DET person/NOUN {verb}/VERB {manner}/ADV#nan#nan"]  # fmt: skip
            (folder / "texts" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    np.save(folder / "Mean.npy", np.zeros(263, np.float32))
    np.save(folder / "Std.npy", np.ones(263, np.float32))
    return folder


def write_evaluator(folder: Path, judge: Evaluator | None = None, protocol: int = 4) -> Path:
    """The layout of the published download, pickles included."""
    judge = evaluator() if judge is None else judge
    for name in ("text_mot_match/model", "Comp_v6_KLD01/meta", "glove"):
        (folder / name).mkdir(parents=True)
    parts = {k: getattr(judge.network, k).state_dict() for k in ("movement_encoder", "text_encoder", "motion_encoder")}
    learnt = torch.optim.Adam(judge.network.text_encoder.parameters(), 1e-4)
    saved = {**parts, "opt_text_encoder": learnt.state_dict(), "epoch": 3, "iter": 9}
    torch.save(saved, folder / "text_mot_match/model/finest.tar")
    np.save(folder / "Comp_v6_KLD01/meta/mean.npy", judge.mean)
    np.save(folder / "Comp_v6_KLD01/meta/std.npy", judge.std)
    np.save(folder / "glove/our_vab_data.npy", judge.vocabulary.vectors.astype(np.float64))
    for name, value in (("words", list(judge.vocabulary.words)), ("idx", judge.vocabulary.rows)):
        (folder / f"glove/our_vab_{name}.pkl").write_bytes(pickle.dumps(value, protocol))
    return folder


def write_words(folder: Path, size: int = SHAPE.word) -> Path:
    """The published vocabulary's files, with a plain list of words in place of the pickles."""
    folder.mkdir(parents=True, exist_ok=True)
    own = vocabulary(size)
    np.save(folder / "our_vab_data.npy", own.vectors.astype(np.float64))
    (folder / "our_vab_words.txt").write_text("\n".join(own.words) + "\n")
    return folder
