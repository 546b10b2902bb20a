"""The network that reads a body off the landmarks of a track: convolutions over time, about two seconds at once.

Landmarks are turned into the frame of the line across hips and shoulders, whose direction is followed without its sign,
and frames with the other sign have their sides exchanged. The network gives rotations in the level frame of that line,
and how sure it is of each joint.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from avatargpt.lm.checkpoint import load_part, save_part
from avatargpt.resources import PACKAGE
from avatargpt.video.poses import AT, LANDMARKS, MIRROR
from vqvae.networks import ResidualBlock
from vqvae.rotations import matrix_from_6d
from vqvae.skeleton import SMPL22
from vqvae.strict import PositiveInt, Strict

NAME, VERSION = "film_bodies", 1
FPS = 20.0
JOINTS = len(SMPL22.names)
AXIS_SECONDS = 0.1  # over which the line across hips and shoulders is smoothed
SEEN, GUESS_SECONDS = 0.3, 1.0  # visibility below which a landmark is a guess, and over which that is smoothed
LEGS_SEEN, LEGS_SECONDS = 0.5, 0.3  # mean visibility of both legs below which they count less, and over which
HIDDEN = 0.03  # weight of a landmark that is not visible
_LIMBS = [(AT[f"{s}_{a}"], AT[f"{s}_{b}"]) for s in "lr" for a, b in (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "index"), ("wrist", "pinky"), ("hip", "knee"),
    ("knee", "ankle"), ("heel", "toe"), ("ear", "eye"))] + [(AT["r_ear"], AT["l_ear"])]  # fmt: skip
NUMBERS = 6 * len(LANDMARKS) + 3 * len(_LIMBS) + 6 + 10  # of a frame that the network sees
_BONES = [(AT[f"{s}_{a}"], AT[f"{s}_{b}"], SMPL22.index(f"{s}_{b}")) for s in "lr"
          for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))]  # fmt: skip
LEGS = [AT[f"{s}_{n}"] for n in ("knee", "ankle", "heel", "toe") for s in "lr"]
LEFT, RIGHT = ([AT[f"{s}_hip"], AT[f"{s}_shoulder"]] for s in "lr")
_SPLIT = {"rotations": 6 * JOINTS, "height": 1, "velocity": 3, "contacts": 2, "doubt": JOINTS, "up": 3}


class Landmarks(NamedTuple):
    """B tracks of T frames at 20 a second.

    world: (B, T, 33, 3) metres in the camera's axes. rays: (B, T, 33, 2) right and up of the picture's middle, at
    depth 1 by the usual lens. visible: (B, T, 33) 0..1. here: (B, T) 1 where there is a frame, 0 where none is.
    """

    world: torch.Tensor
    rays: torch.Tensor
    visible: torch.Tensor
    here: torch.Tensor


class Seen(NamedTuple):
    """What the network sees of landmarks: (B, T, `NUMBERS`), the line's heading (B, T), radians, and the place of the
    middle of the hips in the camera's axes, in the measures of our skeleton, (B, T, 3) metres.
    """

    numbers: torch.Tensor
    heading: torch.Tensor
    place: torch.Tensor


class Body(NamedTuple):
    """A body in the level frame of the line across hips and shoulders.

    rotations: (B, T, 22, 3, 3), the first in that frame, the others local. height: (B, T) metres of the pelvis above
    the floor. velocity: (B, T, 3) metres a frame. contacts: (B, T, 2) logits that the left, right foot stands. doubt:
    (B, T, 22) logarithm of the error expected of a joint, metres. up: (B, T, 3) the vertical, in the camera's axes
    turned about their second one.
    """

    rotations: torch.Tensor
    height: torch.Tensor
    velocity: torch.Tensor
    contacts: torch.Tensor
    doubt: torch.Tensor
    up: torch.Tensor


class FilmShape(Strict):
    """See `BodyNet`."""

    width: PositiveInt = 192
    dilations: list[int] = [1, 2, 4, 8, 1, 2]


class BodyNet(nn.Module):
    """(B, T, `NUMBERS`) -> what `Body` holds."""

    def __init__(self, config: FilmShape) -> None:
        super().__init__()
        self.config, width = config, config.width
        size = sum(_SPLIT.values())
        self.direct = nn.Conv1d(NUMBERS, size, 3, padding=1)
        self.inp = nn.Conv1d(NUMBERS, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width, d) for d in config.dilations))
        self.out = nn.Conv1d(width, size, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, numbers: torch.Tensor) -> Body:
        """See the class."""
        x = numbers.transpose(1, 2)
        out = self.direct(x) + self.out(nn.functional.silu(self.blocks(self.inp(x))))
        parts = dict(zip(_SPLIT, out.transpose(1, 2).float().split(list(_SPLIT.values()), -1), strict=True))
        turns = matrix_from_6d(parts["rotations"].unflatten(-1, (JOINTS, 6)))
        doubt = parts["doubt"].clamp(-6, 1)
        up = nn.functional.normalize(parts["up"], dim=-1)
        return Body(turns, parts["height"][..., 0], parts["velocity"], parts["contacts"], doubt, up)


class FilmReader:
    """The network at run time."""

    def __init__(self, network: BodyNet) -> None:
        self.network = network

    @torch.inference_mode()
    def read(self, marks: Landmarks) -> tuple[Seen, Body]:
        """The bodies of tracks of any length."""
        return (seen := see(marks)), self.network(seen.numbers)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``film_bodies.json`` and ``.safetensors`` into a folder, in 8 bits (`checkpoint.save_part`)."""
        return save_part(self.network, folder, NAME, VERSION, torch.int8)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FilmReader:
        """That of a folder. Raises UserError: not there, or damaged."""
        return cls(load_part(folder, NAME, VERSION, lambda f: BodyNet(FilmShape(**f))).eval())


