"""The tokenizer and codes stages of `scripts/train.py`: windows of features, losses and figures by modality."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from avatargpt.config import Schedule
from avatargpt.metrics.face import events_kept
from avatargpt.train.loop import run
from avatargpt.train.processes import cores, map_in_order
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.clip import Clip
from instruct_data.factory.mixture import clip_class
from instruct_data.store import ClipCodes, Store
from vqvae import arkit, modalities
from vqvae.errors import UserError
from vqvae.features import UPPER, gesture_joints
from vqvae.losses import (
    FaceLossWeights,
    GestureLossWeights,
    LossWeights,
    body_joints,
    body_losses,
    body_points,
    face_losses,
    gesture_losses,
)
from vqvae.networks import TokenizerConfig, begin_direct
from vqvae.strict import PositiveInt, Rate, Share, Strict, Weights
from vqvae.tokenizer import MotionTokenizer, layout

BLOCK = 4096  # frames that statistics read at a time: some megabytes


class ClipSampling(NamedTuple):
    """How often clips are drawn: ~ frames * class_frames^-balance * (1 - speed + speed * limb speed / median limb
    speed) * (1 + rise, where the ground rises) * (error / median error)^error."""

    balance: float = 0.5
    speed: float = 0.0
    rise: float = 0.0
    error: float = 0.0


@dataclass
class Windows:
    """Clips of features with a class each."""

    clips: FeatureFile  # one (T, D) float32 array per clip, on disk
    labels: list[str]  # class of each clip, for balancing
    rare: np.ndarray  # (clips,) bool, True for the sources reported separately
    hold: list[slice]  # channels that are zero while a pose is held (velocities), for padding short clips
    ground: slice | None = None  # channel of the rise of the ground
    errors: np.ndarray | None = None  # (clips,) of the tokenizer that is trained on; None = not measured

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (D,) float32 over all frames, to the bit as NumPy computes them in float64."""
        frames = int(self.clips.lengths.sum())
        mean = self._sum_powers(np.zeros(self.clips.width), power=1) / frames
        return mean.astype(np.float32), np.sqrt(self._sum_powers(mean, power=2) / frames).astype(np.float32)

    def _sum_powers(self, centre: np.ndarray, power: int) -> np.ndarray:
        """(D,) sum over all frames of (frame - centre) ** power."""
        total = np.zeros_like(centre)
        for block in self.clips.blocks(BLOCK):
            off = block.astype(np.float64) - centre
            # Reduced together with the running sum: NumPy adds the rows of one array in this order, too.
            total = np.add.reduce(np.concatenate([total[None], off if power == 1 else off * off]), axis=0)
        return total

    def probabilities(self, sampling: ClipSampling) -> np.ndarray:
        """(clips,), see `ClipSampling`.

        Without velocity channels all channels' change from frame to frame stands for the limbs' speed.
        """
        cached: dict[ClipSampling, np.ndarray] = self.__dict__.setdefault("_probabilities", {})
        if sampling not in cached:
            balance, speed, rise, error = sampling
            frames = self.clips.lengths.astype(float)
            names, inverse = np.unique(self.labels, return_inverse=True)
            per_class = np.bincount(inverse, frames, len(names))
            weight = frames * per_class[inverse] ** -balance
            moving = (c[:, self.hold[-1]] if self.hold else c[1:] - c[:-1] for c in self.clips)
            # The last channels to hold are velocities of the limbs.
            fast = np.array([np.abs(m).mean() if m.size else 0.0 for m in moving])
            # At most four times the median: a few very fast clips must not fill the batches.
            weight *= 1 - speed + speed * np.minimum(fast / np.median(fast), 4)
            if rise and self.ground is not None:
                weight *= 1 + rise * np.array([bool(c[:, self.ground].any()) for c in self.clips])
            if error and self.errors is not None:
                weight *= (self.errors / np.median(self.errors)) ** error
            cached[sampling] = weight / weight.sum()
        return cached[sampling]

    def measure(self, model: MotionTokenizer, window: int, rows: int, device: torch.device) -> None:
        """Set `errors`: mean absolute error of the first `window` normalised frames of each clip through `model`."""
        errors = []
        with torch.inference_mode():
            for first in range(0, len(self.clips), rows):
                chosen = range(first, min(first + rows, len(self.clips)))
                x = torch.from_numpy(self._windows(list(chosen), [0] * len(chosen), window)).to(device)
                x = (x - model.mean) / model.std
                errors.append((model(x)[0].float() - x).abs().mean((1, 2)).cpu().numpy())
        self.errors = np.concatenate(errors)

    def batch(self, count: int, window: int, seed: list[int], sampling: ClipSampling) -> np.ndarray:
        """(count, window, D) float32; the same seed gives the same windows.

        Clips shorter than `window` are lengthened by holding their last pose.
        """
        return self._windows(*self._draw_windows(count, window, seed, sampling), window)

    def _windows(self, chosen: list[int], starts: list[int], window: int) -> np.ndarray:
        """(clips, window, D) float32, from each clip's start."""
        out = np.empty((len(chosen), window, self.clips.width), np.float32)
        for row, i, start in zip(out, chosen, starts, strict=True):
            part = self.clips.frames(i, start, start + window)
            row[: len(part)], row[len(part) :] = part, part[-1]
            for channels in self.hold:
                row[len(part) :, channels] = 0
        return out

    def _draw_windows(
        self, count: int, window: int, seed: list[int], sampling: ClipSampling
    ) -> tuple[list[int], list[int]]:
        """Clips of a batch, and the frame at which the window begins in each."""
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(self.clips), count, p=self.probabilities(sampling)).tolist()
        spare = (self.clips.lengths[chosen] - window).tolist()
        return chosen, [int(rng.integers(n + 1)) if n >= 0 else 0 for n in spare]

    def on(self, device: torch.device) -> ResidentWindows:
        """The same windows, with all frames in the memory of a device."""
        return ResidentWindows(self, device)


