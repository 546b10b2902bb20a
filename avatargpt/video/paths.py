"""From the landmarks of one person over a film to a motion: even frames, level, on the floor, with feet that stand.

What the body does the network says (`body_network`). Its path is the network's within a second and the picture's
beyond, and feet that the network finds standing stay where they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from avatargpt.body.contact import shift_feet
from avatargpt.video.body_network import FPS, LEGS, LEGS_SECONDS, LEGS_SEEN, Landmarks, packaged_reader, turn_about_y
from avatargpt.video.frames import FOCAL
from avatargpt.video.people import Person
from vqvae import rotations as rot
from vqvae.ground import without_penetration
from vqvae.motion import Motion
from vqvae.skeleton import ANKLES, TOES
from vqvae.smoothing import gaussian, runs_of

NEAR_SECONDS = 0.06  # between a frame of the motion and one of the film, beyond which there is none
SETTLED = 0.7, 1.5  # frames over which rotations, and heights, are smoothed
PATH_SECONDS = 0.5  # beyond which the path is the picture's
STANDS = 0.5  # probability of a foot that stands
CONTACT_FRAMES = 3  # for which a foot stands at least
TOGETHER = 2000  # frames whose feet are moved at once: an hour's at once take 0.7 GB
MAX_STRIDE = 0.3  # m by which a foot is moved at most
RELIABLE = 0.12  # m of an expected error, at which a joint is reliable by half
UNSURE = 0.5  # mean certainty of the joints, below which it is said that this may be no body
SITS = 0.8  # m of the pelvis above the floor, below which people with unseen legs sit


class Lifted(NamedTuple):
    """A motion in the camera's axes, turned level."""

    motion: Motion
    start: float  # second of the film of the first frame
    tilt: float  # degrees by which the camera looks down
    notes: tuple[str, ...]  # where the legs are not seen, what they do there, and doubts
    reliability: np.ndarray  # (22,) 0..1, how sure the network is of each joint


def motion_of(person: Person, focal: float | None = None) -> Lifted:
    """The motion of a person at 20 frames a second; what is not seen is what the network takes for likely.

    Args:
        focal: focal length in lengths of the picture's longer side; None = the usual one.
    """
    return lift_landmarks(*landmarks_of(person, focal or FOCAL))


def lift_landmarks(marks: Landmarks, start: float = 0.0) -> Lifted:
    """The motion of one track of landmarks, the first of which is of the second `start`."""
    seen, body = packaged_reader().read(marks)
    heading = seen.heading[0].double().numpy()
    turns = rot.from_matrix(body.rotations[0].double().numpy())
    turns[:, 0] = rot.multiply(rot.about_y(heading), turns[:, 0])
    turns = np.stack([rot.continuous(turns[:, j]) for j in range(turns.shape[1])], 1)
    turns = rot.normalize(gaussian(turns.reshape(len(turns), -1), SETTLED[0]).reshape(turns.shape))
    error = np.exp(body.doubt[0].double().numpy())
    error[:, 0] = error[:, 1:4].mean(1)
    sure = 1 / (1 + (error / RELIABLE) ** 2)
    up = (turn_about_y(body.up, seen.heading)[0].double().numpy() * sure.mean(1)[:, None]).sum(0)
    level = rot.between(up / np.linalg.norm(up), np.array([0.0, 1, 0]))
    walked = turn_about_y(body.velocity, seen.heading)[0].double().numpy().cumsum(0)
    place = rot.rotate(level, seen.place[0].double().numpy())
    root = walked + _trend(place - walked, PATH_SECONDS * FPS)
    height = body.height[0].double().numpy()
    root[:, 1] = gaussian(place[:, 1], SETTLED[1]) + _trend((height - place[:, 1])[:, None], PATH_SECONDS * FPS)[:, 0]
    stands = gaussian(torch.sigmoid(body.contacts[0]).double().numpy(), SETTLED[1]) > STANDS
    motion = plant_feet(Motion(turns, root, FPS, filmed=True), stands)
    hidden = gaussian(marks.visible[0][:, LEGS].mean(1).double().numpy(), LEGS_SECONDS * FPS) < LEGS_SEEN
    spans = ", ".join(f"{a / FPS + start:.1f} to {b / FPS + start:.1f} s" for a, b in runs_of(hidden, 1))
    does = "sit" if spans and np.median(motion.root[hidden, 1]) < SITS else "stand"
    notes = (f"the legs are not seen from {spans}: there they {does}",) if spans else ()
    doubt = (f"this may be no body, or several: certainty {sure.mean():.2f} of 1",) if sure.mean() < UNSURE else ()
    return Lifted(motion, start, float(np.degrees(np.arctan2(up[2], up[1]))), notes + doubt, sure.mean(0))


