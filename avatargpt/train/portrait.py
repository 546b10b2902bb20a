"""The portrait stage of `scripts/train.py`: pictures of faces with landmarks -> `avatargpt.face.portrait`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.export.head import shaped, turned
from avatargpt.export.renderers import Look, MeshRenderer
from avatargpt.face.portrait import Portrait, PortraitNetwork, PortraitShape, as_tensor, landmark_image, landmarks
from avatargpt.train.checkpoints import INSTEAD
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import turns
from vqvae.io.data_files import read_arrays
from vqvae.motion import atomic_write
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Strict

if TYPE_CHECKING:
    from PIL import Image

HELD_SEED = 7  # of held-out people
PICTURE = "portrait.png"
MIN_ERROR = 1e-10  # mean squared error of 100 dB, the highest figure
MAX_FRAMES = 36_000  # of a video
MARGIN = 0.45  # of the landmarks' box, around it
MIN_PIXELS = 16  # of a face in a video


class PortraitData(Strict):
    """Section `data` of the configuration."""

    # people, frames: renders of our own head
    people: PositiveInt = 120
    frames: Annotated[int, Field(ge=2)] = 24
    held: NonNegativeInt = 8  # people that only validate
    held_frames: NonNegativeInt = 24  # of each video the last so many frames only validate


class PortraitTraining(Schedule):
    """Section `train` of the configuration."""

    steps: PositiveInt = 2000
    batch: PositiveInt = 12
    lr: Rate = 1.0e-3
    lr_floor: Rate = 1.0e-5
    warmup: NonNegativeInt = 50
    weight_decay: Rate = 0.01
    clip: Rate = 1.0
    near: Rate = 3.0  # additional weight of pixels around landmarks
    edges: Rate = 1.0  # weight of the differences of neighbouring pixels
    log_every: PositiveInt = 25
    save_every: PositiveInt = 250
    val_every: PositiveInt = 500


class PortraitRecipe(Strict):
    """A configuration of the portrait stage."""

    data: PortraitData = PortraitData()
    model: PortraitShape = PortraitShape()
    train: PortraitTraining = PortraitTraining()


SKINS = ((1.0, 1.0, 1.0), (0.75, 0.68, 0.62), (0.48, 0.38, 0.33), (0.28, 0.21, 0.18), (1.08, 1.02, 0.98))


@dataclass(frozen=True)
class Take:
    """One person in one light."""

    frames: np.ndarray  # (T, S, S, 3) uint8
    lines: np.ndarray  # (T, S, S, 3) uint8, their landmark images
    points: np.ndarray  # (T, 68 or 70, 2), in shares of the picture
    name: str = ""  # of its source

    def part(self, frames: slice) -> Take:
        """A part of the frames."""
        return replace(self, frames=self.frames[frames], lines=self.lines[frames], points=self.points[frames])


def random_look(rng: np.random.Generator) -> Look:
    """Skin, hair, eyes, clothes, light and background drawn at random."""
    skin = np.array(SKINS[int(rng.integers(len(SKINS)))]) * rng.uniform(0.9, 1.1)
    hair = rng.choice([[1.0, 1.0, 1.0], [0.3, 0.3, 0.35], [4.0, 2.6, 1.4], [3.0, 1.0, 0.5], [7, 7, 7.5]])
    tints = {"skin": skin, "hair": hair * rng.uniform(0.8, 1.2), "eye": rng.uniform(0.8, 1.1, 3),
             "cloth": rng.uniform(0.2, 2.5, 3)}  # fmt: skip
    side = rng.uniform(-0.9, 0.9)
    return Look(
        {k: (float(v[0]), float(v[1]), float(v[2])) for k, v in tints.items()},
        (float(side), float(rng.uniform(0.0, 0.8)), 0.7), float(rng.uniform(0.8, 1.15)),
        tuple(rng.uniform(0.1, 0.95, 3).tolist()),
    )


def random_expression(rng: np.random.Generator) -> np.ndarray:
    """(52,) ARKit weights: up to five movements, mostly symmetric, and often a jaw and lids."""
    out = np.zeros(len(arkit.NAMES))
    for i in rng.integers(len(arkit.NAMES), size=int(rng.integers(0, 6))):
        name, strength = arkit.NAMES[int(i)], float(rng.uniform(0.2, 1.0))
        both = rng.random() < 0.7
        # Most expressions are symmetric.
        for side in {name, name.replace("Left", "Right"), name.replace("Right", "Left")} if both else {name}:
            out[arkit.NAMES.index(side)] = strength
    if rng.random() < 0.5:
        out[arkit.NAMES.index("jawOpen")] = rng.uniform(0, 0.8)
    if rng.random() < 0.3:
        out[[arkit.NAMES.index(f"eyeBlink{s}") for s in ("Left", "Right")]] = rng.uniform(0, 1)
    return out


def rendered(people: int, frames: int, size: int, seed: int) -> list[Take]:
    """Our own head as `people` persons: colours, proportions, light and distance differ."""
    out = []
    for person in range(people):
        rng = np.random.default_rng([seed, person])
        span, yaw = float(rng.uniform(0.28, 0.36)), float(rng.normal(0, 0.12))
        renderer = MeshRenderer(size, size, span, yaw, look=random_look(rng))
        stretch = rng.uniform([0.9, 0.92, 0.95], [1.1, 1.08, 1.05])
        heads = turns(rng.normal(0, [0.16, 0.10, 0.06], (frames, 3)))
        pictures, points = [], []
        for quaternion in heads:
            moved = turned(shaped(random_expression(rng)), quaternion) * stretch
            pictures.append(renderer.frame(moved))
            points.append(renderer.project(landmarks(moved)))
        out.append(_take(np.stack(pictures), np.stack(points), f"our head {seed}/{person}"))
    return out


def _take(frames: np.ndarray, points: np.ndarray, name: str) -> Take:
    return Take(frames, np.stack([landmark_image(p, frames.shape[1]) for p in points]), points, name)


def filmed(folder: Path, size: int) -> list[Take]:
    """Videos with landmarks: every NAME.mp4 (.mov, .mkv, .webm, .avi) beside a NAME.npz.

    The .npz holds ``landmarks`` (T, 68, 2) or (T, 70, 2), pixels of the upright video, a row for each frame, in iBUG's
    order. Every video is cut to one square around all of them. Frames without a finite landmark (no face) are left out.
    """
    kinds = (".mp4", ".mov", ".mkv", ".webm", ".avi")
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in kinds) if folder.is_dir() else []
    if not videos:
        raise UserError(f"{folder}: no video in it; accepted: NAME{kinds[0]} ({', '.join(kinds[1:])}) and NAME.npz")
    return [_filmed(video, size) for video in videos]


def _filmed(video: Path, size: int) -> Take:
    from PIL import Image

    beside = video.with_suffix(".npz")
    try:
        points = np.asarray(read_arrays(beside, ("landmarks",))["landmarks"], np.float64)
    except (KeyError, TypeError, ValueError) as e:
        accepted = "an array landmarks (T, 68, 2)"
        raise UserError(f"{beside}: no landmarks for {video.name} ({e}); accepted: {accepted}") from None
    if points.ndim != 3 or points.shape[1] not in (68, 70) or points.shape[2] != 2:
        raise UserError(f"{beside}: landmarks {points.shape}; accepted: (T, 68, 2) or (T, 70, 2), pixels")
    points = np.where(np.isfinite(points).all(2, keepdims=True), points, np.nan)
    # A frame without a single landmark shows no face.
    present = np.asarray(~np.isnan(points).all((1, 2)))
    if present.sum() < 2:
        raise UserError(f"{beside}: landmarks in {present.sum()} of {len(present)} frames; accepted: in at least 2")
    low, high = np.nanmin(points, (0, 1)), np.nanmax(points, (0, 1))
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    corner = (low + high) / 2 - side / 2
    start, end = np.floor(corner), np.ceil(corner + side)
    frames: list[np.ndarray] = []
    for picture in _pictures(video, len(points)):
        if not frames:
            _check_face(low, high, picture.size, str(beside))
        # Cropped to whole pixels first, then resampled from the exact box.
        square = picture.crop((int(start[0]), int(start[1]), int(end[0]), int(end[1])))
        box = (*(corner - start), *(corner + side - start))
        frames.append(np.asarray(square.resize((size, size), Image.Resampling.LANCZOS, box)))
    if len(frames) != len(points):
        raise UserError(f"{video}: {len(frames)} frames, but {beside.name} has landmarks for {len(points)}")
    return _take(np.stack(frames)[present], ((points - corner) / side)[present], video.name)


def _check_face(low: np.ndarray, high: np.ndarray, size: tuple[int, int], where: str) -> None:
    """Refuse landmarks that cannot be pixels of a video of this size (w, h): training would see one patch of colour."""
    beyond = np.array(size) / 2  # a face may be cut by the edge
    outside = (high <= 0).any() or (low >= size).any() or (low < -beyond).any() or (high > size + beyond).any()
    if outside or (high - low).max() < MIN_PIXELS:
        ranges = f"x from {low[0]:.5g} to {high[0]:.5g}, y from {low[1]:.5g} to {high[1]:.5g}"
        raise UserError(f"{where}: landmarks with {ranges} for a picture of {size[0]} x {size[1]}; accepted: pixels of "
                        f"the video, of a face that lies in it and spans at least {MIN_PIXELS}")  # fmt: skip


def _pictures(video: Path, limit: int) -> Iterator[Image.Image]:
    """Frames in upright orientation, at most one more than `limit`."""
    try:
        import av
    except ImportError:
        raise UserError('videos need PyAV: pip install "avatargpt[video]"') from None
    try:
        with av.open(str(video)) as container:
            for n, frame in enumerate(container.decode(video=0)):
                if n > min(limit, MAX_FRAMES):
                    break
                picture = frame.to_image()  # phones store upright videos lying
                yield picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
    except (av.FFmpegError, OSError, IndexError) as e:
        raise UserError(f"{video}: not a readable video ({e})") from None


def portrait_stage(recipe: PortraitRecipe, args: SimpleNamespace) -> None:
    """Train a picture of a face to be moved by landmarks."""
    runtime = Runtime.start(args.threads, args.device)
    data, size = recipe.data, recipe.model.size
    if args.clips:
        takes = filmed(Path(args.clips), size)
        cuts = [max(len(t.frames) - data.held_frames, 2) for t in takes]
        ends = [t.part(slice(c, None)) for t, c in zip(takes, cuts, strict=True)]
        groups = [t.part(slice(c)) for t, c in zip(takes, cuts, strict=True)], [t for t in ends if len(t.frames) > 1]
    else:
        groups = (rendered(data.people, data.frames, size, 0), rendered(data.held, data.frames, size, HELD_SEED))
    out = Path(args.output)
    run(PortraitStage(recipe, *groups, out, runtime, str(args.config)), out, runtime, args.until)


def loss_of(output: torch.Tensor, true: torch.Tensor, lines: torch.Tensor, weight: float, edges: float) -> torch.Tensor:
    """Mean absolute error, weighted up at landmarks, and that of the differences of neighbouring pixels."""
    # Landmarks are drawn as thin lines; the weight covers the area around them.
    side = 2 * (output.shape[-1] // 16) + 1
    weights = 1 + weight * F.max_pool2d(lines.amax(1, keepdim=True), side, 1, side // 2)
    loss = ((output - true).abs() * weights).sum() / (weights.sum() * 3)
    for dim in (2, 3):
        loss = loss + edges * (output.diff(dim=dim) - true.diff(dim=dim)).abs().mean()
    return loss


def draw(takes: Sequence[Take], batch: int, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames j, landmark images i and frames i of the same person, each (B, S, S, 3) uint8."""
    rng = np.random.default_rng(list(seed))
    rows = []
    for k in rng.integers(len(takes), size=batch):
        # Two different frames of one person: what stays is the person, what changes follows the landmarks.
        j, i = rng.choice(len(takes[int(k)].frames), 2, replace=False)
        rows.append((takes[int(k)].frames[j], takes[int(k)].lines[i], takes[int(k)].frames[i]))
    a, b, c = (np.stack(x) for x in zip(*rows, strict=True))
    return a, b, c


