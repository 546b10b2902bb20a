"""Landmarks as the detector of films gives them, of motions whose truth is known: chance cameras, simulated errors."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from avatargpt.video.body_network import LEGS, Landmarks, turn_about_y
from avatargpt.video.frames import FOCAL
from avatargpt.video.poses import AT, LANDMARKS, MIRROR
from vqvae.errors import UserError
from vqvae.io.tensors import load_tensors
from vqvae.skeleton import SMPL22

DETECTOR = "detector.safetensors"
COUNT, JOINTS = len(LANDMARKS), len(SMPL22.names)
LEVEL, CHAIR = 0.2, 0.4  # m between hips and knees, and above the floor, of who sits on something
DESK = 0.01, 0.9  # chances that something hides the legs for long: of others, and of who sits
STOOD, CLOSE = 0.8, (0.05, 0.4)  # m of the pelvis of who stands; chances that the upper body is filmed: of others, and
# of who stands
ARMS = [k for n, k in AT.items() if n[2:] in ("elbow", "wrist", "pinky", "index", "thumb")]
_PARTS = {"shoulder": "collar", "pinky": "wrist", "index": "wrist", "thumb": "wrist", "heel": "ankle", "toe": "foot"}
# joint that each landmark goes with; face: head
PARENTS = [
    SMPL22.index(f"{n[:2]}{_PARTS.get(n[2:], n[2:])}") if f"{n[:2]}{_PARTS.get(n[2:], n[2:])}" in SMPL22.names
    else SMPL22.index("head") for n in LANDMARKS
]  # fmt: skip
# a hip goes with the pelvis, an elbow with the arm above
FRAMES = [
    0 if n[2:] == "hip" else SMPL22.parents[p] if n[2:] in ("elbow", "knee") else p
    for n, p in zip(LANDMARKS, PARENTS, strict=True)
]


@dataclass(frozen=True)
class Detector:
    """Errors of a detector of landmarks, as the stage `film-detector` measures them.

    Attributes:
        offsets: (33, 3) metres from a landmark's joint, in the axes of `FRAMES`.
        errors: (N, T, 33, 3) metres that are left, in the camera's axes, of N takes. aside: (N, T, 33, 2) metres right
            and up by which the picture's landmarks lie off.
    """

    offsets: torch.Tensor
    errors: torch.Tensor
    aside: torch.Tensor

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Detector:
        """Those of a folder. Raises UserError: not there, or damaged."""
        path = Path(folder) / DETECTOR
        if not path.is_file():
            raise UserError(f"{folder}: no {DETECTOR} in it; make one: scripts/train.py film-detector")
        return cls(**{k: v.float() for k, v in load_tensors(path, "the errors of a detector").items()})


def forth_and_back(length: int, frames: int) -> np.ndarray:
    """(`frames`,) rows of a clip of so many, played on, and back again where it is shorter."""
    last = max(length - 1, 1)
    return np.asarray(last - np.abs(np.arange(frames) % (2 * last) - last))


def uniform(shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape)


def slow_noise(shape: tuple[int, ...], memory: float) -> torch.Tensor:
    """(B, T, ...) normal numbers of variance 1 that change over about `memory` frames."""
    batch, frames, *rest = shape
    beyond = int(3 * memory)
    kernel = torch.exp(
        -0.5 * ((torch.arange(frames + 2 * beyond)[:, None] - beyond - torch.arange(frames)) / memory) ** 2
    )
    x = torch.randn(batch, math.prod(rest), frames + 2 * beyond) @ (kernel / kernel.square().sum(0).sqrt())
    return x.transpose(1, 2).reshape(shape)


def events(batch: int, frames: int, chance: float | torch.Tensor, mean: float) -> torch.Tensor:
    """(B, T) bool: one stretch of some `mean` frames in a share of the rows, a number or (B, 1)."""
    length = torch.empty(batch, 1).exponential_(1 / mean).clamp(1, 3 * frames)
    middle = uniform((batch, 1), -0.2 * frames, 1.2 * frames)
    inside = (torch.arange(frames) - middle).abs() <= length / 2
    return inside & (torch.rand(batch, 1) < chance)


def landmarks_of(joints: torch.Tensor, turned: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(B, T, 33, 3) landmarks in the world of joints (B, T, 22, 3) and their global rotations."""
    return joints[..., PARENTS, :] + (turned[..., FRAMES, :, :] @ offsets[..., None])[..., 0]


def sits(joints: torch.Tensor) -> torch.Tensor:
    """(B,) whether the thighs of joints (B, T, 22, 3) are level, off the floor, most of the time."""
    level = (joints[..., [1, 2], 1] - joints[..., [4, 5], 1]).abs().amax(-1) < LEVEL
    return (level & (joints[..., 0, 1] > CHAIR)).float().mean(1) > 0.5


