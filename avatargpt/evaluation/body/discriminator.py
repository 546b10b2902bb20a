"""Can a small network tell real clips from made ones? Accuracy near a half means that it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.features import BodyFeatures
from vqvae.strict import PositiveInt, Rate, Strict

LEAST_CLIPS = 10


class Settings(Strict):
    """How the network looks and learns.

    Attributes:
        window: frames it sees at once (20 per second).
        windows: taken from every clip, evenly spread.
        folds: of the cross-validation; all windows of a clip are in one fold.
        epochs, width, rate, batch: of the training.
    """

    window: PositiveInt = 40
    windows: PositiveInt = 2
    folds: PositiveInt = 4
    epochs: PositiveInt = 8
    width: PositiveInt = 32
    rate: Rate = 2e-3
    batch: PositiveInt = 64


def windows_of(clip: Clip, settings: Settings, rng: np.random.Generator) -> np.ndarray | None:
    """(N, window, 269) `body` features of a clip, evenly spread; None when it is too short.

    One window of a clip is taken at random, more from its beginning to its end.
    """
    motion = clip.load().resampled(20.0)
    # Real clips come with rotations rounded for storage; all are, or the last digits would tell them apart.
    motion = replace(motion, rotations=np.round(motion.rotations * 32767) / 32767)
    if len(motion) < settings.window + 1:
        return None
    x = BodyFeatures().encode(motion)[1:]  # the first frame has no velocity
    return _cut(x, settings, rng)


def _cut(x: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    last = len(x) - settings.window
    count = min(settings.windows, last + 1)
    starts = np.linspace(0, last, count) if count > 1 else np.array([rng.integers(last + 1)])
    return np.stack([x[int(s) : int(s) + settings.window] for s in starts]).astype(np.float32)


def content_of(clip: Clip, settings: Settings, rng: np.random.Generator) -> np.ndarray | None:
    """(N, window, 6): like `windows_of`, but only what somebody would say that the clip shows.

    How fast hips and feet go, how high above the neck both hands are and how fast they move as seen from the shoulders
    (metres, metres per second), all under a Gaussian of half a second (heights: a quarter). Nothing of how joints move
    with one another is left.
    """
    from scipy.ndimage import gaussian_filter1d

    motion = clip.load().resampled(20.0)
    if len(motion) < settings.window + 1:
        return None
    joints = motion.joints.astype(np.float64)
    reach = joints[:, [20, 21]] - joints[:, [16, 17]]
    speed = [np.linalg.norm(np.diff(x, axis=0, prepend=x[:1]), axis=-1) * 20
             for x in (joints[:, [0]] * [1, 0, 1], joints[:, [7, 8]], reach)]  # fmt: skip
    fast = np.concatenate([speed[0], speed[1].mean(1, keepdims=True), speed[2]], 1)
    high = joints[:, [20, 21], 1] - joints[:, [12], 1]
    x = np.concatenate([gaussian_filter1d(fast, 10, axis=0), gaussian_filter1d(high, 5, axis=0)], 1)[1:]
    return _cut(x, settings, rng)


def accuracy(
    real: list[Clip], made: list[Clip], settings: Settings, seed: int = 0, paired: bool = False,
    look: Callable[[Clip, Settings, np.random.Generator], np.ndarray | None] = windows_of,
) -> dict[str, list[float]]:  # fmt: skip
    """Cross-validated: per clip 1.0 when the mean over its windows is on the right side.

    Both sides get the same number of clips, so chance is a half.

    Args:
        real, made: clips of either kind.
        settings: of the network.
        seed: of folds, initial weights and order.
        paired: the i-th clip of both lists belong together and are tested in the same fold. A fold that tests only one
            of them learns from the other that such clips are of the other kind, which takes accuracy below a half.
        look: what the network sees of a clip, see `windows_of`; None for a clip that is too short.

    Returns:
        ``clips`` and ``windows``: 0 / 1 per clip and per window, over all folds.

    Raises:
        UserError: fewer than 10 clips of a kind are long enough.
    """
    import torch

    rng = np.random.default_rng(seed)
    sides: list[list[np.ndarray]] = []
    if paired:
        order = rng.permutation(len(made))
        both = [(look(real[i], settings, rng), look(made[i], settings, rng)) for i in order.tolist()]
        kept = [(a, b) for a, b in both if a is not None and b is not None]
        sides = [[a for a, _ in kept], [b for _, b in kept]]
    else:
        for clips in (real, made):
            seen = (look(clips[i], settings, rng) for i in rng.permutation(len(clips)).tolist())
            sides.append([w for w in seen if w is not None])
    n = min(map(len, sides))
    if n < LEAST_CLIPS:
        raise UserError(f"discriminator: {n} clips of a kind with {settings.window} frames; needs {LEAST_CLIPS}")
    data = [(w, label) for label, found in enumerate(sides) for w in found[:n]]
    drawn = [rng.permutation(n) % settings.folds for _ in range(1 if paired else 2)]
    fold = np.concatenate([drawn[0], drawn[-1]])
    clip_hits: list[float] = []
    window_hits: list[float] = []
    for k in range(settings.folds):
        train = [d for d, f in zip(data, fold, strict=True) if f != k]
        test = [d for d, f in zip(data, fold, strict=True) if f == k]
        x = np.concatenate([w for w, _ in train])
        y = np.concatenate([np.full(len(w), label) for w, label in train]).astype(np.float32)
        mean, scale = x.mean((0, 1)), x.std((0, 1)) + 1e-3
        net = _train((x - mean) / scale, y, settings, seed * settings.folds + k)
        with torch.inference_mode():
            for w, label in test:
                logits = net(torch.from_numpy((w - mean) / scale))
                clip_hits.append(float((logits.mean() > 0).item() == bool(label)))
                window_hits += [float(v) for v in ((logits > 0) == bool(label)).tolist()]
    return {"clips": clip_hits, "windows": window_hits}


def _train(x: np.ndarray, y: np.ndarray, settings: Settings, seed: int) -> Any:
    """A two-layer convolution over time with mean and maximum pooling; Adam, weight decay, cosine schedule."""
    import torch
    from torch import nn

    from avatargpt.train.loop import fit

    class Net(nn.Module):
        def __init__(self, channels: int, width: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Dropout(0.1), nn.Conv1d(channels, width, 5, padding=2), nn.GELU(),
                nn.Conv1d(width, width, 5, stride=2, padding=2), nn.GELU(), nn.Dropout(0.2),
            )  # fmt: skip
            self.head = nn.Linear(2 * width, 1)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            h = self.body(z.transpose(1, 2))
            return self.head(torch.cat([h.mean(2), h.amax(2)], 1)).squeeze(1)

    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Net(x.shape[-1], settings.width)
        optimiser = torch.optim.AdamW(net.parameters(), settings.rate, weight_decay=0.02)
        inputs, labels = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)
        steps = settings.epochs * -(-len(x) // settings.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

        def losses() -> Iterator[torch.Tensor]:
            for _ in range(settings.epochs):
                for part in torch.randperm(len(x), generator=generator).split(settings.batch):
                    yield nn.functional.binary_cross_entropy_with_logits(net(inputs[part]), labels[part])

        net.train()
        fit(losses(), optimiser, schedule)
    return net.eval()


def score(
    suite: Suite, real: list[Clip], kinds: dict[str, list[Clip]],
    matched: dict[str, tuple[list[Clip], list[Clip]]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy on real clips against every kind of made ones, and of real against other real clips.

    Args:
        suite: of kind ``discriminator``; options ``clips`` (of each side at most) and any of `Settings`.
        real: real clips.
        kinds: ``keyframed``, ``layered``, ``composed``, ... -> clips; kinds without clips are left out and named.
            Clips all of whose ``extra["parts"]`` are among the real ones are set against these very parts, every
            other one mirrored as they are in the making; others are set against real clips of all actions.
        matched: kind -> made clips and as many real ones that show the same, see
            `avatargpt.evaluation.body.within_classes`. Only what the making left behind can give these away.

    Returns:
        ``accuracy/KIND`` over clips, ``window_accuracy/KIND``, and ``accuracy/real against real``: two random halves
        of the real clips, which nobody can tell apart: what is over a half there is chance. Clips of two recordings at
        once show what neither of them does: ``content_accuracy/layered`` is how well a network does on the same clips
        that sees of them only `content_of`.
    """
    options = dict(suite.options)
    limit = int(options.get("clips", 300))
    settings = suite.settings(Settings)
    seed = suite.seeds[0]
    rng = np.random.default_rng(seed)
    every = {c.id: c for c in real}
    # Every take of the big classes looks alike: the real side is spread evenly over the classes.
    real = [real[i] for i in _balanced([c.action or c.source for c in real], 2 * limit, rng)]
    results: dict[str, Any] = {}
    missing = []
    for kind, clips in kinds.items():
        if len(clips) < LEAST_CLIPS:
            missing.append(kind)
            continue
        chosen = [clips[i] for i in _balanced([c.action for c in clips], limit, rng)]
        rivals = _rivals(chosen, every, rng) or real[:limit]
        hits = accuracy(rivals, chosen, settings, seed)
        results[f"accuracy/{kind}"] = figure(hits["clips"])
        results[f"window_accuracy/{kind}"] = figure(hits["windows"])
        if kind == "layered":
            hits = accuracy(rivals, chosen, settings, seed, look=content_of)
            results[f"content_accuracy/{kind}"] = figure(hits["clips"])
    for kind, (made, rivals) in (matched or {}).items():
        if len(made) < LEAST_CLIPS:
            missing.append(kind)
            continue
        hits = accuracy(rivals, made, settings, seed, paired=True)
        results[f"accuracy/{kind}"] = figure(hits["clips"])
        results[f"window_accuracy/{kind}"] = figure(hits["windows"])
    half = len(real) // 2
    hits = accuracy(real[:half], real[half:], settings, seed)
    results["accuracy/real against real"] = figure(hits["clips"])
    counts = {k: len(v) for k, v in kinds.items()} | {k: len(v[0]) for k, v in (matched or {}).items()}
    return {"results": results, "clips": counts, "kinds_without_clips": missing}


def _rivals(made: list[Clip], real: dict[str, Clip], rng: np.random.Generator) -> list[Clip]:
    """The recordings that clips were made of, half of them mirrored; none when there is a part that is no recording."""
    parts = [str(p) for c in made for p in c.extra.get("parts", [])]
    if not parts or any(p not in real for p in parts) or any(not c.extra.get("parts") for c in made):
        return []
    out = []
    for i, name in enumerate(rng.permutation(sorted(set(parts)))):
        clip = real[str(name)]
        out.append(replace(clip, motion=clip.load().mirrored()) if i % 2 else clip)
    return out


def _balanced(labels: list[str], limit: int, rng: np.random.Generator) -> list[int]:
    """Indices of at most `limit` items, taken from the labels in turn, in random order."""
    groups: dict[str, list[int]] = {}
    for i in rng.permutation(len(labels)).tolist():
        groups.setdefault(labels[i], []).append(i)
    chosen: list[int] = []
    while len(chosen) < min(limit, len(labels)):
        for group in groups.values():
            if group and len(chosen) < limit:
                chosen.append(group.pop())
    return [chosen[i] for i in rng.permutation(len(chosen)).tolist()]