def measured(network: PortraitNetwork, takes: Sequence[Take], device: torch.device) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB of pictures of held-out people, and of the first frame unchanged.

    ``face_db`` and ``face_db_copy``: of the pixels around landmarks alone, in pictures that have some.
    """
    errors: dict[str, list[float]] = {"": [], "_copy": [], "face": [], "face_copy": []}
    with torch.inference_mode():
        for take in takes:
            first = as_tensor(take.frames[:1]).to(device)
            true, lines = as_tensor(take.frames[1:]).to(device), as_tensor(take.lines[1:]).to(device)
            face = F.max_pool2d(lines.amax(1, keepdim=True), 5, 1, 2) > 0.3
            for output, name in ((network(first.expand_as(true), lines), ""), (first.expand_as(true), "_copy")):
                wrong = (output.clamp(0, 1) - true).square()
                errors[name] += wrong.mean((1, 2, 3)).tolist()
                pixels = 3 * face.sum((1, 2, 3))
                around = (wrong * face).sum((1, 2, 3)) / pixels.clamp(min=1)
                errors["face" + name] += around[pixels > 0].tolist()
    names = {"": "val_db", "_copy": "val_db_copy", "face": "face_db", "face_copy": "face_db_copy"}
    return {names[k]: float(-10 * np.log10(max(float(np.mean(v)), MIN_ERROR))) for k, v in errors.items() if v}


def sheet(network: PortraitNetwork, takes: Sequence[Take], path: Path, device: torch.device, columns: int = 5) -> None:
    """A picture: of each person the first frame, then columns of landmarks, output and truth."""
    from PIL import Image

    rows = []
    with torch.inference_mode():
        for take in takes[:4]:
            lines = take.lines[1 : columns + 1]
            first = as_tensor(take.frames[:1]).to(device).expand(len(lines), -1, -1, -1)
            output = network(first, as_tensor(lines).to(device)).clamp(0, 1)
            output8 = (output * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            cells = [np.concatenate(list(x), 1) for x in (lines, output8, take.frames[1 : columns + 1])]
            left = np.zeros((3 * take.frames.shape[1], take.frames.shape[1], 3), np.uint8)
            left[: take.frames.shape[1]] = take.frames[0]
            rows.append(np.concatenate([left, np.concatenate(cells, 0)], 1))
    width = min(r.shape[1] for r in rows)
    atomic_write(path, lambda p: Image.fromarray(np.concatenate([r[:, :width] for r in rows], 0)).save(p, format="PNG"))


class PortraitStage(Stage):
    """A portrait in training. Raises UserError where no person has two frames."""

    recipe: PortraitRecipe
    schedule: PortraitTraining

    def __init__(
        self, recipe: PortraitRecipe, takes: Sequence[Take], val: Sequence[Take], out: Path, runtime: Runtime,
        where: str,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.val, self.out, self.runtime = recipe, recipe.train, val, out, runtime
        t = self.schedule
        self.takes = [x for x in takes if len(x.frames) > 1]
        if not self.takes:
            raise UserError(f"{where}: nobody with two pictures to learn from")
        self.rows = runtime.share(t.batch, f"{where}: train")
        self.pictures = {x.name: len(x.frames) for x in self.takes}
        self.identity = {"shape": recipe.model.model_dump()}
        torch.manual_seed(t.seed)
        self.network = self.module = PortraitNetwork(recipe.model).to(runtime.device).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, weight_decay=t.weight_decay)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        drawn = draw(self.takes, self.rows, context.row_seed)
        first, lines, true = (as_tensor(x).to(self.runtime.device) for x in drawn)
        with self.runtime.autocast():
            output = module(first, lines)
        loss = loss_of(output.float(), true, lines, self.schedule.near, self.schedule.edges)
        return loss, {"loss": loss}

    def validate(self) -> dict[str, float]:
        if not self.val:
            return {}
        figures = measured(self.network.eval(), self.val, self.runtime.device)
        if self.runtime.main:
            sheet(self.network, self.val, self.out / PICTURE, self.runtime.device)
        self.network.train()
        return figures

    def state(self) -> dict[str, Any]:
        return {"seen": self.pictures}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises UserError where it was trained on other pictures (take -> frames)."""
        before, now = state.get("seen", self.pictures), self.pictures
        changed = next((k for k in {**before, **now} if before.get(k) != now.get(k)), None)
        if changed is not None:
            counts = f"{changed}: {before.get(changed, 0)} frames, now {now.get(changed, 0)}"
            raise UserError(f"{self.out}: taught on other pictures ({counts}); {INSTEAD}")

    def save(self, out: Path) -> None:
        Portrait(self.network).save(out)
        self.network.train()
