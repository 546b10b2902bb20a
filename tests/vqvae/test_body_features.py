"""The body layout, the losses of its tokenizer, and the tokenizer as shipped."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vqvae import rotations as rot
from vqvae.features import MIN_RISE_RATE, BodyFeatures, GestureFeatures
from vqvae.ground import support_level
from vqvae.io.hml263 import HML263Features
from vqvae.losses import ENDS, LossWeights, _jerk_difference, body_joints, body_losses, body_points
from vqvae.motion import Motion
from vqvae.networks import TokenizerConfig, begin_direct
from vqvae.tokenizer import WEIGHTS, MotionTokenizer

SPEC = BodyFeatures()


def assert_round_trip(motion: Motion) -> None:
    """Below 1 mm and 0.1 degrees. The layout forgets where the clip starts and, for lack of an earlier frame, faces
    it by the smoothed heading: both sides are made canonical. Where the ground rises, slow parts of the rise are lost.
    """
    back, reference = SPEC.decode(SPEC.encode(motion)), motion.canonical()
    assert len(back) == len(motion)
    level = support_level(motion.joints.astype(np.float64))
    rise = np.diff(level, prepend=0)
    lost = np.cumsum(np.where((np.abs(rise) < MIN_RISE_RATE) | (np.arange(len(rise)) == 0), rise, 0))
    missing = lost[:, None, None] * np.array([0, 1, 0])
    assert np.linalg.norm(back.joints + missing - reference.joints, axis=-1).max() < 1e-3
    angle = rot.angle_between(back.rotations.astype(np.float64), reference.rotations.astype(np.float64))
    assert np.degrees(angle).max() < 0.1


@pytest.mark.parametrize("turn", [0.0, 2.0, -4.0])
@pytest.mark.parametrize("frames", [2, 3, 120, 2000])
def test_round_trip_on_synthetic_motion(frames: int, turn: float, wander) -> None:
    assert_round_trip(wander(frames, seed=frames, turn=turn))


def test_round_trip_on_real_clips(real_clips: list[Motion]) -> None:
    assert len(real_clips) == 50
    for clip in real_clips:
        assert_round_trip(clip)


def test_one_frame(wander) -> None:
    assert_round_trip(wander(1))


def test_channels_add_up_and_say_what_they_are(wander) -> None:
    motion = wander(60)
    x, s = SPEC.encode(motion), SPEC.slices()
    assert x.shape == (60, SPEC.dim) and x.dtype == np.float32
    np.testing.assert_allclose(x[:, 0], motion.root[:, 1], atol=1e-6)
    planar = np.linalg.norm(np.diff(motion.root[:, [0, 2]], axis=0), axis=-1)
    np.testing.assert_allclose(np.linalg.norm(x[1:, s["velocity"]], axis=-1), planar, atol=1e-6)
    moved = np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1)
    velocity = x[1:, s["joint_velocity"]].reshape(59, 22, 3)
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=-1), moved, atol=1e-5)
    assert set(np.unique(x[:, s["contacts"]])) <= {0.0, 1.0}


@pytest.mark.parametrize("layout", [BodyFeatures(), GestureFeatures(), HML263Features()])
def test_slices_cover_every_channel_once(layout: BodyFeatures | GestureFeatures | HML263Features) -> None:
    edges = sorted((v.start, v.stop) for v in layout.slices().values())
    assert edges[0][0] == 0 and edges[-1][1] == layout.dim
    assert all(a[1] == b[0] for a, b in pairwise(edges))


def test_features_do_not_depend_on_place_or_direction(wander) -> None:
    motion = wander(60)
    elsewhere = motion.moved(2.5, np.array([4.0, 0, -3.0]))
    np.testing.assert_allclose(SPEC.encode(elsewhere), SPEC.encode(motion), atol=1e-5)


def test_other_frame_rates_are_resampled(wander) -> None:
    motion = wander(90, fps=30)
    np.testing.assert_array_equal(SPEC.encode(motion), SPEC.encode(motion.resampled(20)))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_equal_the_whole(size: int, wander) -> None:
    x = SPEC.encode(wander(200, turn=1.5))
    whole_q, whole_root, whole_state = SPEC.decode_chunk(x, None)
    state, parts = None, []
    for a in range(0, len(x), size):
        q, root, state = SPEC.decode_chunk(x[a : a + size], state)
        parts.append((q, root))
    np.testing.assert_allclose(np.concatenate([r for _, r in parts]), whole_root, atol=1e-9)
    np.testing.assert_allclose(np.concatenate([q for q, _ in parts]), whole_q, atol=1e-9)
    assert state is not None and state.yaw == pytest.approx(whole_state.yaw)


def nodding(degrees: float, joint: int = 15) -> torch.Tensor:
    """Features (1, 40, 270) of somebody who stands and turns one joint to and fro about its x axis."""
    angle = np.deg2rad(degrees) * np.sin(np.arange(40) / 3) / 2
    rotations = np.tile(np.array([1, 0, 0, 0], np.float32), (40, 22, 1))
    rotations[:, joint, 0], rotations[:, joint, 1] = np.cos(angle), np.sin(angle)
    root = np.tile(np.array([0, 0.93, 0], np.float32), (40, 1))
    return torch.from_numpy(BodyFeatures().encode(Motion(rotations, root, 20.0)))[None].float()


def losses(made: torch.Tensor, true: torch.Tensor, **weights: float) -> dict[str, torch.Tensor]:
    unit = torch.zeros(SPEC.dim), torch.ones(SPEC.dim)
    return body_losses(made, true, *unit, body_points(true), LossWeights(**weights))


def test_points_stand_behind_the_joints() -> None:
    features = nodding(30.0)
    points = body_points(features)
    assert points.shape == (1, 40, 22 + len(ENDS), 3)
    assert torch.equal(points[..., :22, :], body_joints(features))
    for i, (joint, offset) in enumerate(ENDS):
        away = (points[..., 22 + i, :] - points[..., joint, :]).norm(dim=-1)
        assert torch.allclose(away, torch.tensor(np.linalg.norm(offset)).float(), atol=1e-4)


def test_only_the_ends_show_how_the_head_is_turned() -> None:
    still, nods = nodding(0.0), nodding(40.0)
    found = losses(still, nods, ends=1.0, end_velocity=1.0)
    assert float(found["joints"]) < 1e-4 and float(found["joint_velocity"]) < 1e-4
    assert float(found["ends"]) > 0.01 and float(found["end_velocity"]) > 0.001
    assert float(losses(still, nods)["ends"]) == 0  # off unless asked for
    same = losses(nods, nods, ends=1.0, end_velocity=1.0)
    assert max(float(v) for v in same.values()) < 1e-5


def test_jerk_is_compared_for_each_place_within_a_token() -> None:
    """Frames that are rougher in turn have the same mean jerk as even ones, and are seen all the same."""
    rng = np.random.default_rng(0)
    even = torch.from_numpy(rng.normal(size=(4, 64, 3, 3))).float() * 0.01
    assert float(_jerk_difference(even, even.flip(0), 4)) < float(even.diff(n=3, dim=1).abs().sum(-1).mean()) / 4
    steps = torch.zeros(1, 64, 1, 3)
    steps[:, 3::4] = 0.01  # one frame of four stands out
    jerk = steps.diff(n=3, dim=1).abs().sum(-1)[0, 1:, 0].reshape(15, 4).mean(0)
    smooth = torch.zeros_like(steps)
    assert float(_jerk_difference(steps, smooth, 4)) == pytest.approx(float(jerk.mean()))
    assert float(losses(nodding(20.0), nodding(20.0), jerk=1.0)["jerk"]) == 0
    assert float(losses(nodding(40.0, 1), nodding(20.0, 1), jerk=1.0)["jerk"]) > 0


@pytest.mark.parametrize("downsample", [1, 2, 4, 8])
def test_tokens_of_any_length_have_their_jerk(downsample: int) -> None:
    motion = torch.arange(64.0).reshape(1, 64, 1, 1).expand(1, 64, 1, 3)
    assert float(_jerk_difference(motion**2, motion, downsample)) == 0  # parabolas have none
    assert float(_jerk_difference(motion**3, motion, downsample)) == pytest.approx(18.0)  # three times 3!


SMALL = {"code_dim": 8, "codebook_size": 16, "levels": 2, "width": 16, "fine_width": 8}
FACE = {**SMALL, "modality": "face", "downsample": 3, "direct": True}


def test_packed_tokenizer_has_the_same_codes_and_trains_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig(**SMALL)).train()
    features = torch.randn(8, 32, tokenizer.spec.dim)
    for _ in range(3):
        tokenizer(features)
    tokenizer.eval().save(tmp_path, torch.bfloat16)
    with safe_open(tmp_path / WEIGHTS, "pt") as saved:
        assert not [k for k in saved.keys() if k.endswith("embed_avg")]  # noqa: SIM118
    again = MotionTokenizer.load(tmp_path, trainable=True)
    assert again.fingerprint == tokenizer.fingerprint
    before, after = tokenizer.state_dict(), again.state_dict()
    for key in [k for k in before if k.endswith("embed_avg")]:
        np.testing.assert_allclose(after[key], before[key], rtol=0.05, atol=0.05)
    again.train()(features)
    moved = (again.codebooks - tokenizer.codebooks).abs().max()
    assert 0 < float(moved) < float(tokenizer.codebooks.abs().max())


def test_settled_code_vectors_need_half_the_room(tmp_path: Path) -> None:
    tokenizer = MotionTokenizer(TokenizerConfig(**SMALL)).train()
    tokenizer.vq.quantize_dropout = False
    tokenizer(torch.randn(8, 32, tokenizer.spec.dim))
    before = tokenizer.codebooks
    tokenizer.eval().round_codebooks()
    assert 0 < float((tokenizer.codebooks - before).abs().max()) < 0.01 * float(before.abs().max())
    tokenizer.save(tmp_path, torch.bfloat16)
    with safe_open(tmp_path / WEIGHTS, "pt") as saved:
        books = [saved.get_tensor(k) for k in saved.keys() if k.endswith("_codebook.embed")]  # noqa: SIM118
    assert len(books) == 2 and all(b.dtype == torch.bfloat16 for b in books)
    assert MotionTokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint


def test_a_direct_path_begins_as_principal_components() -> None:
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(TokenizerConfig(**{**FACE, "code_dim": 20})).eval()
    hidden = torch.randn(400, 3, 20) @ torch.randn(20, 165 // 3)  # of rank 60, three frames a token
    begin_direct(tokenizer.encoder, tokenizer.decoder, hidden)
    flat = hidden.reshape(400, -1)
    _, sizes, axes = torch.linalg.svd(flat, full_matrices=False)
    best = flat @ axes[:20].T @ axes[:20]
    latents = tokenizer.encoder(hidden.reshape(1, 1200, 55).transpose(1, 2))
    rebuilt = tokenizer.decoder(latents).transpose(1, 2).reshape(400, -1)
    torch.testing.assert_close(rebuilt, best, rtol=1e-3, atol=1e-3)
    assert float(sizes[20]) > 0.1  # something was left out, so the comparison says something
    plain = MotionTokenizer(TokenizerConfig(**SMALL))
    with pytest.raises(ValueError, match="without a direct path"):
        begin_direct(plain.encoder, plain.decoder, torch.randn(10, 4, plain.spec.dim))


def test_a_direct_path_is_saved(tmp_path: Path) -> None:
    tokenizer = MotionTokenizer(TokenizerConfig(**FACE)).eval()
    features = np.random.default_rng(0).normal(size=(30, 55)).astype(np.float32)
    tokenizer.vq.quantize_dropout = False
    tokenizer.train()(torch.randn(16, 60, 55))
    tokenizer.eval().save(tmp_path)
    again = MotionTokenizer.load(tmp_path)
    codes = tokenizer.encode_features(features)
    assert np.array_equal(again.encode_features(features), codes)
    assert np.array_equal(again.decode_features(codes), tokenizer.decode_features(codes))


def test_a_clip_is_lengthened_by_a_pose_that_does_not_move(wander) -> None:
    tokenizer, x = MotionTokenizer(TokenizerConfig(**SMALL)), SPEC.encode(wander(5, turn=1.0))
    padded, moves = tokenizer.pad(x), np.zeros(SPEC.dim, bool)
    for name in ("velocity", "yaw", "joint_velocity"):
        moves[SPEC.slices()[name]] = True
    assert len(padded) == 8 and np.abs(x[-1, moves]).min() > 0
    np.testing.assert_array_equal(padded[5:], np.tile(np.where(moves, 0, x[-1]), (3, 1)))


def test_several_of_one_length_decode_together() -> None:
    tokenizer = MotionTokenizer(TokenizerConfig(**SMALL)).eval()
    codes = np.random.default_rng(0).integers(tokenizer.config.codebook_size, size=(3, 21, tokenizer.config.levels))
    together = tokenizer.decode_features(codes, chunk=8)
    assert together.shape == (3, 21 * tokenizer.downsample, tokenizer.spec.dim)
    for one, alone in zip(together, codes, strict=True):
        np.testing.assert_allclose(one, tokenizer.decode_features(alone), atol=1e-4)