def landmarks_of(person: Person, focal: float) -> tuple[Landmarks, float]:
    """A person's landmarks at 20 frames a second, and the second of the first; focal length in longer sides."""
    times = person.times
    start = float(np.ceil(times[0] * FPS - 1e-6) / FPS)
    grid = np.arange(start, max(times[-1], start) + 1e-6, 1 / FPS)
    after = np.searchsorted(times, grid).clip(1, len(times) - 1)
    gaps = np.stack([grid - times[after - 1], times[after] - grid])
    share = (gaps[0] / np.maximum(gaps.sum(0), 1e-9)).clip(0, 1)

    def at(values: np.ndarray) -> torch.Tensor:
        part = share.reshape(-1, *[1] * (values.ndim - 1))
        mixed = values[after - 1] + (values[after] - values[after - 1]) * part
        return torch.from_numpy(mixed.astype(np.float32))[None]

    here = torch.from_numpy((np.abs(gaps).min(0) <= NEAR_SECONDS).astype(np.float32))[None]
    return Landmarks(at(person.world), at(person.rays(focal)), at(person.inside.visible), here), start


def _trend(x: np.ndarray, sigma: float) -> np.ndarray:
    """Values (T, C) smoothed over `sigma` frames, mirrored about their ends, so that a path keeps its speed there."""
    length = round(3 * sigma)
    inside = min(length, len(x) - 1)
    both = np.concatenate([2 * x[:1] - x[inside:0:-1], x, 2 * x[-1:] - x[-2 : -2 - inside : -1]])
    extended = np.pad(both, [(length - inside, length - inside), (0, 0)], "edge")
    return gaussian(extended, sigma)[length : length + len(x)]


def plant_feet(motion: Motion, stands: np.ndarray) -> Motion:
    """The motion with feet that stay in place while they stand (T, 2), and nothing below the floor."""
    feet = motion.joints[:, [ANKLES, TOES]].astype(np.float64).mean(1)
    offsets = np.zeros((len(motion), 2, 3))
    for side in (0, 1):
        offsets[:, side, ::2] = _hold_foot(feet[:, side, ::2], stands[:, side])
    parts = [slice(k, k + TOGETHER) for k in range(0, len(motion), TOGETHER)]
    rotations = np.concatenate([shift_feet(motion.rotations[p], motion.root[p], offsets[p]) for p in parts])
    return without_penetration(replace(motion, rotations=rotations))


def _hold_foot(foot: np.ndarray, contact: np.ndarray) -> np.ndarray:
    """(T, 2) metres along x and z by which a foot (T, 2) is moved so that it stays in one place in every contact."""
    keys: list[tuple[float, np.ndarray]] = [(-1.0, np.zeros(2)), (float(len(foot)), np.zeros(2))]
    for first, last in runs_of(contact, 1):
        if last - first >= CONTACT_FRAMES:
            run = np.arange(first, last)
            keys += [(float(t), x) for t, x in zip(run, np.median(foot[run], 0) - foot[run], strict=True)]
    keys.sort(key=lambda key: key[0])
    if len(keys) > 2:  # a foot that stands at an end keeps its offset beyond
        keys[0], keys[-1] = (-1.0, keys[1][1]), (float(len(foot)), keys[-2][1])
    at, values = np.array([t for t, _ in keys]), np.array([x for _, x in keys])
    offset = np.stack([np.interp(np.arange(len(foot)), at, values[:, c]) for c in (0, 1)], -1)
    size = np.linalg.norm(offset, axis=-1, keepdims=True)
    return gaussian(offset * np.minimum(1, MAX_STRIDE / np.maximum(size, 1e-9)), 0.7)
