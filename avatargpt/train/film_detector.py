"""The film-detector stage of `scripts/train.py`: how a detector of landmarks errs, on clips that our renderer films."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from avatargpt.export import renderers
from avatargpt.export.renderers import BodyRenderer, View, capsule_ends
from avatargpt.train.film_landmarks import DETECTOR, FRAMES, PARENTS, forth_and_back
from avatargpt.video import poses
from avatargpt.video.body_network import FPS, HIDDEN, LEFT, RIGHT, scale_of
from avatargpt.video.frames import Frame
from avatargpt.video.people import Person, people_of
from avatargpt.video.poses import MIRROR
from instruct_data.sources.quantised import read_quantised
from vqvae import rotations as rot
from vqvae.io.files import atomic_write
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

TAKES, SEED = 60, 7
FRAMES_A_TAKE, LEAST = 80, 50  # of a clip at 20 a second, at most and at least
LEAST_SEEN = 20  # frames of a person, below which a take is left out
DISTANCES, ELEVATIONS = (2.8, 7.0), (-5.0, 28.0)  # m, degrees of the camera
SIZES = ((710, 400), (480, 480), (270, 480))  # pixels
EXCHANGED = 0.1  # share of a take's frames whose sides are exchanged, from which on it is left out: these are simulated
LIMITS = 0.5, 0.3  # m of errors in the camera's axes, and of the picture's


class Take(NamedTuple):
    """A clip, the person that the detector saw in its film, and the camera: rows right, up, towards it; its place; its
    focal length in pixels.
    """

    motion: Motion
    person: Person
    axes: np.ndarray
    place: np.ndarray
    focal: float


def render_takes(folders: str, split: str, count: int, fps: float, seed: int) -> Iterator[Take]:
    """Clips of a split, drawn at random, the rarer sources more often, each before a camera at a random place."""
    clips = [c for f in folders.split(",") for c in read_quantised(f, split) if c.extra.get("n_frames", 1e9) >= LEAST]
    sources = [c.source for c in clips]
    weight = np.array([sources.count(s) ** -0.5 for s in sources])
    chosen = np.random.default_rng(seed).choice(len(clips), count, False, weight / weight.sum())
    for number, k in enumerate(chosen):
        rng, motion = np.random.default_rng([seed, number]), clips[k].load()
        first = int(rng.integers(0, max(1, len(motion) - FRAMES_A_TAKE)))
        motion = motion.slice(first, first + FRAMES_A_TAKE)
        motion = (motion.mirrored() if rng.random() < 0.5 else motion).canonical().resampled(fps)
        if (take := film_take(motion, rng)) is not None:
            yield take


def film_take(motion: Motion, rng: np.random.Generator) -> Take | None:
    """The motion before a camera that stands still and holds all of it; None where nobody is found."""
    ends, distance = capsule_ends(motion), float(rng.uniform(*DISTANCES))
    yaw, elevation = float(rng.uniform(-np.pi, np.pi)), float(np.radians(rng.uniform(*ELEVATIONS)))
    middle = (ends.min((0, 1, 2)) + ends.max((0, 1, 2))) / 2
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    view = View(yaw, elevation, float(middle[1] + rng.normal(0, 0.1)), 1.0)
    aim = middle * [1, 0, 1] + [0, view.height, 0]
    local = (ends - aim) @ view.axes.T
    wide = np.abs(local[..., :2]) * (distance / np.maximum(distance - local[..., 2:], 0.5))
    span = 2.24 * max(wide[..., 1].max(), wide[..., 0].max() * height / width) + 0.1
    usual, renderers.DISTANCE = renderers.DISTANCE, distance
    try:
        renderer = BodyRenderer(width, height, replace(view, span=float(span)))
        pictures = (Frame(k / motion.fps, renderer.frame(e, aim)) for k, e in enumerate(ends))
        people, _ = people_of(pictures, poses.estimator("mediapipe"))
    finally:
        renderers.DISTANCE = usual
    person = max(people, key=lambda p: len(p.times), default=None)
    if person is None or len(person.times) < LEAST_SEEN:
        return None
    return Take(motion, person, view.axes, aim + distance * view.axes[2], height * distance / float(span))


def truth_of(take: Take) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 22, 3) and their global rotations in the camera's axes, in the frames that the detector saw."""
    joints, turned = SMPL22.fk_full(take.motion.rotations, take.motion.root)
    at = np.round(take.person.times * take.motion.fps).astype(int)
    return (joints[at] - take.place) @ take.axes.T, take.axes @ turned[at]


def measure(takes: list[Take]) -> dict[str, torch.Tensor]:
    """What `Detector` holds: where landmarks lie about the joints, and what is left."""
    seen = []
    hips, shoulders = ([SMPL22.index(f"{side}_{name}") for side in "lr"] for name in ("hip", "shoulder"))
    for take in takes:
        person, (joints, turned) = take.person, truth_of(take)
        ours = (joints[:, [hips[0], shoulders[0]]] - joints[:, [hips[1], shoulders[1]]]).sum(1)
        theirs = (person.world[:, LEFT] - person.world[:, RIGHT]).sum(1)
        if np.mean((ours * theirs).sum(-1) < 0) >= EXCHANGED:
            continue
        marks = torch.from_numpy(person.world).float()[None]
        scale = float(scale_of(marks, HIDDEN + torch.from_numpy(person.visible)[None]))
        # the detector sees along the line of sight
        sight = -np.arctan2(joints[:, 0, 0], -joints[:, 0, 2])
        seen.append((take, joints, turned, rot.rotate(rot.about_y(sight)[:, None], scale * person.world)))
    middle = [j[:, hips].mean(1, keepdims=True) for _, j, _, _ in seen]
    own = [
        np.einsum("tkab,tka->tkb", t[:, FRAMES], w - j[:, PARENTS] + m)
        for (_, j, t, w), m in zip(seen, middle, strict=True)
    ]
    offsets = np.median(np.concatenate(own), 0)
    offsets = (offsets + offsets[MIRROR] * [-1, 1, 1]) / 2
    errors, aside = [], []
    for (take, joints, turned, world), m in zip(seen, middle, strict=True):
        true = joints[:, PARENTS] + np.einsum("tkab,kb->tka", turned[:, FRAMES], offsets)
        size = np.array(take.person.size)
        rays = (take.person.points - size / 2) * [1, -1] / take.focal
        at = forth_and_back(len(joints), FRAMES_A_TAKE)
        errors.append((world - true + m)[at].clip(-LIMITS[0], LIMITS[0]))
        aside.append((rays * -true[..., 2:] - true[..., :2])[at].clip(-LIMITS[1], LIMITS[1]))
    arrays = {"offsets": offsets, "errors": np.stack(errors), "aside": np.stack(aside)}
    return {k: torch.from_numpy(v).half() for k, v in arrays.items()}


def film_detector_stage(args: argparse.Namespace) -> None:
    """Write the errors of the detector into a folder."""
    from safetensors.torch import save_file

    out = Path(args.output)
    out.mkdir(parents=True, exist_ok=True)
    found = measure(list(render_takes(args.corpus, "train", TAKES, FPS, SEED)))
    atomic_write(out / DETECTOR, lambda p: save_file(found, p))
