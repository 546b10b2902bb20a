"""`Portrait`: one picture of a face and the landmarks of another moment -> the picture of that moment; landmarks.

The recipe of InstructAvatar's appendix (arXiv 2405.15758): an appearance encoder sees frame j, a second one the
landmark image of frame i, a decoder makes frame i. Appearance is moved by attention where pictures are small and by
flow fields (as in the First Order Motion Model, arXiv 2003.00196) where they are large, so that detail is carried, not
invented. The flow begins with a spline through the landmarks of both frames: the network learns what that gets wrong.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.export.head import head
from avatargpt.lm.checkpoint import read_optional
from vqvae.errors import UserError
from vqvae.io.tensors import load_tensors, raise_weights
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
_EYES = (np.arange(36, 42), np.arange(42, 48))  # corner, two of the upper lid, corner, two of the lower
MARGIN = 0.45  # of the landmarks' box, around it
_IRIS = 0.016  # radius of an iris, share of the picture


def landmarks(points: np.ndarray) -> np.ndarray:
    """(70, 3) metres: the landmarks of our head's vertices (V, 3), wherever these have moved."""
    return np.stack([points[v].mean(0) for v in head().landmarks])


def carried(points: np.ndarray, motion: FaceMotion, head_angles: np.ndarray | None = None) -> np.ndarray:
    """Landmarks of a photographed face, moved as our head's are by a clip.

    Our head at rest, turned as the photographed one is, is laid on the photo's landmarks (scale, turn and shift by
    least squares, Umeyama 1991); how far every landmark of ours goes from there is added to the photo's. Lids go as far
    as the photo's eyes are open against ours, so that a blink shuts narrow eyes and no more.

    Args:
        points: (68, 2) or (70, 2), shares of a square picture, of somebody at rest.
        head_angles: (3,) yaw, pitch and roll of the photographed head, radians, signs of `FaceMotion`; None = it faces
            the camera.

    Returns:
        (T, 68 or 70, 2) for `avatargpt.face.portrait.Portrait.animate`.
    """
    from avatargpt.export.head import shaped, turn_vertices
    from avatargpt.export.renderers import MeshRenderer
    from vqvae.face import turns

    points = np.asarray(points, np.float64)
    if points.shape not in ((68, 2), (70, 2)):
        raise UserError(f"landmarks of a photo: {points.shape}; accepted: (68, 2) or (70, 2)")
    if not np.isfinite(points).all():
        lost = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise UserError(f"landmarks of a photo: number {lost} is not finite; accepted: every landmark found")
    base = np.zeros(3) if head_angles is None else np.asarray(head_angles, np.float64)
    rest = turn_vertices(head().points.astype(np.float64), turns(base[None])[0])
    project = MeshRenderer(64, 64).project
    still = project(landmarks(rest))[: len(points)]
    ours = [
        project(landmarks(turn_vertices(shaped(w), q)))
        for w, q in zip(motion.weights, turns(motion.head + base), strict=True)
    ]
    a, b = still - still.mean(0), points - points.mean(0)
    u, d, v = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    matrix = (u * flip) @ v * ((d * flip).sum() / (a**2).sum())
    moved = (np.stack(ours)[:, : len(points)] - still) @ matrix.T
    fitted = still @ matrix.T
    for eye in _EYES:
        share = float(np.clip(_measure_opening(points, eye) / max(_measure_opening(fitted, eye), 1e-6), 0, 2))
        carried_along = moved[:, eye[[0, 3]]].mean(1, keepdims=True)  # by the head, as the corners are
        moved[:, eye] = carried_along + share * (moved[:, eye] - carried_along)
    return points + moved


def _measure_opening(points: np.ndarray, eye: np.ndarray) -> float:
    """How far the lids of an eye are apart."""
    return float(np.linalg.norm(points[eye[[1, 2]]].mean(0) - points[eye[[4, 5]]].mean(0)))


def square_around(points: np.ndarray, size: tuple[int, int] | None = None) -> tuple[np.ndarray, float]:
    """The corner (2,) and the side of the square that a portrait shows of a face with these landmarks (..., 2).

    Landmarks that are not finite do not count. `size`: width and height of a picture in which the square is to lie.
    """
    axes = tuple(range(points.ndim - 1))
    low, high = np.nanmin(points, axes), np.nanmax(points, axes)
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    if size is None:
        return (low + high) / 2 - side / 2, side
    side = min(side, *map(float, size))
    return np.clip((low + high) / 2 - side / 2, 0, np.array(size) - side), side


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


