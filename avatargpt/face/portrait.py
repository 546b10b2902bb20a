"""`Portrait`: one picture of a face and the landmarks of another moment -> the picture of that moment; landmarks.

The recipe of InstructAvatar's appendix (arXiv 2405.15758): an appearance encoder sees frame j, a second one the
landmark image of frame i, a decoder makes frame i. Appearance is moved by attention where pictures are small and by
flow fields (as in the First Order Motion Model, arXiv 2003.00196) where they are large, so that detail is carried, not
invented.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.export.head import head
from avatargpt.lm.checkpoint import read_optional
from vqvae.errors import UserError
from vqvae.io.tensors import load_tensors
from vqvae.motion import atomic_write
from vqvae.strict import PositiveInt, Strict

if TYPE_CHECKING:
    from vqvae.face import FaceMotion

# Landmarks of our head, and pictures of landmarks as input of networks.
# The 68 points of iBUG 300-W (Sagonas et al. 2013) in their order, so that any detector of the usual kind can stand
# in for ours: jaw 17 from the picture's left, brows 5 and 5, bridge 4 and nostrils 5, eyes 6 and 6 (corner, upper
# lid, corner, lower lid), outer lips 12, inner lips 8; then a 69th and 70th for the irises.

COUNT = 70
_CHAINS: tuple[tuple[int, tuple[int, ...], bool], ...] = (  # channel, points, whether the line closes
    (0, tuple(range(17)), False), (0, tuple(range(27, 31)), False), (0, tuple(range(31, 36)), False),
    (1, tuple(range(17, 22)), False), (1, tuple(range(22, 27)), False), (1, tuple(range(36, 42)), True),
    (1, tuple(range(42, 48)), True), (2, tuple(range(48, 60)), True), (2, tuple(range(60, 68)), True),
)  # fmt: skip
_IRISES = (68, 69)
_IRIS = 0.016  # radius of an iris, share of the picture


def landmarks(points: np.ndarray) -> np.ndarray:
    """(70, 3) metres: the landmarks of our head's vertices (V, 3), wherever these have moved."""
    return np.stack([points[v].mean(0) for v in head().landmarks])


def carried(points: np.ndarray, motion: FaceMotion) -> np.ndarray:
    """Landmarks of a photographed face, moved as our head's are by a clip.

    Our head at rest is laid on the photo's landmarks (scale, turn and shift by least squares, Umeyama 1991); how far
    every landmark of ours goes from there is added to the photo's.

    Args:
        points: (68, 2) or (70, 2), shares of a square picture, of somebody who faces the camera at rest.

    Returns:
        (T, 68 or 70, 2) for `avatargpt.face.portrait.Portrait.animate`.
    """
    from avatargpt.export.head import shaped, turned
    from avatargpt.export.renderers import MeshRenderer
    from vqvae.face import turns

    points = np.asarray(points, np.float64)
    if points.shape not in ((68, 2), (70, 2)):
        raise UserError(f"landmarks of a photo: {points.shape}; accepted: (68, 2) or (70, 2)")
    if not np.isfinite(points).all():
        lost = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise UserError(f"landmarks of a photo: number {lost} is not finite; accepted: every landmark found")
    project = MeshRenderer(64, 64).project
    still = project(landmarks(head().points.astype(np.float64)))[: len(points)]
    ours = [project(landmarks(turned(shaped(w), q))) for w, q in zip(motion.weights, turns(motion.head), strict=True)]
    a, b = still - still.mean(0), points - points.mean(0)
    u, d, v = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    matrix = (u * flip) @ v * ((d * flip).sum() / (a**2).sum())
    return points + (np.stack(ours)[:, : len(points)] - still) @ matrix.T


