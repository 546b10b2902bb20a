"""A speaker's own delivery learnt from a film: made up, rendered, captured, learnt, and compared on speech held out.

SOUNDS is a folder of speech of one voice. All but the last file become one film, which
`avatargpt finetune FILM --modality face` learns; the last is held out. The delivery is one that the packaged driver
does not have: a wider jaw, a smile that comes with loud passages, brows that go up with accents. What the driver gives
before and after is compared with that delivery of the held-out speech, in blocks of two seconds. Needs
avatargpt[video-in,video] and the networks of `avatargpt data models video-in`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from avatargpt.cli.app import run as command
from avatargpt.export.head import shaped, turn_vertices
from avatargpt.export.renderers import MeshRenderer
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.idle import add_blinks
from avatargpt.metrics.face import correlation
from avatargpt.speech.audio import FPS, load
from benchmarks.common import film, raise_channels, sounds_in
from vqvae import arkit
from vqvae.face import FaceMotion
from vqvae.smoothing import gaussian

COMPARED = {"jaw": ["jawOpen"], "smile": ["mouthSmile"], "brows": ["browInnerUp", "browOuterUp"]}
BROWS = [k for k, name in enumerate(arkit.NAMES) if name.startswith("brow")]
BLOCK = 2 * FPS  # frames
DRAWS = 2000


def level(samples: np.ndarray, rate: int, frames: int) -> np.ndarray:
    """(frames,) logarithm of the loudness of each frame of the video, from -1, silence, to 0."""
    edges = np.minimum((np.arange(frames + 1) * rate / FPS).round().astype(int), len(samples))
    power = np.array([np.mean(samples[a:b] ** 2) if b > a else 0.0 for a, b in zip(edges[:-1], edges[1:], strict=True)])
    loud = np.log10(power + 1e-8)
    return np.clip((loud - np.quantile(loud, 0.98)) / 3, -1, 0)


def delivery(samples: np.ndarray, rate: int, driver: Driver, seed: int) -> FaceMotion:
    """The speaker's face for a sound."""
    curves = driver.drive(samples, rate).curves.astype(np.float64)
    loud = level(samples, rate, len(curves))[:, None]
    slow, quick = gaussian(loud, 0.3 * FPS)[:, 0], gaussian(loud, 0.08 * FPS)[:, 0]
    accent = gaussian(np.clip(quick - gaussian(loud, 0.25 * FPS)[:, 0] - 0.03, 0, None)[:, None], 0.08 * FPS)[:, 0]
    curves[:, BROWS] *= 0.4

    raise_channels(curves, "jawOpen", 0.6 * curves[:, arkit.INDEX["jawOpen"]])
    raise_channels(curves, "mouthSmile", np.clip(1.1 + 2.6 * slow, 0, 0.7))
    for name in COMPARED["brows"]:
        raise_channels(curves, name, np.clip(7 * accent, 0, 0.8))
    weights = add_blinks(curves[:, : arkit.COUNT].astype(np.float32), FPS, 18, seed)
    return FaceMotion(weights, curves[:, arkit.COUNT :].astype(np.float32), float(FPS))


def compare(truth: FaceMotion, before: FaceMotion, after: FaceMotion) -> dict[str, dict[str, float]]:
    """Correlations with the truth, what they have gained, and the 95 % interval of the gain (bootstrap over blocks)."""
    frames = min(len(truth), len(before), len(after)) // BLOCK * BLOCK
    rng, out = np.random.default_rng(0), {}
    for name, channels in COMPARED.items():
        means = [np.mean([m.channel(c)[:frames] for c in channels], 0) for m in (truth, before, after)]
        rows = [m.reshape(-1, BLOCK) for m in means]
        draws = rng.integers(len(rows[0]), size=(DRAWS, len(rows[0])))
        gains = [np.subtract(*_both([r[d] for r in rows])) for d in draws]
        first, last = _both(rows)[::-1]
        low, high = np.quantile(gains, [0.025, 0.975])
        out[name] = {"before": first, "after": last, "gain": last - first, "low": float(low), "high": float(high)}
    return out


def _both(rows: list[np.ndarray]) -> tuple[float, float]:
    """Correlation of the truth with what comes after, and before."""
    truth, before, after = (r.ravel() for r in rows)
    return correlation(after, truth), correlation(before, truth)


def run(sounds: Path, work: Path, minutes: float = 6, steps: int = 1000, size: int = 320) -> dict[str, Any]:
    """Measure; `work` is the folder for film and weights, what lies there is taken."""
    work.mkdir(parents=True, exist_ok=True)
    driver = Driver.load()
    *learnt, held = sounds_in(sounds)
    path, model = work / "speaker.mp4", work / "model"
    if not path.is_file():
        parts = [load(p) for p in learnt]
        samples, rate = np.concatenate([a for a, _ in parts]), parts[0][1]
        soundfile.write(work / "speaker.wav", samples, rate)
        face = delivery(samples, rate, driver, 1)
        renderer = MeshRenderer(size, size, sharp=1)
        film(face, path, size, lambda weights, turn: turn_vertices(shaped(weights), turn), renderer,
             work / "speaker.wav", face.seconds)  # fmt: skip
    if not model.is_dir():
        code = command(["finetune", str(path), "-o", str(model), "--modality", "face", "--minutes", str(minutes),
                        "--steps", str(steps)])  # fmt: skip
        if code:
            raise SystemExit(code)
    samples, rate = load(held)
    truth = delivery(samples, rate, driver, 2)
    before, after = (d.drive(samples, rate, head="recorded") for d in (driver, Driver.load(model / "driver")))
    return {"seconds": round(truth.seconds, 1), **compare(truth, before, after)}