@cache
def packaged_reader() -> FilmReader:
    """The packaged network."""
    return FilmReader.load(PACKAGE / "weights")


def see(marks: Landmarks) -> Seen:
    """What the network sees of landmarks."""
    weight = (HIDDEN + marks.visible) * marks.here[..., None]
    world = marks.world * scale_of(marks.world, weight)[:, None, None, None]
    place = find_place(world, marks.rays, weight)
    aside = look_aside(world, marks.rays, place)
    heading, exchanged = follow_axis(world, weight)
    visible, both = marks.visible, torch.cat([world, aside], -1)
    both = torch.where(exchanged[..., None, None], both[:, :, MIRROR], both)
    visible = torch.where(exchanged[..., None], visible[:, :, MIRROR], visible)
    # of what is not seen only the slow part counts: a guess of the detector
    clear = (visible / SEEN).clamp(max=1)[..., None]
    world, aside = (clear * both + (1 - clear) * smooth(both, GUESS_SECONDS)).split([3, 2], -1)
    # legs of which neither is seen the detector invents, whatever they do
    legs, seen = visible[..., LEGS].mean(-1)[..., None, None], torch.ones_like(clear)
    seen[:, :, LEGS] = (smooth(legs, LEGS_SECONDS) / LEGS_SEEN).clamp(max=1).square()
    turned = seen * turn_about_y(world, -heading[..., None])
    limbs, trunk = _limbs_of(torch.cat([world[..., :2] + aside, world[..., 2:]], -1), seen)
    trunk = turn_about_y(trunk, -heading[..., None])
    step = turn_about_y(torch.diff(place, dim=1, prepend=place[:, :1]), -heading)
    spin = torch.diff(heading, dim=1, prepend=heading[:, :1])
    far = 1 / (-place[..., 2]).clamp(min=0.5)
    about = torch.stack([heading.cos(), heading.sin(), spin, far, place[..., 0] * far, place[..., 1] * far], -1)
    flat = [turned.flatten(-2), (seen * 4 * aside).flatten(-2).clamp(-1, 1), visible, (10 * step).clamp(-2, 2), about,
            limbs.flatten(-2), trunk.flatten(-2)]  # fmt: skip
    numbers = torch.cat(flat, -1) * marks.here[..., None]
    return Seen(torch.cat([numbers, marks.here[..., None]], -1), heading, place)