def landmark_image(points: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: lines through landmarks; jaw and nose, brows and eyes, lips in a channel each.

    Args:
        points: (70, 2) or (68, 2) in shares of the picture, x to the right, y down. Points that are not finite, and
            lines to them, are left out.
    """
    from PIL import Image, ImageDraw

    fine, channels = 4, []
    scaled = np.asarray(points, np.float64) * size * fine
    finite = np.asarray(np.isfinite(scaled).all(axis=1))
    for channel in range(3):
        picture = Image.new("L", (size * fine, size * fine))
        draw = ImageDraw.Draw(picture)
        for chain_channel, chain, closed in _CHAINS:
            if chain_channel != channel:
                continue
            ring = (*chain, chain[0]) if closed else chain
            for a, b in zip(ring, ring[1:], strict=False):
                if finite[a] and finite[b]:
                    draw.line([tuple(scaled[a]), tuple(scaled[b])], 255, width=max(fine * size // 64, 1))
        if channel == 1:
            for i in _IRISES:
                if i < len(scaled) and finite[i]:
                    r = _IRIS * size * fine
                    draw.ellipse([*(scaled[i] - r), *(scaled[i] + r)], fill=255)
        channels.append(np.asarray(picture.resize((size, size), Image.Resampling.BOX)))
    return np.stack(channels, -1)


FILE = "portrait.safetensors"
BATCH = 16  # pictures made in one pass


class PortraitShape(Strict):
    """Of the network."""

    size: Literal[32, 64, 96, 128, 192, 256] = 64  # pixels along each side
    width: PositiveInt = 24  # channels of the largest maps; those of half the size have twice as many, at most `most`
    most: PositiveInt = 96
    heads: PositiveInt = 4  # of the attention

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        if any(w % 4 for w in self.widths()) or self.widths()[-1] % self.heads:
            shape = f"width {self.width}, most {self.most}, heads {self.heads}"
            raise UserError(f"{shape}; accepted: multiples of 4, heads that divide them")
        return self

    def widths(self) -> list[int]:
        """Channels at the whole size, a half, a quarter and an eighth of it."""
        return [min(self.width * 2**i, self.most) for i in range(4)]


def _block(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, padding=1), nn.GroupNorm(4, out), nn.SiLU(),
        nn.Conv2d(out, out, 3, padding=1), nn.GroupNorm(4, out), nn.SiLU(),
    )  # fmt: skip


class _Encoder(nn.Module):
    """(B, 3, S, S) -> maps of S, S/2, S/4 and S/8."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_block(a, b) for a, b in zip((3, *widths), widths, strict=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        out = []
        for i, block in enumerate(self.blocks):
            x = block(F.avg_pool2d(x, 2) if i else x)
            out.append(x)
        return out


def warp(maps: Tensor, flow: Tensor) -> Tensor:
    """(B, C, H, W) looked up where `flow` (B, 2, H, W) points, in shares of half the picture from every pixel."""
    b, _, h, w = maps.shape
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, h, device=maps.device), torch.linspace(-1, 1, w, device=maps.device), indexing="ij"
    )
    grid = torch.stack([x, y], -1)[None] + flow.float().permute(0, 2, 3, 1)
    return F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=True).to(maps.dtype)