class ResidentWindows:
    """Windows whose batches are gathered on the device that holds the frames."""

    def __init__(self, windows: Windows, device: torch.device) -> None:
        self.windows, clips = windows, windows.clips
        self.lengths, self.starts = clips.lengths, np.cumsum(clips.lengths) - clips.lengths
        self.frames = torch.empty(int(self.lengths.sum()), clips.width, device=device)
        for n, block in enumerate(clips.blocks(BLOCK)):
            self.frames[n * BLOCK : n * BLOCK + len(block)] = torch.from_numpy(block)
        held = torch.zeros(clips.width, dtype=torch.bool)
        for channels in windows.hold:
            held[channels] = True
        self.held = held.to(device)

    def batch(self, count: int, window: int, seed: list[int], sampling: ClipSampling) -> torch.Tensor:
        """(count, window, D) on the device; see `Windows.batch`."""
        chosen, begins = self.windows._draw_windows(count, window, seed, sampling)
        places, last = np.array(begins)[:, None] + np.arange(window), self.lengths[chosen][:, None] - 1
        index = torch.from_numpy(self.starts[chosen][:, None] + np.minimum(places, last)).to(self.frames.device)
        out = self.frames[index]
        if (past := places > last).any():
            out.masked_fill_(torch.from_numpy(past).to(out.device)[..., None] & self.held, 0)
        return out