FOLDER, FILE = "portrait", "portrait.safetensors"
BATCH = 16  # pictures made in one pass
MIN_SIZE, MAX_SIZE = 32, 1024  # pixels along each side of the pictures that are made
MAKE = "avatargpt finetune FILM --modality portrait -o MODEL"
STIFF, UNKNOWN = 1e-3, 1e6  # how little a spline follows a landmark, and one that is not known


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


def _block(into: int, out: int, convolutions: int = 2) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k in range(convolutions):
        layers += [nn.Conv2d(out if k else into, out, 3, padding=1), nn.GroupNorm(4, out), nn.SiLU()]
    return nn.Sequential(*layers)


class _Encoder(nn.Module):
    """(B, `into`, S, S) -> maps of S, S/2, S/4 and S/8."""

    def __init__(self, into: int, widths: Sequence[int]) -> None:
        super().__init__()
        # one convolution at the whole size, where it costs most
        self.blocks = nn.ModuleList(
            _block(a, b, 1 if k == 0 else 2) for k, (a, b) in enumerate(zip((into, *widths), widths, strict=False))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        out = []
        for i, block in enumerate(self.blocks):
            x = block(F.avg_pool2d(x, 2) if i else x)
            out.append(x)
        return out


def warp(maps: Tensor, flow: Tensor) -> Tensor:
    """(B, C, H, W) looked up where `flow` (B, 2, H, W) points, in shares of half the picture from every pixel."""
    grid = _pixels(flow.shape[2], flow.shape[3], flow.device)[None] + flow.float().permute(0, 2, 3, 1)
    return F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=True).to(maps.dtype)


def _pixels(height: int, width: int, device: torch.device) -> Tensor:
    """(H, W, 2) places of pixels, x and y from -1 to 1."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, device=device), torch.linspace(-1, 1, width, device=device), indexing="ij"
    )
    return torch.stack([x, y], -1)


def _anchors(device: torch.device) -> Tensor:
    """(16, 2) points of the picture's edge, which stay where they are."""
    along = torch.linspace(-1, 1, 5, device=device)[:4]
    one = torch.ones_like(along)
    sides = (along, -one), (one, along), (-along, one), (-one, -along)
    return torch.cat([torch.stack(side, 1) for side in sides])


def spline_flow(here: Tensor, there: Tensor, size: int) -> Tensor:
    """The flow that carries a face by its landmarks alone: smoothing thin-plate splines (Wahba 1990, 2.4).

    Args:
        here: (B, N, 2) landmarks in the picture, shares of it. there: those of the picture to be made. A point that is
            not finite in one of them does not count. size: of the map.

    Returns:
        (B, 2, size, size) for `warp`; zero along the picture's edge.
    """
    known = (here.isfinite() & there.isfinite()).all(-1)
    here, there = (torch.where(known[..., None], 2 * p.double() - 1, 0.0) for p in (here, there))
    edge = _anchors(here.device).double().expand(len(here), -1, -1)
    knots = torch.cat([there, edge], 1)
    moves = torch.cat([here - there, torch.zeros_like(edge)], 1)
    stiff = F.pad(torch.where(known, STIFF, UNKNOWN).double(), (0, edge.shape[1]), value=STIFF)
    count = knots.shape[1]
    flat = torch.cat([torch.ones_like(knots[..., :1]), knots], -1)
    system = knots.new_zeros(len(knots), count + 3, count + 3)
    system[:, :count, :count] = _bend(torch.cdist(knots, knots)) + torch.diag_embed(stiff)
    system[:, :count, count:], system[:, count:, :count] = flat, flat.transpose(1, 2)
    weights = torch.linalg.solve(system, F.pad(moves, (0, 0, 0, 3))).float()
    at = _pixels(size, size, here.device).reshape(1, -1, 2).expand(len(here), -1, -1)
    flow = _bend(torch.cdist(at, knots.float())) @ weights[:, :count] + weights[:, count, None]
    flow = flow + at @ weights[:, count + 1 :]
    return flow.transpose(1, 2).reshape(-1, 2, size, size)


def _bend(r: Tensor) -> Tensor:
    """r^2 log r."""
    return r.square() * r.clamp(min=1e-6).log()


class Seen(NamedTuple):
    """A photo as the network sees it: itself and its maps, largest first."""

    picture: Tensor  # (1 or B, 3, S, S)
    maps: list[Tensor]