class PortraitNetwork(nn.Module):
    """Moves a picture of a face by landmark images."""

    def __init__(self, shape: PortraitShape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths()
        self.appearance, self.landmarks = _Encoder(widths), _Encoder(widths)
        deep = widths[-1]
        side = shape.size // 8
        self.place = nn.Parameter(torch.randn(1, side * side, deep) * 0.1)
        self.attention = nn.MultiheadAttention(deep, shape.heads, batch_first=True)
        self.fuse = nn.ModuleList()
        self.guide = nn.ModuleList()  # flow (2) and how much of what it fetches is taken (1)
        above = deep
        for width in reversed(widths):
            self.fuse.append(_block(above + 2 * width, width))
            guide = nn.Conv2d(above + width, 3, 3, padding=1)
            # No flow at first: training begins with the picture as it is.
            nn.init.zeros_(guide.weight)
            assert guide.bias is not None
            nn.init.zeros_(guide.bias)
            self.guide.append(guide)
            above = width
        self.paint = nn.Conv2d(above, 4, 3, padding=1)

    def forward(self, picture: Tensor, lines: Tensor) -> Tensor:
        """A picture of the face, moved.

        Args:
            picture: (B, 3, S, S) frame j, 0..1. lines: (B, 3, S, S) landmark image of frame i, 0..1.

        Returns:
            (B, 3, S, S) frame i, 0..1.
        """
        face, drawing = self.appearance(picture), self.landmarks(lines)
        b, c, h, w = drawing[-1].shape
        query, key = (x.flatten(2).transpose(1, 2) + self.place for x in (drawing[-1], face[-1]))
        x, _ = self.attention(query, key, face[-1].flatten(2).transpose(1, 2), need_weights=False)
        x = x.transpose(1, 2).reshape(b, c, h, w)
        flow = torch.zeros(b, 2, h, w, device=x.device, dtype=x.dtype)
        for level, (fuse, guide) in enumerate(zip(self.fuse, self.guide, strict=True)):
            features, guide_map = face[-1 - level], drawing[-1 - level]
            if level:
                x, flow = (F.interpolate(t, scale_factor=2, mode="bilinear", align_corners=True) for t in (x, flow))
            step = guide(torch.cat([x, guide_map], 1))
            # At most a tenth of the picture at each level: large movements come from several levels.
            flow = flow + 0.2 * step[:, :2].tanh()
            x = fuse(torch.cat([x, warp(features, flow) * step[:, 2:].sigmoid(), guide_map], 1))
        painted = self.paint(x)
        # New paint where the picture has nothing to move there (teeth, closed lids), the moved picture elsewhere.
        share = painted[:, 3:].sigmoid()
        out: Tensor = share * painted[:, :3].sigmoid() + (1 - share) * warp(picture, flow)
        return out


class Portrait:
    """A trained `PortraitNetwork` for people to use."""

    def __init__(self, network: PortraitNetwork) -> None:
        self.network = network.eval()

    @property
    def size(self) -> int:
        """Pixels along each side."""
        return self.network.shape.size

    @torch.inference_mode()
    def animate(self, picture: np.ndarray, points: np.ndarray) -> Iterator[np.ndarray]:
        """Pictures of the face at other moments.

        Args:
            picture: (H, W, 3) uint8, square; made as small as the network's pictures.
            points: (T, 68 or 70, 2) landmarks in shares of the picture: `face_landmarks.carried`, or any detector's in
                iBUG's order.

        Yields:
            T pictures (size, size, 3) uint8.
        """
        from PIL import Image

        if picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 3:
            raise UserError(f"portrait: picture of shape {picture.shape}; accepted: square, RGB")
        points = np.asarray(points, np.float64)
        if points.ndim != 3 or points.shape[1] not in (68, 70) or points.shape[2] != 2:
            raise UserError(f"portrait: landmarks of shape {points.shape}; accepted: (T, 68, 2) or (T, 70, 2)")
        small = Image.fromarray(picture).resize((self.size, self.size), Image.Resampling.LANCZOS)
        source = as_tensor(np.asarray(small)[None])
        for start in range(0, len(points), BATCH):
            lines = np.stack([landmark_image(p, self.size) for p in points[start : start + BATCH]])
            frames = self.network(source.expand(len(lines), -1, -1, -1), as_tensor(lines))
            yield from (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``portrait.safetensors`` into a folder."""
        from safetensors.torch import save_file

        state = {k: v.contiguous() for k, v in self.network.state_dict().items()}
        state["shape"] = torch.tensor(list(self.network.shape.model_dump().values()))
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Portrait:
        """The portrait of a folder. Raises UserError: not there or damaged."""
        def build(state: dict[str, Tensor]) -> Portrait:
            fields = zip(PortraitShape.model_fields, state.pop("shape").tolist(), strict=True)
            network = PortraitNetwork(PortraitShape.read(dict(fields), "shape"))
            network.load_state_dict(state)
            return cls(network)

        path = Path(folder) / FILE
        if (portrait := read_optional(path, "portrait", load_tensors, build)) is None:
            raise UserError(f"{path}: no such file; make one with the portrait stage of scripts/train.py")
        return portrait


def as_tensor(pictures: np.ndarray) -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) float32, 0..1."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 255
