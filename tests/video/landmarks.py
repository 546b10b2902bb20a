"""Landmarks of a computed body as a camera at a known place gives them."""

import numpy as np

from avatargpt.video.people import Person
from avatargpt.video.poses import AT, LANDMARKS
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

SIZE, FOCAL = (1280, 720), 0.9


def person_of(motion: Motion, tilt: float = 0.2, distance: float = 5.0) -> Person:
    """What a perfect network reads off a film of the motion; the camera looks down by `tilt` radians."""
    joints, turned = SMPL22.fk_full(motion.rotations, motion.root)
    world = np.zeros((len(motion), len(LANDMARKS), 3))
    for name, k in AT.items():
        if name in SMPL22.names:
            world[:, k] = joints[:, SMPL22.index(name)]
    head = joints[:, SMPL22.index("head")], turned[:, SMPL22.index("head")]
    face = {"nose": (0, 0.04, 0.11), "l_eye": (0.03, 0.08, 0.09), "r_eye": (-0.03, 0.08, 0.09)}
    face |= {"l_ear": (0.07, 0.06, 0), "r_ear": (-0.07, 0.06, 0)}
    for name, place in face.items():
        world[:, AT[name]] = head[0] + head[1] @ np.array(place)
    for side, sign in (("l", 1), ("r", -1)):
        world[:, AT[f"{side}_toe"]] = joints[:, SMPL22.index(f"{side}_foot")]
        wrist, hand = joints[:, SMPL22.index(f"{side}_wrist")], turned[:, SMPL22.index(f"{side}_wrist")]
        world[:, AT[f"{side}_index"]] = wrist + hand @ np.array([sign * 0.09, 0, 0.03])
        world[:, AT[f"{side}_pinky"]] = wrist + hand @ np.array([sign * 0.09, 0, -0.03])
        thumb, ankle = np.array([sign * 0.04, 0, 0.03]), turned[:, SMPL22.index(f"{side}_ankle")]
        world[:, AT[f"{side}_thumb"]] = wrist + hand @ thumb
        world[:, AT[f"{side}_heel"]] = joints[:, SMPL22.index(f"{side}_ankle")] + ankle @ np.array([0, -0.05, -0.03])
        world[:, AT[f"{side}_mouth"]] = head[0] + head[1] @ np.array([sign * 0.02, 0, 0.09])
        for part in ("inner", "outer"):
            world[:, AT[f"{side}_eye_{part}"]] = world[:, AT[f"{side}_eye"]]
    level = rot.from_axis_angle(np.array([tilt, 0, 0]))  # the world in the axes of a camera that looks down
    camera = rot.rotate(level, world - [0, 1, 0]) - [0, 0, distance]
    focal = FOCAL * max(SIZE)
    x, y = camera[..., 0] / -camera[..., 2] * focal, camera[..., 1] / -camera[..., 2] * focal
    points = np.stack([SIZE[0] / 2 + x, SIZE[1] / 2 - y], -1)
    middle = (camera[:, AT["l_hip"]] + camera[:, AT["r_hip"]]) / 2
    times = np.arange(len(motion)) / motion.fps
    return Person(times, np.ones(len(times)), points, camera - middle[:, None], np.ones(points.shape[:2]), SIZE)