class Move(NamedTuple):
    """What becomes of a picture: it is looked up along `flow` (B, 2, S, S), and `paint` (B, 3, S, S) covers it by
    `share` (B, 1, S, S)."""

    flow: Tensor
    paint: Tensor
    share: Tensor

    def of(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W) of a picture of any size (1 or B, 3, H, W), 0..1."""
        flow, paint, share = self
        if picture.shape[-1] != flow.shape[-1]:
            flow, paint, share = (_resize_maps(x.float(), picture.shape[-1]) for x in self)
        return share * paint + (1 - share) * warp(picture.expand(len(flow), -1, -1, -1), flow)

    def since(self, still: Move) -> Move:
        """Without what is done to the photo as it stands, `still` (of one picture)."""
        share = (self.share - still.share).clamp(min=0) / (1 - still.share).clamp(min=1e-3)
        return Move(self.flow - still.flow, self.paint, share)


class PortraitNetwork(nn.Module):
    """Moves a picture of a face by its landmarks: a spline between them first, then what the network adds to it."""

    def __init__(self, shape: PortraitShape) -> None:
        super().__init__()
        self.shape = shape
        widths = shape.widths()
        self.appearance, self.landmarks = _Encoder(6, widths), _Encoder(6, widths)
        deep = widths[-1]
        side = shape.size // 8
        self.place = nn.Parameter(torch.randn(1, side * side, deep) * 0.1)
        self.attention = nn.MultiheadAttention(deep, shape.heads, batch_first=True)
        self.fuse = nn.ModuleList()
        self.guide = nn.ModuleList()  # flow (2) and how much of what it fetches is taken (1)
        above = deep
        for level, width in enumerate(reversed(widths)):
            self.fuse.append(_block(above + 2 * width, width, 1 if level == len(widths) - 1 else 2))
            guide = nn.Conv2d(above + width, 3, 3, padding=1)
            # No flow of its own at first: training begins with the spline.
            nn.init.zeros_(guide.weight)
            assert guide.bias is not None
            nn.init.zeros_(guide.bias)
            self.guide.append(guide)
            above = width
        self.paint = nn.Conv2d(above, 4, 3, padding=1)
        assert self.paint.bias is not None
        with torch.no_grad():
            self.paint.bias[3] = -3.0  # little paint at first

    def see(self, picture: Tensor, here: Tensor) -> Seen:
        """The photo (B, 3, S, S), 0..1, with its landmark image, once for all pictures of it."""
        return Seen(picture, self.appearance(torch.cat([picture, here], 1)))

    def move(self, seen: Seen, lines: Tensor, carry: Tensor) -> Move:
        """What becomes of it.

        Args:
            lines: (B, 3, S, S) landmark image of the picture to be made, 0..1. carry: (B, 2, H, W) of `spline_flow`.
        """
        count, size = len(lines), self.shape.size
        picture, maps = seen.picture.expand(count, -1, -1, -1), [m.expand(count, -1, -1, -1) for m in seen.maps]
        carry = _resize_maps(carry.to(lines.dtype), size)
        drawing = self.landmarks(torch.cat([lines, warp(picture, carry)], 1))
        b, c, h, w = drawing[-1].shape
        query, key = (x.flatten(2).transpose(1, 2) + self.place for x in (drawing[-1], maps[-1]))
        x, _ = self.attention(query, key, maps[-1].flatten(2).transpose(1, 2), need_weights=False)
        x = x.transpose(1, 2).reshape(b, c, h, w)
        added = torch.zeros(b, 2, h, w, device=x.device, dtype=x.dtype)
        for level, (fuse, guide) in enumerate(zip(self.fuse, self.guide, strict=True)):
            features, guide_map = maps[-1 - level], drawing[-1 - level]
            side = guide_map.shape[-1]
            if level:
                x, added = _resize_maps(x, side), _resize_maps(added, side)
            step = guide(torch.cat([x, guide_map], 1))
            # At most a tenth of the picture at each level: large movements come from several levels.
            added = added + 0.2 * step[:, :2].tanh()
            fetched = warp(features, added + _resize_maps(carry, side)) * step[:, 2:].sigmoid()
            x = fuse(torch.cat([x, fetched, guide_map], 1))
        painted = self.paint(x)
        # New paint where the picture has nothing to move there (teeth, closed lids), the moved picture elsewhere.
        return Move(added + carry, painted[:, :3].sigmoid(), painted[:, 3:].sigmoid())

    def forward(self, picture: Tensor, here: Tensor, lines: Tensor, carry: Tensor) -> Move:
        """What becomes of pictures of faces.

        Args:
            picture: (B, 3, S, S) frame j, 0..1. here, lines: (B, 3, S, S) landmark images of j and of frame i, 0..1.
            carry: (B, 2, H, W) the `spline_flow` from j to i.

        Returns:
            The `Move` whose `of` makes frame i of the picture.
        """
        return self.move(self.see(picture, here), lines, carry)

    def carry(self, here: Tensor, there: Tensor) -> Tensor:
        """`spline_flow` at a quarter of the size."""
        return spline_flow(here, there, self.shape.size // 4)


def _resize_maps(maps: Tensor, side: int) -> Tensor:
    if maps.shape[-1] == side:
        return maps
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=True)


class Portrait:
    """A trained `PortraitNetwork` for people to use."""

    def __init__(self, network: PortraitNetwork) -> None:
        self.network = network.eval()

    @property
    def size(self) -> int:
        """Pixels along each side."""
        return self.network.shape.size

    @torch.inference_mode()
    def animate(
        self, picture: np.ndarray, here: np.ndarray, points: np.ndarray, size: int | None = None
    ) -> Iterator[np.ndarray]:
        """Pictures of the face at other moments.

        Args:
            picture: (H, W, 3) uint8, square; `square_around` says what of a photo.
            here: (68 or 70, 2) its landmarks in shares of it, by any detector in iBUG's order.
            points: (T, 68 or 70, 2) landmarks of the moments: `carried`, or a detector's.
            size: pixels along each side of the results; None = those of the network. Beyond them the photo's own
                detail is moved; what is painted stays as coarse as the network paints.

        Yields:
            T pictures (size, size, 3) uint8.
        """
        if picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 3:
            raise UserError(f"portrait: picture of shape {picture.shape}; accepted: square, RGB")
        here, points = np.asarray(here, np.float64), np.asarray(points, np.float64)
        if points.ndim != 3 or points.shape[1] not in (68, 70) or points.shape[2] != 2:
            raise UserError(f"portrait: landmarks of shape {points.shape}; accepted: (T, 68, 2) or (T, 70, 2)")
        if here.shape != points.shape[1:]:
            raise UserError(f"portrait: landmarks of the picture {here.shape}; accepted: {points.shape[1:]}")
        if size is not None and not MIN_SIZE <= size <= MAX_SIZE:
            raise UserError(f"portrait: size {size}; accepted: {MIN_SIZE} to {MAX_SIZE}")
        small, large = (as_tensor(resize_picture(picture, s)[None]) for s in (self.size, size or self.size))
        seen = self.network.see(small, as_tensor(landmark_image(here, self.size)[None]))
        source = torch.from_numpy(here)[None]
        # what the network would change of the photo as it stands is no motion: its face at rest is the photo itself
        still = self.network.move(
            seen, as_tensor(landmark_image(here, self.size)[None]), self.network.carry(source, source)
        )
        for start in range(0, len(points), BATCH):
            part = points[start : start + BATCH]
            lines = as_tensor(np.stack([landmark_image(p, self.size) for p in part]))
            carry = self.network.carry(source.expand(len(part), -1, -1), torch.from_numpy(part))
            frames = self.network.move(seen, lines, carry).since(still).of(large)
            yield from (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write ``portrait.safetensors`` into a folder, in `dtype`; ``torch.int8``: `vqvae.io.tensors.lower_weight`."""
        from safetensors.torch import save_file

        from avatargpt.lm.checkpoint import store_tensors

        state = store_tensors(self.network, dtype)
        state["shape"] = torch.tensor(list(self.network.shape.model_dump().values()))
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Portrait:
        """The portrait of a folder, or in ``portrait`` of a model folder. Raises UserError: not there or damaged."""
        def build(state: dict[str, Tensor]) -> Portrait:
            fields = zip(PortraitShape.model_fields, state.pop("shape").tolist(), strict=True)
            network = PortraitNetwork(PortraitShape.read(dict(fields), "shape"))
            network.load_state_dict(raise_weights(state))
            return cls(network)

        places = [Path(folder) / FOLDER / FILE, Path(folder) / FILE]
        path = next((p for p in places if p.exists()), places[1])
        if (portrait := read_optional(path, "portrait", load_tensors, build)) is None:
            raise UserError(f"{folder}: no portrait in it; make one: {MAKE}")
        return portrait


def resize_picture(picture: np.ndarray, size: int) -> np.ndarray:
    """A square picture (H, H, 3) uint8 at another size."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))


def as_tensor(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(N, S, S, 3) uint8 -> (N, 3, S, S) float32, 0..1."""
    return torch.from_numpy(np.array(pictures)).to(device).permute(0, 3, 1, 2).float() / 255
