"""The upper face of who speaks: the same for a seed, quiet in silence, away where a score or a control says so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.controls import LIVELY, Controls, LiveControls, apply_controls
from avatargpt.face.audio_model.idle import Spans, held_spans
from avatargpt.face.audio_model.upper import COLUMNS, SEEN, SHUT, WIDE, UpperFace, load_upper, save_upper
from instruct_data.face.score import Event, Score
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

OWN = Controls(upper=1.0)
BROWS = [arkit.INDEX[n] for n in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")]


def talk(seconds: float, seed: int = 0) -> FaceMotion:
    """A jaw that opens with every syllable, four a second, some wider than others."""
    frames = np.arange(round(30 * seconds))
    size = np.random.default_rng(seed).uniform(0.1, 0.5, len(frames) // 7 + 1)[frames // 7]
    weights = np.zeros((len(frames), arkit.COUNT), np.float32)
    weights[:, arkit.INDEX["jawOpen"]] = size * np.sin(np.pi * (frames % 7) / 7) ** 2
    return FaceMotion(weights, np.zeros((len(frames), 3), np.float32), 30.0)


def silence(seconds: float) -> FaceMotion:
    motion = talk(seconds)
    return replace(motion, weights=np.zeros_like(motion.weights))


def test_brows_live_while_speaking_and_rest_in_silence() -> None:
    motion = talk(40)
    out = apply_controls(motion, OWN, seed=1)
    moved = out.weights[:, BROWS].std(0)
    assert (moved > 0.03).all() and (moved < 0.4).all()
    others = [k for k in range(arkit.COUNT) if k not in (*COLUMNS, *WIDE, *SHUT)]
    assert np.array_equal(out.weights[:, others], motion.weights[:, others])
    assert out.weights.min() >= 0 and out.weights.max() <= 1
    both = np.concatenate((motion.weights[:300], silence(20).weights))
    quiet = apply_controls(FaceMotion(both, np.zeros((len(both), 3), np.float32), 30.0), OWN, seed=1)
    assert quiet.weights[420:, COLUMNS].std(0).max() < 0.06 and quiet.weights[420:, COLUMNS].mean() < 0.05


def test_brows_rise_soon_after_the_jaw_opens_widely() -> None:
    """Within 0.2 s, more often than by chance: than with the jaw of other moments."""
    soon, chance = [], []
    for seed in range(6):
        motion = talk(30, seed)
        brows = apply_controls(motion, OWN, seed=seed).weights[:, BROWS].mean(1)
        loud = np.convolve(motion.channel("jawOpen"), np.ones(9) / 9, "same")
        by_lag = [np.corrcoef(brows, np.roll(loud, k))[0, 1] for k in range(840)]
        soon.append(np.mean(by_lag[3:7]))
        chance.append(np.mean(by_lag[60:]))
    assert np.mean(soon) > np.mean(chance) + 0.05


def test_same_bytes_live_and_in_a_clip_for_a_seed() -> None:
    motion = talk(6)
    live = LiveControls(LIVELY, 30.0, 3)
    frames = [live(FaceMotion.from_curves(row[None], 30.0)).curves[0] for row in motion.curves]
    clip = apply_controls(motion, LIVELY, 3, lids=())
    assert np.array_equal(np.stack(frames), clip.curves)
    assert not np.array_equal(clip.curves, apply_controls(motion, LIVELY, 4, lids=()).curves)


def test_amount_and_scores_win() -> None:
    motion = talk(8)
    assert apply_controls(motion, Controls(), 1) is motion
    more = apply_controls(motion, replace(OWN, upper=2.0), 1).weights[:, BROWS].std()
    assert more > 1.2 * apply_controls(motion, OWN, 1).weights[:, BROWS].std()
    score = Score(8.0, (Event("raise_brows", 2.0, 3.0),))
    assert held_spans(score) == ((2.0, 5.0),) and held_spans(None) == ()
    held = apply_controls(motion, OWN, 1, *Spans.of(score))
    assert np.array_equal(held.weights[66:147], motion.weights[66:147])
    assert held.weights[:50, BROWS].any()
    still = Spans.of(replace(score, denied=frozenset({"still"})))
    assert np.array_equal(apply_controls(motion, OWN, 1, *still).weights, motion.weights)
    with pytest.raises(UserError, match="upper 2.5: accepted 0 to 2"):
        apply_controls(motion, Controls(upper=2.5))


def test_any_rate_of_frames_and_no_jitter() -> None:
    """At 60 frames a second the same face at the same time, but for what a frame between shows of the mouth."""
    motion = talk(20)
    slow, fast = (apply_controls(m, OWN, 2).weights for m in (motion, motion.resampled(60.0)))
    assert slow[:, BROWS].std() == pytest.approx(fast[:, BROWS].std(), rel=0.5)
    steps = np.abs(np.diff(slow[:, COLUMNS], axis=0))
    assert steps.max() < 0.15 and np.median(steps) < 0.02


def test_folder(tmp_path: Path) -> None:
    network = load_upper()
    save_upper(network, tmp_path)
    again = load_upper(tmp_path)
    assert again is not network and load_upper(tmp_path / "none") is not None
    faces = [UpperFace(n, 30.0, seed=5) for n in (network, again)]
    for row in talk(2).weights:
        a, b = (face(row) for face in faces)
        assert np.array_equal(a, b)


def test_steps_are_those_of_the_network() -> None:
    network = load_upper()
    face, d = UpperFace(network, 30.0, seed=5), network.config.latent
    seen = np.random.default_rng(0).uniform(0, 1, (6, SEEN)).astype(np.float32)
    pasts, rows = [], []
    for row in seen:
        pasts.append(np.concatenate((face._drawn, face._last)))
        rows.append(face._step(row))
        face._last, face._drawn = face._drawn, rows[-1][1][0].astype(np.float32)
    style = torch.full((1, len(seen), 1), network.config.style)
    with torch.no_grad():
        expected = network(torch.from_numpy(np.stack(pasts))[None], torch.from_numpy(seen)[None], style)
    chances, means, spreads = (np.stack(x) for x in zip(*rows, strict=True))
    assert means.shape == (6, network.config.mixtures, d)
    assert np.allclose(chances / chances.sum(1, keepdims=True), expected[0][0].exp(), atol=1e-4)
    assert np.allclose(means, expected[1][0], atol=1e-4) and np.allclose(spreads, expected[2][0], atol=1e-4)
