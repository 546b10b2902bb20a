"""The film-words stage of `scripts/train.py`: captioned clips as films show them -> `avatargpt.video.film_words`.

What is to be said of a clip is spread over the captions of the phrase index by their nearness to the clip's own, and to
plain words where its path says that it stands, walks or runs: what is sure is said where the action is not.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatargpt.config import Schedule
from avatargpt.kinematics.measures import motion_signature
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.resources import weights
from avatargpt.train.film_landmarks import Detector, drop_frames, film, forth_and_back
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from avatargpt.video.body_network import Landmarks
from avatargpt.video.film_words import FilmWords, WordsNet, WordsShape
from avatargpt.video.paths import lift_landmarks
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import VALIDATION, families, keyframed
from instruct_data.sources.quantised import read_quantised
from instruct_data.text.english import mirror_text
from vqvae.errors import UserError
from vqvae.features import smooth_heading
from vqvae.io.files import atomic_write
from vqvae.motion import Motion
from vqvae.rotations import matrix_from_quaternion
from vqvae.skeleton import SMPL22
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Share, Strict

SECONDS, LEAST = (2.0, 9.8), 24  # s of a segment of a film, frames of a clip
TOGETHER = 16  # motions that are filmed at once
# Of plain words: m of a pelvis that does not sit, m/s of who stands and of hands that do nothing, shares of a path that
# goes ahead, m/s of walks and runs, radians of a turn
UPRIGHT, STANDS, QUIET, STRAIGHT, WALKS, RUNS, TURN = 0.75, 0.15, 0.25, 0.7, (0.4, 1.7), (2.2, 8.0), 0.7
WRISTS = [SMPL22.index("l_wrist"), SMPL22.index("r_wrist")]


class WordsTraining(Schedule):
    """The section `train` of `configs/film_words.yaml`."""

    block: PositiveInt = 512  # films that are simulated at once, before the training
    blocks: PositiveInt = 12
    held: PositiveInt = 1  # and of held-out clips
    keyframes: NonNegativeInt = 4  # clips of each of our key-framed families
    shares: dict[str, Share] = {}  # of the examples, by source; nothing is learnt from those of 0
    other: Share = 0.04  # of each other source
    whole: Share = 0.3  # of recorded clips that are filmed from beginning to end, others in part
    plain: Share = 0.35  # of texts that are `plain_words` where there are some
    temperature: Rate = 0.03  # of nearness in what is to be said
    noise: Rate = 0.05  # added to the numbers of a motion, in units of their deviation


class WordsRecipe(Strict):
    """A configuration of the stage."""

    model: WordsShape = WordsShape()
    train: WordsTraining = WordsTraining()


def clips_of(folders: str, split: str, train: WordsTraining) -> tuple[list[Clip], np.ndarray]:
    """Recorded and key-framed clips of a split, and the chance of each."""
    clips = [c for f in folders.split(",") for c in read_quantised(f, split) if c.captions]
    seeds = range(train.keyframes) if split == "train" else range(VALIDATION, VALIDATION + min(train.keyframes, 1))
    clips += [c for family in families().values() for c in keyframed(family, seeds)]
    clips = [c for c in clips if train.shares.get(c.source, train.other) and c.extra.get("n_frames", LEAST) >= LEAST]
    if not clips:
        raise UserError(f"{folders}: no clips of the split {split}")
    sources, kinds = Counter(c.source for c in clips), Counter((c.source, c.action) for c in clips)
    # of a source that repeats few actions these are drawn alike, by the root of their number
    chance = np.array([train.shares.get(c.source, train.other) * kinds[c.source, c.action] ** -0.5 for c in clips])
    for source in sources:
        rows = np.array([c.source == source for c in clips])
        chance[rows] *= train.shares.get(source, train.other) / chance[rows].sum()
    return clips, chance / chance.sum()


def piece_of(motion: Motion, whole: bool, rng: np.random.Generator) -> Motion:
    """A stretch of a motion, as long as a film's segments are."""
    low, high = (round(s * motion.fps) for s in SECONDS)
    least = max(low, len(motion) // 2)
    length = min(len(motion), high, 10**9 if whole else int(rng.integers(least, max(least, len(motion)) + 1)))
    first = int(rng.integers(0, len(motion) - length + 1))
    return motion.slice(first, first + length)


def plain_words(motion: Motion) -> str:
    """What is true of a motion whatever its action is, by its path: that it stands, walks or runs; empty = neither."""
    joints = motion.joints.astype(np.float64)
    path = joints[:, 0, [0, 2]]
    speed = float(np.linalg.norm(np.diff(path, axis=0), axis=-1).mean() * motion.fps)
    hands = float(np.linalg.norm(np.diff(joints[:, WRISTS], axis=0), axis=-1).mean() * motion.fps)
    if np.median(joints[:, 0, 1]) < UPRIGHT:
        return ""
    if speed < STANDS and hands < QUIET:
        return "a person stands still"
    gone = path[-1] - path[0]
    far = float(np.linalg.norm(gone)) * motion.fps / max(len(motion) - 1, 1)
    facing = smooth_heading(joints)
    ahead = np.cos(np.arctan2(*gone) - facing.mean())
    if far < STRAIGHT * speed or ahead < STRAIGHT or not WALKS[0] < speed < RUNS[1]:
        return ""
    side = "left" if facing[-1] > facing[0] else "right"
    turns = f" and turns {side}" if abs(facing[-1] - facing[0]) > TURN else ""
    if speed < WALKS[1]:
        return f"a person walks forward{turns}"
    return f"a person runs forward{turns}" if speed > RUNS[0] else ""


def film_motions(motions: Sequence[Motion], detector: Detector) -> list[Motion]:
    """The motions, all as long as the shortest, as they are read off simulated films."""
    frames, known = min(map(len, motions)), detector.errors.shape[1]
    at = torch.from_numpy(forth_and_back(known, max(2 * frames, known)))
    longer = replace(detector, errors=detector.errors[:, at], aside=detector.aside[:, at])
    turns = torch.from_numpy(np.stack([m.rotations[:frames] for m in motions])).float()
    turns = matrix_from_quaternion(turns)
    root = torch.from_numpy(np.stack([m.root[:frames] for m in motions])).float()
    marks = drop_frames(film(*SMPL22.fk_global_torch(turns, root), longer)[0])
    tracks = [Landmarks(*(x[k : k + 1] for x in marks)) for k in range(len(motions))]
    return [lift_landmarks(track).motion.canonical() for track in tracks]


@torch.no_grad()
def film_examples(
    clips: Sequence[Clip], chance: np.ndarray, detector: Detector, train: WordsTraining, seed: Sequence[int]
) -> dict[str, np.ndarray]:
    """Filmed motions, half of them mirrored: ``signatures``, the clips' ``captions`` as JSON, and `plain_words`."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(int(rng.integers(1 << 31)))
    drawn = [clips[k] for k in rng.choice(len(clips), train.block, p=chance)]
    pieces = [piece_of(c.load(), c.source == "synthetic" or rng.random() < train.whole, rng) for c in drawn]
    other = rng.random(train.block) < 0.5
    pieces = [p.mirrored() if o else p for p, o in zip(pieces, other, strict=True)]
    order = sorted(range(train.block), key=lambda k: len(pieces[k]))
    signatures: list[np.ndarray] = []
    for part in (order[k : k + TOGETHER] for k in range(0, train.block, TOGETHER)):
        signatures += [motion_signature(m.joints) for m in film_motions([pieces[k] for k in part], detector)]
    said = [[mirror_text(t) if other[k] else t for t in drawn[k].captions] for k in order]
    plain = np.array([plain_words(pieces[k]) for k in order])
    captions = np.array([json.dumps(texts) for texts in said])
    return {"signatures": np.stack(signatures), "captions": captions, "plain": plain}


class Examples:
    """Films of a split: signatures (n, SIZE), unit vectors (m, 384) of captions, and which each may have.

    They are simulated in blocks, each once, which stay in the run's folder.
    """

    def __init__(self, folders: str, split: str, detector: Detector, train: WordsTraining, out: Path) -> None:
        count = train.blocks if split == "train" else train.held
        paths = [out / f"{split}_{k}.npz" for k in range(count)]
        if not all(p.is_file() for p in paths):
            out.mkdir(parents=True, exist_ok=True)
            clips, chance = clips_of(folders, split, train)
        for k, path in enumerate(paths):
            if not path.is_file():
                seed = [train.seed, split == "train", k]
                arrays = film_examples(clips, chance, detector, train, seed)
                atomic_write(path, lambda p, a=arrays: np.savez(p, **a))  # type: ignore[misc]
        blocks = [np.load(path) for path in paths]
        captions = [
            json.loads(c) + [str(p)] * bool(p)
            for block in blocks for c, p in zip(block["captions"], block["plain"], strict=True)
        ]  # fmt: skip
        texts = [[t.lower().rstrip(".") for t in row] for row in captions]
        numbers = {t: k for k, t in enumerate(dict.fromkeys(t for row in texts for t in row))}
        self.signatures = torch.from_numpy(np.concatenate([block["signatures"] for block in blocks]))
        self.vectors = torch.from_numpy(SentenceGrounder(cache_size=0).sentence(list(numbers)))
        self.captions = [[numbers[t] for t in row] for row in texts]
        self.plain = np.array([bool(p) for block in blocks for p in block["plain"]])  # whose last caption is plain


class WordsStage(Stage):
    """The network in training."""

    def __init__(self, recipe: WordsRecipe, learnt: Examples, held: Examples, sentences: np.ndarray) -> None:
        self.recipe, self.schedule, self.learnt, self.held = recipe, recipe.train, learnt, held
        self.sentences, self.user = torch.from_numpy(np.asarray(sentences, np.float32)), FilmWords
        torch.manual_seed(recipe.train.seed)
        self.network = self.module = WordsNet(recipe.model)
        self.network.mean.copy_(learnt.signatures.mean(0))
        self.network.std.copy_(learnt.signatures.std(0) + 1e-3)
        self.identity = {"shape": recipe.model.model_dump(), "sentences": len(sentences)}
        # (m, N) how likely each sentence is where a caption is said
        self.said, self.held_said = (
            (x.vectors @ self.sentences.T / recipe.train.temperature).softmax(-1) for x in (learnt, held)
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), recipe.train.lr, weight_decay=recipe.train.weight_decay
        )

    def losses(self, module: WordsNet, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        rng, x = np.random.default_rng(context.row_seed), self.learnt
        rows = rng.integers(len(x.captions), size=self.schedule.batch)
        plain = x.plain[rows] & (rng.random(len(rows)) < self.schedule.plain)
        said = self.said[[
            x.captions[k][-1 if p else int(rng.integers(len(x.captions[k])))] for k, p in zip(rows, plain, strict=True)
        ]]  # fmt: skip
        seen = x.signatures[torch.from_numpy(rows)]
        seen = seen + self.schedule.noise * self.network.std * torch.randn_like(seen)
        loss = -(said * module(seen, self.sentences).log_softmax(-1)).sum(-1).mean()
        return loss, {"loss": loss.detach()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss, and the cosine of the chosen sentence and the nearest caption of its clip, of held-out clips."""
        words, x = self.copy_network(), self.held
        logits = words.network(x.signatures, self.sentences).log_softmax(-1)
        loss = np.mean([
            float(-(self.held_said[row] * logits[k]).sum(-1).mean()) for k, row in enumerate(x.captions)
        ])  # fmt: skip
        chosen = words.choose(x.signatures.numpy(), self.sentences.numpy())[:, 0]
        near = [float((x.vectors[row] @ self.sentences[c]).max()) for row, c in zip(x.captions, chosen, strict=True)]
        return {"val_loss": float(loss), "val_near": float(np.mean(near))}


def film_words_stage(recipe: WordsRecipe, args: argparse.Namespace) -> None:
    """Train (or resume training) the network that says what people in films do."""
    runtime, out = Runtime.start(args.threads, "cpu"), Path(args.output)
    folder = args.phrases or weights()
    if (index := PhraseIndex.load(folder)) is None:
        raise UserError(f"{folder}: no phrase index in it; accepted a folder of the phrase-index stage")
    detector = Detector.load(args.detector)
    learnt, held = (Examples(args.corpus, split, detector, recipe.train, out) for split in ("train", "val"))
    stage = WordsStage(recipe, learnt, held, index.index.vectors_of(index.caption_rows))
    run(stage, out, runtime, args.until)