def film(
    joints: torch.Tensor, turned: torch.Tensor, detector: Detector
) -> tuple[Landmarks, torch.Tensor, torch.Tensor]:
    """What a detector gives of motions that random cameras film.

    Args:
        joints: (B, T, 22, 3) metres, floor y = 0. turned: (B, T, 22, 3, 3) their global rotations.

    Returns:
        The landmarks; (B,) by which yaw the camera sees the world turned; (B, 3, 3) the camera's rows right, up,
        towards it in that turned world.
    """
    batch, frames = joints.shape[:2]
    yaw = uniform((batch,), -torch.pi, torch.pi)
    marks = landmarks_of(joints, turned, detector.offsets)
    marks = turn_about_y(marks, yaw[:, None, None])
    # the camera
    pitch = (0.14 + 0.2 * torch.randn(batch) * torch.where(torch.rand(batch) < 0.25, 2.0, 1.0)).clamp(-0.5, 1.1)
    roll = 0.05 * torch.randn(batch) * torch.where(torch.rand(batch) < 0.25, 5.0, 1.0)
    axes = camera_axes(pitch, roll)
    focal = (-0.105 + 0.3 * torch.randn(batch)).exp().clamp(0.5, 2.5)
    stands = joints[:, :, 0, 1].median(1).values > STOOD
    close = torch.rand(batch) < torch.where(stands, CLOSE[1], CLOSE[0])  # whose hips are not seen is taken to stand
    middle = marks.mean((1, 2))
    aim = torch.stack([middle[:, 0], torch.where(close, 1.25 * middle[:, 1], middle[:, 1]), middle[:, 2]], -1)
    reach = (marks - middle[:, None, None]).norm(dim=-1).amax((1, 2)).clamp(min=0.9)
    fits = focal * 2 * reach * uniform((batch,), 0.8, 3.0) * torch.where(torch.rand(batch) < 0.5, 1.0, 1.6)
    away = torch.where(close, focal * uniform((batch,), 1.0, 2.2), fits).clamp(1.0, 14)
    marks = (marks - aim[:, None, None]) @ axes.transpose(-1, -2)[:, None]
    shift = torch.randn(batch, 1, 1, 2) * 0.12 * (away / focal)[:, None, None, None]
    marks = torch.cat([marks[..., :2] + shift, marks[..., 2:] - away[:, None, None, None]], -1)
    moving = (torch.rand(batch, 1, 1, 1) < 0.1) * slow_noise((batch, frames, 1, 3), 15.0) * 0.3
    marks = marks + moving
    depth = (-marks[..., 2]).clamp(min=0.3)
    rays = marks[..., :2] / depth[..., None] * focal[:, None, None, None]
    aspect = torch.tensor([[1, 9 / 16], [1, 1], [9 / 16, 1], [3 / 4, 1]])[torch.randint(4, (batch,))] / 2
    inside = (rays.abs() < aspect[:, None, None]).all(-1)
    world = marks - (marks[..., [AT["l_hip"]], :] + marks[..., [AT["r_hip"]], :]) / 2
    # a detector sees along the line of sight
    centre = marks.mean(2)
    sight = uniform((batch, 1), 0, 1) * torch.atan2(centre[..., 0], -centre[..., 2])
    world = turn_about_y(world, sight[..., None])
    desk = torch.where(sits(joints)[:, None], DESK[1], DESK[0])
    world, rays, visible = err(world, rays, inside, depth, focal, detector, desk)
    world = world * uniform((batch, 1, 1, 1), 0.85, 1.15)
    # the network takes the usual lens for granted
    return Landmarks(world, rays / FOCAL, visible, torch.ones(batch, frames)), yaw, axes


def drop_frames(marks: Landmarks) -> Landmarks:
    """The landmarks without some frames, one by one and in stretches."""
    batch, frames = marks.here.shape
    lost = events(batch, frames, 0.2, 6.0) | events(batch, frames, 0.25, 5.0) | (torch.rand(batch, frames) < 0.02)
    return marks._replace(here=torch.where(lost.all(1, keepdim=True), 1.0, (~lost).float()))


