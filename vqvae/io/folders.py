"""Evidence from the other clips of a folder: how the joints of one rig are turned on average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from vqvae.errors import UserError
from vqvae.io.bvh import read_bvh_rig
from vqvae.io.gltf_rigs import read_rigs
from vqvae.posture import degrees
from vqvae.rest import Means, means_of
from vqvae.rig import Rig, joint_map, world

MAX_CLIPS = 24  # of a folder that are looked at, evenly spaced by name
SHORT = 0.01  # of the longest bone; shorter ones have no direction
SAME_BONES = 5.0  # degrees by which bones of one rig's clips differ at most at rest


def folder_means(path: Path, rig: Rig) -> Means:
    """Mean of `vqvae.rest.means_of` over the clips of the same skeleton in a file's folder."""
    lengths = np.linalg.norm(rig.offsets[1:], axis=1)
    bones = lengths > SHORT * lengths.max(initial=0)
    clips = _means(path.parent, path.suffix.lower(), rig.names, rig.parents)
    alike = [
        means for offsets, means in clips if (degrees(offsets[1:], rig.offsets[1:])[bones] <= SAME_BONES).all()
    ] or [_of_rig(rig)]  # fmt: skip
    return {key: np.asarray(np.mean([means[key] for means in alike], 0)) for key in alike[0]}


def _of_rig(rig: Rig) -> Means:
    return means_of(joint_map(rig), *world(rig))


@lru_cache(maxsize=64)
def _means(
    folder: Path, suffix: str, names: tuple[str, ...], parents: tuple[int, ...]
) -> list[tuple[np.ndarray, Means]]:
    """Offsets (J, 3) and means of clips with those joints."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == suffix)
    out = []
    for path in files[:: max(1, -(-len(files) // MAX_CLIPS))]:
        try:
            bvh = suffix == ".bvh"
            readers: Sequence[Callable[[], Rig]] = [partial(read_bvh_rig, path)] if bvh else read_rigs(path)
            for rig in (read() for read in readers[: max(1, MAX_CLIPS // len(files))]):
                if (rig.names, rig.parents) == (names, parents):
                    out.append((rig.offsets, _of_rig(rig)))
        except UserError:  # said where that file is read
            continue
    return out