class FeatureFile:
    """(T, D) float32 clips in a file without a name, which goes with the object; in memory are their lengths alone.

    It has one position to read at: one thread at a time.

    Args:
        folder: with space for 4 D bytes per frame; it, or the nearest folder above that exists, is used.
    """

    def __init__(self, folder: Path) -> None:
        # The run's folder may not exist yet, and temporary folders are often too small or in memory.
        self.folder = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())
        try:
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed with the object
        except OSError as e:
            raise UserError(f"{self.folder}: no room for the features of the clips ({e.strerror or e})") from None
        self._ends, self.width = [0], 0

    def add(self, features: np.ndarray) -> None:
        """Append a clip (T, D), stored in float32. Raises UserError for a full disk or another D than before."""
        rows = np.ascontiguousarray(features, np.float32)
        if self.width not in (0, rows.shape[1]):
            raise UserError(f"a clip of {rows.shape[1]} channels among such of {self.width}; accepted: one width")
        self.width = rows.shape[1]
        try:
            self._file.seek(self._ends[-1] * self.width * rows.itemsize)
            self._file.write(rows.data)
            self._file.flush()
        except OSError as e:
            raise UserError(f"{self.folder}: cannot keep the features of the clips ({e.strerror or e})") from None
        self._ends.append(self._ends[-1] + len(rows))

    @property
    def lengths(self) -> np.ndarray:
        """(clips,) int64 frames of each clip."""
        return np.diff(np.array(self._ends, np.int64))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.frames(index % len(self), 0, None)

    def frames(self, clip: int, start: int, stop: int | None) -> np.ndarray:
        """(stop - start, D) of a clip, or up to its end, without reading the rest of it."""
        first, end = self._ends[clip], self._ends[clip + 1]
        end = end if stop is None else min(end, first + stop)
        return self._read(first + start, end)

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """All frames of all clips in order, (at most `frames`, D) at a time."""
        places = [*range(0, self._ends[-1], frames), self._ends[-1]]
        yield from (self._read(a, b) for a, b in pairwise(places))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def _read(self, first: int, end: int) -> np.ndarray:
        data = bytearray(max(0, end - first) * self.width * np.dtype(np.float32).itemsize)
        self._file.seek(first * self.width * np.dtype(np.float32).itemsize)
        if self._file.readinto(data) != len(data):
            raise UserError(f"{self.folder}: the features of the clips were cut short; run the stage again")
        return np.frombuffer(data, np.float32).reshape(-1, self.width)


Losses = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]


class Objective:
    """Losses and figures of one modality; a subclass names the section of its weights and its error.

    Args:
        losses: of the configuration, at `where`. downsample: frames of a token.
    """

    section: type[Strict]
    error: str

    def __init__(self, losses: Mapping[str, float], where: str, downsample: int) -> None:
        self.weights: Any = self.section.read(losses, where)
        self.downsample = downsample

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """Weighted terms that are summed, and figures that are only logged; (B, T, D) normalised features."""
        raise NotImplementedError

    def measure(self, rebuilt: list[np.ndarray], clips: list[np.ndarray]) -> tuple[np.ndarray, dict[str, float]]:
        """The error (N,) of each decoded clip, and further figures of them all."""
        raise NotImplementedError

    def validate(self, model: MotionTokenizer, clips: list[np.ndarray], rare: np.ndarray) -> dict[str, float]:
        """Figures over full clips (all levels), overall and of the `rare` sources; none without clips."""
        if not clips:
            return {}
        codes = [model.encode_features(features) for features in clips]
        rebuilt = [model.decode_features(c)[: len(x)] for c, x in zip(codes, clips, strict=True)]
        errors, figures = self.measure(rebuilt, clips)
        used = {code for c in codes for code in c[:, 0].tolist()}  # of level 0
        out = {f"val_{self.error}": float(errors.mean()), **figures, "val_codes_used": len(used)}
        return {**out, f"val_rare_{self.error}": float(errors[rare].mean())} if rare.any() else out


class BodyObjective(Objective):
    """Features, joints, path, contacts and jerk; the error is that of joints in the heading frame, mm."""

    section, error = LossWeights, "mm"

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """See `Objective`; logged: mean joint error in mm."""
        points = body_points(target * std + mean)
        losses = body_losses(predicted, target, mean, std, points, self.weights, self.downsample)
        return losses, {"mpjpe_mm": losses.pop("mpjpe") * 1000}

    def measure(self, rebuilt: list[np.ndarray], clips: list[np.ndarray]) -> tuple[np.ndarray, dict[str, float]]:
        return np.array([
            float((body_joints(torch.from_numpy(a)) - body_joints(torch.from_numpy(b))).norm(dim=-1).mean()) * 1000
            for a, b in zip(rebuilt, clips, strict=True)
        ]), {}