def _limbs_of(world: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T, L, 3) along the limbs in the axes of the trunk, as long as they are seen (B, T, 33, 1), 0 to 1; and two of
    these axes, (B, T, 2, 3).
    """
    left, right = world[..., LEFT, :], world[..., RIGHT, :]
    up = nn.functional.normalize((left + right)[..., 1, :] - (left + right)[..., 0, :], dim=-1)
    across = (left - right).sum(-2)
    x = nn.functional.normalize(across - (across * up).sum(-1, keepdim=True) * up, dim=-1)
    axes = torch.stack([x, up, torch.linalg.cross(x, up)], -1)
    first, last = zip(*_LIMBS, strict=True)
    along = nn.functional.normalize(world[..., last, :] - world[..., first, :], dim=-1)
    return along @ axes * seen[..., first, :] * seen[..., last, :], torch.stack([x, up], -2)


def scale_of(world: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(B,) our bones' lengths in units of the person's."""
    theirs, ours = 0, 0.0
    for a, b, joint in _BONES:
        w = weight[..., a] * weight[..., b] + 1e-6
        theirs = theirs + ((world[..., b, :] - world[..., a, :]).norm(dim=-1) * w).sum(-1) / w.sum(-1)
        ours += float((SMPL22.offsets[joint] ** 2).sum() ** 0.5)
    return ours / torch.as_tensor(theirs).clamp(min=1e-3)


def find_place(world: torch.Tensor, rays: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(B, T, 3) where the origin of `world` lies, by least squares over the rays (B, T, 33, 2) to the landmarks."""
    right = -world[..., :2] - rays * world[..., 2:]
    w = weight / weight.sum(-1, keepdim=True).clamp(min=1e-6)
    mean = lambda x: (w * x).sum(-1)  # noqa: E731
    (u, v), (a, b) = rays.unbind(-1), right.unbind(-1)
    mu, mv, ma, mb = mean(u), mean(v), mean(a), mean(b)
    # x - u d = a and y - v d = b: d by the deviations from the weighted means
    top = -(mean(u * a) - mu * ma + mean(v * b) - mv * mb)
    depth = top / (mean(u * u) - mu * mu + mean(v * v) - mv * mv).clamp(min=1e-6)
    depth = depth.clamp(0.3, 60)
    return torch.stack([ma + mu * depth, mb + mv * depth, -depth], -1)


def look_aside(world: torch.Tensor, rays: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """(B, T, 33, 2) metres right and up by which the picture's landmarks lie off those of `world` at its place."""
    depth = (-place[..., 2:] - world[..., 2]).clamp(min=0.2)
    return rays * depth[..., None] - (place[..., None, :] + world)[..., :2]


def follow_axis(world: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) radians: the heading of a body whose left is along the line, followed from frame to frame without its
    sign, which is that of most frames; and (B, T) bool, which frames have the other one.
    """
    across = (world[..., LEFT, :] - world[..., RIGHT, :]).sum(-2)
    x, z = across[..., 0], -across[..., 2]
    there = weight[..., LEFT + RIGHT].mean(-1)
    # the doubled angle has no sign
    double = torch.stack([x * x - z * z, 2 * x * z], 1) * there[:, None]
    slow = smooth(double.transpose(1, 2)[..., None, :], AXIS_SECONDS)[:, :, 0]
    angle = torch.atan2(slow[..., 1], slow[..., 0])
    step = torch.diff(angle, dim=1)
    step = step - 2 * torch.pi * torch.round(step / (2 * torch.pi))
    heading = torch.cat([angle[:, :1], angle[:, :1] + step.cumsum(1)], 1) / 2
    agree = (x * heading.cos() + z * heading.sin()) * there
    other = agree.sum(1, keepdim=True) < 0
    return heading + torch.pi * other, (agree < 0) != other


def smooth(x: torch.Tensor, seconds: float) -> torch.Tensor:
    """(B, T, J, C) smoothed over time by a Gaussian, the ends repeated."""
    sigma = seconds * FPS
    at = torch.arange(-round(3 * sigma), round(3 * sigma) + 1, device=x.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2).to(x.dtype)
    rows = x.movedim(1, -1).reshape(-1, 1, x.shape[1])
    rows = nn.functional.pad(rows, (len(at) // 2, len(at) // 2), mode="replicate")
    rows = nn.functional.conv1d(rows, (kernel / kernel.sum())[None, None])
    return rows.reshape(*x.movedim(1, -1).shape).movedim(-1, 1)


def turn_about_y(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Vectors (..., 3) turned by angles (...) about +Y."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[..., 0] + sin * x[..., 2], x[..., 1], cos * x[..., 2] - sin * x[..., 0]], -1)
