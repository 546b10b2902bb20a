"""The animations of any humanoid in a glTF: as rigs, or one of them as a motion of our skeleton."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vqvae.io.glb import check_readable
from vqvae.io.gltf_document import ACCEPTED, Animation, Document, opened
from vqvae.io.gltf_skeleton import Skeleton
from vqvae.io.gltf_tracks import chosen
from vqvae.io.guard import understanding
from vqvae.io.keyframes import said
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig


@dataclass(frozen=True)
class AnimatedRig:
    """One animation of a file, taken apart when it is called.

    Attributes:
        name: of the animation, empty where it has none.
    """

    name: str
    path: Path
    skeleton: Skeleton
    animation: Animation

    def __call__(self) -> Rig:
        """Raises UserError for data that are not read."""
        with understanding(self.path, f"an animation {self.name!r} of its skeleton"):
            return self.skeleton.moved(self.animation)


def read_rigs(path: str | os.PathLike[str]) -> list[AnimatedRig]:
    """Every animation of a file's humanoid.

    Raises:
        UserError: not a glTF, no humanoid, none of its animations turns it, compressed data.
    """
    path = Path(path)
    gltf = opened(path)
    with understanding(path, "a whole glTF", ACCEPTED):
        check_readable(path, gltf.extensionsRequired)
        skeleton = Skeleton(gltf, hands=True)
        return [AnimatedRig(a.name, path, skeleton, a) for a in skeleton.animations()]


def read_foreign(gltf: Document, path: Path, animation: str | None = None, hands: bool = False) -> Motion:
    """An animation of a file's humanoid as a Motion in metres, at the rate of its key frames, at least 15 a second.

    Args:
        animation: its name; None where there is only one.
        hands: make a gesture, with the file's fingers if it has some.

    Raises:
        UserError: no humanoid (which joints are missing), several animations and none named, data that are not read.
    """
    with understanding(path, "a humanoid with an animation", ACCEPTED):
        check_readable(path, gltf.extensionsRequired)
        skeleton = Skeleton(gltf, hands)
        one = chosen(skeleton.animations(), animation, path, "accepted one")
        motion = retarget(skeleton.moved(one), hands)
    caption = said(gltf.extras)[1]
    return motion.with_caption(caption) if caption else motion