def camera_axes(pitch: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) rows right, up, towards a camera that looks down by `pitch` and is rolled."""
    c, s, zero, one = pitch.cos(), pitch.sin(), torch.zeros_like(pitch), torch.ones_like(pitch)
    down = torch.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).view(-1, 3, 3)
    c, s = roll.cos(), roll.sin()
    rolled = torch.stack([c, s, zero, -s, c, zero, zero, zero, one], -1).view(-1, 3, 3)
    return rolled @ down


def err(
    world: torch.Tensor, rays: torch.Tensor, inside: torch.Tensor, depth: torch.Tensor, focal: torch.Tensor,
    detector: Detector, desk: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Landmarks with the detector's errors, and their visibilities; `desk` (B, 1): chance of legs that are hidden."""
    batch, frames = world.shape[:2]
    metre = (focal[:, None, None] / depth)[..., None]  # of the picture at the landmark
    # measured errors of some take, and drawn ones
    take = torch.randint(len(detector.errors), (batch,))
    first = torch.randint(detector.errors.shape[1] - frames + 1, (batch,))
    rows = first[:, None] + torch.arange(frames)
    size = uniform((batch, 1, 1, 1), 0.0, 1.1)
    world = world + size * detector.errors[take[:, None], rows]
    rays = rays + size * detector.aside[take[:, None], rows] * metre
    spread = torch.full((COUNT, 1), 0.02)
    spread[ARMS + LEGS] = 0.045
    spread = spread * torch.tensor([0.5, 0.5, 1.2])
    level = uniform((batch, 1, 1, 1), 0.05, 0.8)
    world = world + level * spread * (
        0.6 * slow_noise(world.shape, 8.0) + 0.6 * torch.randn(batch, 1, COUNT, 3) + 0.25 * torch.randn(world.shape)
    )
    off = slow_noise(rays.shape, 6.0) * 0.6 + 0.3 * torch.randn(rays.shape) + 0.5 * torch.randn(batch, 1, COUNT, 2)
    rays = rays + level * 0.02 * off * metre
    world = world * torch.cat([torch.ones(batch, 1, 1, 2), uniform((batch, 1, 1, 1), 0.75, 1.1)], -1)
    # what is outside the picture, or hidden, is invented: limbs that hang, and wander
    hidden = events(batch, frames, desk, 150.0)[..., None] & torch.isin(torch.arange(COUNT), torch.tensor(LEGS))
    for part, chance in ((LEGS, 0.1), (ARMS, 0.06), (ARMS[::2], 0.06), (ARMS[1::2], 0.06), (LEGS[::2], 0.06),
                         (LEGS[1::2], 0.06)):  # fmt: skip
        hidden[:, :, part] |= events(batch, frames, chance, 25.0)[..., None]
    lost = (~inside | hidden)[..., None]
    wander = torch.where(torch.rand(batch, 1, 1, 1) < 0.5, slow_noise(world.shape, 4.0), slow_noise(world.shape, 14.0))
    wander = 0.24 * torch.rand(batch, 1, 1, 1) * wander
    hanging = world.clone()
    for side in "lr":
        hip = world[:, :, AT[f"{side}_hip"]]
        swing = slow_noise((batch, frames, 3), 8.0) + torch.randn(batch, 1, 3)
        swung = roma.rotvec_to_rotmat(0.8 * torch.rand(batch, 1, 1) * swing)
        swung = swung * uniform((batch, 1, 1, 1), 0.5, 1.1)
        for name, below in (("knee", 0.4), ("ankle", 0.8), ("heel", 0.84), ("toe", 0.84)):
            hanging[:, :, AT[f"{side}_{name}"]] = hip - swung @ torch.tensor([0, below, -0.1 * (name == "toe")])
    keep = torch.rand(batch, 1, 1, 1) * torch.rand(batch, 1, 1, 1)
    world = torch.where(lost, keep * world + (1 - keep) * hanging + wander, world)
    rays = torch.where(lost, rays + (wander[..., :2] + (1 - keep) * (hanging - world)[..., :2] * 0.5) * metre, rays)
    sure = torch.sigmoid(4 + 1.5 * torch.randn(batch, 1, COUNT) + 0.7 * slow_noise((batch, frames, COUNT), 6.0))
    unsure = torch.sigmoid(-1.5 + 2.5 * torch.randn(batch, 1, COUNT) + slow_noise((batch, frames, COUNT), 6.0))
    # sides exchanged for a while: of the whole body, which then seems to face the other way, or of limbs
    for part, chance in ((list(range(COUNT)), 0.22), (LEGS, 0.08), (ARMS, 0.03)):
        swap = events(batch, frames, chance, 9.0)[..., None, None]
        mirror = torch.arange(COUNT)
        mirror[part] = torch.tensor(MIRROR)[part]
        flip = torch.where(torch.rand(batch, 1, 1, 1) < 0.75, -1.0, 1.0)
        turned = torch.cat([world[..., :2], flip * world[..., 2:]], -1)
        world = torch.where(swap, turned[:, :, mirror] if len(part) == COUNT else world[:, :, mirror], world)
        rays = torch.where(swap, rays[:, :, mirror], rays)
    visible = torch.where(hidden, unsure, sure) * inside
    return world, rays, visible


def loosen(turns: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """The rotations (B, T, 22, 3, 3) with joints that are turned further at random, slowly, by so much (B,)."""
    batch, frames = turns.shape[:2]
    size = torch.full((JOINTS, 1), 0.25)
    size[0], size[[3, 6, 9]] = 0.45, 0.25
    size[[1, 2, 16, 17]] = 0.6
    size[[4, 5, 18, 19]] = 0.35
    angle = size * (slow_noise((batch, frames, JOINTS, 3), 12.0) * 0.5 + 0.8 * torch.randn(batch, 1, JOINTS, 3))
    return turns @ roma.rotvec_to_rotmat(angle * amount[:, None, None, None])