class FaceObjective(Objective):
    """Features and their change; lids and lips in units of ARKit weight, as the error is."""

    section, error = FaceLossWeights, "weight_error"

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """See `Objective`; logged: mean error of the 52 weights."""
        losses = face_losses(predicted, target, mean, std, self.weights)
        return losses, {"weight_error": losses.pop("weight_error")}

    def measure(self, rebuilt: list[np.ndarray], clips: list[np.ndarray]) -> tuple[np.ndarray, dict[str, float]]:
        """The head's error in degrees as well, and the shares of blinks and of closed lips that stay."""
        off = [np.abs(a - b) for a, b in zip(rebuilt, clips, strict=True)]
        head = np.degrees(np.concatenate([x[:, arkit.COUNT :] for x in off]).mean())
        kept = {f"val_{k}_kept": v for k, v in events_kept(clips, rebuilt).items()}
        return np.array([x[:, : arkit.COUNT].mean() for x in off]), {"val_head_degrees": float(head), **kept}


class GestureObjective(Objective):
    """Features and their change; where upper body and fingers are and how they move.

    The error is that of all 43 joints from a still pelvis, mm.
    """

    section, error = GestureLossWeights, "mm"

    def losses(self, predicted: torch.Tensor, target: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> Losses:
        """See `Objective`; logged: mean error of the 43 joints in mm."""
        losses = gesture_losses(predicted, target, mean, std, self.weights)
        return losses, {"mpjpe_mm": losses.pop("mpjpe") * 1000}

    def measure(self, rebuilt: list[np.ndarray], clips: list[np.ndarray]) -> tuple[np.ndarray, dict[str, float]]:
        """Also of the wrists, and of the fingers from their wrist; the speed of the wrists as a share of the clips'."""
        errors, wrists = [], [UPPER.index("l_wrist"), UPPER.index("r_wrist")]
        for a, b in zip(rebuilt, clips, strict=True):
            decoded, real = (gesture_joints(torch.from_numpy(x)).numpy() for x in (a, b))
            # Fingers relative to their wrist: errors of the arm are counted with the wrists.
            hands = [x[:, len(UPPER) :].reshape(len(x), 2, -1, 3) - x[:, wrists, None] for x in (decoded, real)]
            off = (decoded - real, (decoded - real)[:, wrists], hands[0] - hands[1])
            speed = [np.linalg.norm(np.diff(x[:, wrists], axis=0), axis=-1).sum() for x in (decoded, real)]
            errors.append((*(np.linalg.norm(x, axis=-1).mean() * 1000 for x in off), *speed))
        rows = np.array(errors)
        kept = float(rows[:, 3].sum() / max(float(rows[:, 4].sum()), 1e-9))
        return rows[:, 0], {"val_wrist_mm": float(rows[:, 1].mean()), "val_finger_mm": float(rows[:, 2].mean()),
                            "val_speed_kept": kept}  # fmt: skip


OBJECTIVES: dict[str, type[Objective]] = {
    "body": BodyObjective, "face": FaceObjective, "gesture": GestureObjective
}  # fmt: skip


def objective(modality: str, losses: Mapping[str, float], where: str, downsample: int) -> Objective:
    """The objective of a modality whose tokens are `downsample` frames each."""
    if modality not in OBJECTIVES:
        raise UserError(f"{where}: no losses for modality {modality!r}; accepted: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[modality](losses, f"{where}: losses", downsample)


COMPONENTS = 4000  # windows of eight tokens that principal components are computed from


class TokenizerTraining(Schedule):
    """Training of a tokenizer.

    Attributes:
        batch: windows per step. window: frames.
        balance: sampling weight of a class ~ frames^-balance.
        speed, rise: extra weight of clips with fast limbs, and of such in which the ground rises; 0 = none.
        error: power of a clip's error under the tokenizer that is trained on; 0 = all alike.
        decoder_only: of a tokenizer to start from, the decoder alone is trained.
        level_dropout: share of steps that decode from a random number of levels; not of a decoder trained alone.
        losses: weights of the modality's losses (`LossWeights` of `vqvae.losses`, of faces and gestures beside it).
    """

    window: PositiveInt = 64
    lr: Rate = 4e-4
    clip: Rate = 5.0
    balance: Share = 0.5
    speed: Share = 0.5
    rise: Rate = 0.0
    error: Rate = 0.0
    decoder_only: bool = False
    level_dropout: Share = 0.2
    log_every: PositiveInt = 50
    save_every: PositiveInt = 500
    val_every: PositiveInt = 1000
    losses: Weights = {}


class TokenizerRecipe(Strict):
    """A configuration of the tokenizer stage."""

    model: TokenizerConfig = TokenizerConfig()
    train: TokenizerTraining = TokenizerTraining()


def fit_normaliser(model: MotionTokenizer, windows: Windows) -> None:
    """Mean and std per channel over the training frames; a channel's std is at least a tenth of its group's mean.
    A direct path begins as the principal components of such frames.
    """
    mean, std = windows.statistics()
    for group in model.spec.slices().values():
        # A channel that hardly moves must not be blown up to the size of the others.
        std[group] = np.maximum(std[group], 0.1 * std[group].mean())
    model.mean.copy_(torch.from_numpy(mean))
    model.std.copy_(torch.from_numpy(np.maximum(std, 1e-5)))
    if model.config.direct:
        step = model.downsample
        drawn = windows.batch(COMPONENTS, 8 * step, [0, 8], ClipSampling()).reshape(-1, step, model.spec.dim)
        frames = (torch.from_numpy(drawn).to(model.mean.device) - model.mean) / model.std
        begin_direct(model.encoder, model.decoder, frames)


def _has_room(device: torch.device, clips: FeatureFile) -> bool:
    """Whether a GPU can hold all frames in half of its free memory."""
    if device.type == "cuda":
        return int(clips.lengths.sum()) * clips.width * 4 < torch.cuda.mem_get_info(device)[0] // 2
    return device.type != "cpu"


class TokenizerStage(Stage):
    """A tokenizer in training.

    Args:
        start: a tokenizer that is trained on; with `decoder_only` its codes stay what they are.
    """

    recipe: TokenizerRecipe
    schedule: TokenizerTraining

    def __init__(
        self, recipe: TokenizerRecipe, windows: Windows, val: Windows, runtime: Runtime, where: str,
        start: MotionTokenizer | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.windows, self.val, self.runtime = recipe, recipe.train, windows, val, runtime
        t = self.schedule
        self.rows = runtime.share(t.batch, f"{where}: train")
        # Replacement of dead codes draws random rows, other ones on each process.
        torch.manual_seed(t.seed + runtime.rank)
        model = (MotionTokenizer(recipe.model) if start is None else start).to(runtime.device)
        if start is not None and start.config != recipe.model:
            raise UserError(f"{where}: model: another shape than that of --start; accepted: the same")
        if model.spec.dim != (width := windows.clips.width):
            raise UserError(f"{where}: {model.config.modality}: {model.spec.dim} channels, but the store has {width}")
        if start is None:
            if t.decoder_only:
                raise UserError(f"{where}: train: decoder_only needs a tokenizer; accepted: --start FOLDER")
            fit_normaliser(model, windows)
        elif t.error:
            windows.measure(model, t.window, t.batch, runtime.device)
        if t.decoder_only:
            model.requires_grad_(False)
            model.decoder.requires_grad_(True)
        # A step on a GPU is shorter than reading its windows.
        self.resident = windows.on(runtime.device) if _has_room(runtime.device, windows.clips) else None
        self.objective = objective(model.config.modality, t.losses, f"{where}: train", model.downsample)
        if t.window % model.downsample:
            raise UserError(f"{where}: train: window: {t.window}; accepted: whole tokens of {model.downsample} frames")
        self.module = self.model = model
        self.network = model.decoder if t.decoder_only else model
        self.identity = {"shape": model.config.model_dump()}
        if start is not None:
            self.identity["start"] = model.fingerprint
        trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained, lr=t.lr, betas=(0.9, 0.98), weight_decay=t.weight_decay, fused=True
        )
        self.drop = np.random.default_rng([t.seed, 7]).random(t.steps) < t.level_dropout  # the same when resumed

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t, model = self.schedule, self.model
        draw = self.rows, t.window, context.row_seed, ClipSampling(t.balance, t.speed, t.rise, t.error)
        x = torch.from_numpy(self.windows.batch(*draw)) if self.resident is None else self.resident.batch(*draw)
        x = (x.to(self.runtime.device) - model.mean) / model.std
        # Decoding from fewer levels makes the first ones carry most of the motion.
        model.vq.quantize_dropout = bool(self.drop[context.step])
        with self.runtime.autocast():
            predicted, _, commit = module(x)
        losses, logged = self.objective.losses(predicted.float(), x, model.mean, model.std)
        losses["commit"] = commit
        return torch.stack(list(losses.values())).sum(), {**losses, **logged}

    def finish_step(self, step: int) -> None:
        if step == self.schedule.steps and not self.schedule.decoder_only:
            self.model.round_codebooks()

    def validate(self) -> dict[str, float]:
        self.model.vq.quantize_dropout = False
        figures = self.objective.validate(self.model.eval(), list(self.val.clips), self.val.rare)
        self.network.train()
        return figures

    def save(self, out: Path) -> None:
        self.model.save(out)


# Sources of held-out clips that are reported separately.
RARE: dict[str, Callable[[str], bool]] = {
    "body": lambda source: not source.startswith("bandai"), "face": lambda source: source.startswith("livelink"),
}  # fmt: skip


ROWS = 16  # of a store that a process encodes at a time


def feature_windows(store: Store, split: str, folder: Path, config: TokenizerConfig, workers: int = 1) -> Windows:
    """Features of a store's single clips (composed ones add nothing to a tokenizer), in a file in `folder`.

    `config`: of the tokenizer, whose layout of bodies is taken. `workers`: processes that encode.
    """
    same = config.modality == store.modality
    spec = layout(config) if same else modalities.get(store.modality).features()
    is_rare = RARE.get(store.modality, lambda source: False)
    clips, labels, rare = FeatureFile(folder), [], []
    # A composed clip repeats frames of single ones.
    rows = (row for row in store.rows(split) if row["source"] != "composed")

    def encode_row(row: dict[str, Any]) -> tuple[np.ndarray, str, bool]:
        clip = store.clip(row)
        return spec.encode(clip.load()), clip_class(clip), is_rare(clip.source)

    for features, label, seldom in map_in_order(encode_row, rows, workers, ROWS):
        clips.add(features)
        labels.append(label)
        rare.append(seldom)
    if split == "train" and not clips:
        raise UserError(f"{store.path}: no single training clips in it")
    groups = spec.slices()
    hold = [groups[k] for k in ("velocity", "yaw", "joint_velocity") if k in groups]
    return Windows(clips, labels, np.array(rare), hold, groups.get("rise"))


def tokenizer_stage(recipe: TokenizerRecipe, args: SimpleNamespace) -> None:
    """Train a motion tokenizer."""
    runtime = Runtime.start(args.threads, args.device)
    store = Store.open(args.store)
    out = Path(args.output)
    workers = max(1, cores(args.threads) // runtime.world)
    windows, val = (feature_windows(store, split, out, recipe.model, workers) for split in ("train", "val"))
    trainable, start = not recipe.train.decoder_only, None
    if args.start:
        start = MotionTokenizer.load(args.start, trainable=trainable, training=recipe.model)
    run(TokenizerStage(recipe, windows, val, runtime, str(args.config), start), out, runtime, args.until)


def tokenise_clip(clip: Clip, tokenizer: MotionTokenizer) -> ClipCodes:
    """A clip as codes; one whose name ends in ``_m`` is a mirror image."""
    motion = clip.load()
    return ClipCodes(
        clip.id, tokenizer.encode(motion), clip.captions, clip.split, clip.source, clip.licence, clip.action,
        clip.style, len(motion), motion.fps, clip.id.endswith("_m"), tokenizer.config.modality, clip.extra,
    )  # fmt: skip


def codes_stage(args: SimpleNamespace) -> None:
    """Motion store -> tokenised cache: all that the language stage reads."""
    runtime = Runtime.start(args.threads, args.device)
    tokenizer, clips = MotionTokenizer.load(args.tokenizer, runtime.device), Store.open(args.store)
    # A GPU cannot be used by forked processes.
    workers = cores(args.threads) if runtime.device.type == "cpu" else 1
    items = map_in_order(lambda row: tokenise_clip(clips.clip(row), tokenizer), clips.rows(), workers, ROWS)
    store = Store.write_codes(items, args.output, tokenizer.fingerprint)
    print(f"{args.output}: {len(store)} clips as codes of tokenizer {tokenizer.fingerprint[:12]}")
