"""Landmarks of a head's triangles by geometry alone: the openings of mouth and eyes, nose, chin, and points between.

An opening is where the skin, seen from the front along a vertical plane, goes on close by while the way along the skin
is far: it leads into the mouth, or ends at an edge. Heads look along +Z, Y up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from vqvae.errors import UserError

# All lengths are in distances between the eyes.
STEP = 0.04  # between two planes
DEEP = 0.12  # behind what lies above and below, skin is the inside of an opening
MOUTH_WIDTH = (0.25, 1.8)
MOUTH_BELOW = (0.45, 2.2)  # the eyes
CORNER = 0.1  # beyond the last plane that cuts an opening, at most
SAME = 0.06  # between openings that are one
ALIKE = 0.2  # cosine between normals of corners that are one
BROWS = 0.73  # height above the eyes, as a share of that of the eyes above the mouth
DROP = 0.3  # by which the chin stands before the neck
LEVELS, ASIDE = ("forehead", "nose", "mouth", "jaw"), (0.0, 0.45, 0.75)  # where points between are taken
ACCEPTED = "accepted a head with lips that are apart in its mesh"


class Kind(NamedTuple):
    """What is an opening: how many times as far, and how much further, the way along the skin is; its least and
    greatest height; within which height skin behind its surroundings is its inside."""

    times: float
    further: float
    low: float
    high: float
    inside: float


MOUTH, LIDS = Kind(2.5, 0.2, 0.0, 0.6, 1.0), Kind(1.15, 0.02, 0.04, 1.1, 0.45)


class Skin(NamedTuple):
    """Welded triangles: points (V, 3), triangles (F, 3)."""

    points: np.ndarray
    triangles: np.ndarray


class Opening(NamedTuple):
    """A mouth or the lids of an eye: upper and lower edge (N, 3), from the person's right to the left, and the numbers
    (N, 2) of the two points of the skin between which each lies. In one plane: (3,) and (2,)."""

    upper: np.ndarray
    lower: np.ndarray
    upper_at: np.ndarray
    lower_at: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """(N, 3) between both edges."""
        return (self.upper + self.lower) / 2

    @property
    def height(self) -> np.ndarray:
        """(N,)"""
        return np.asarray(np.linalg.norm(self.upper - self.lower, axis=-1))

    @property
    def width(self) -> float:
        return float(np.ptp(self.upper[:, 0]))

    def edges(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, 3) of the upper and the lower edge, evenly from corner to corner."""
        share, at = np.linspace(0, 1, len(self.upper)), np.linspace(0, 1, count)
        above, below = (np.stack([np.interp(at, share, c) for c in edge.T], 1) for edge in (self.upper, self.lower))
        return above, below


@dataclass(frozen=True)
class Landmarks:
    """Of a face: `scale` is the distance between the eyes; `lids` of the left and the right eye, None for closed or
    painted ones; `points` name -> (3,)."""

    scale: float
    mouth: Opening
    lids: tuple[Opening | None, Opening | None]
    points: dict[str, np.ndarray]


def weld(points: np.ndarray, triangles: np.ndarray, normals: np.ndarray) -> tuple[Skin, np.ndarray]:
    """Triangles whose corners at one place are one, and (V,) the welded point of each.

    Corners whose normals (V, 3) lie apart stay apart: lips that touch are two.
    """
    size = float(np.ptp(points, 0).max()) or 1.0
    _, place = np.unique(np.round(points / (1e-5 * size)).astype(np.int64), axis=0, return_inverse=True)
    place = place.reshape(-1)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    to = np.empty(len(points), np.int64)
    for group in np.split(order, starts[1:]):
        left = group
        while len(left):
            alike = normals[left] @ normals[left[0]] > ALIKE
            alike[0] = True
            to[left[alike]] = left[0]
            left = left[~alike]
    kept, to = np.unique(to, return_inverse=True)
    joined = to[triangles]
    whole = (joined[:, 0] != joined[:, 1]) & (joined[:, 1] != joined[:, 2]) & (joined[:, 2] != joined[:, 0])
    return Skin(points[kept], joined[whole]), to


def edge_graph(skin: Skin) -> csr_matrix:
    """(V, V) lengths of the edges."""
    ends = np.concatenate([skin.triangles[:, [0, 1]], skin.triangles[:, [1, 2]], skin.triangles[:, [2, 0]]])
    ends = np.unique(np.sort(ends, 1), axis=0)
    lengths = np.maximum(np.linalg.norm(skin.points[ends[:, 0]] - skin.points[ends[:, 1]], axis=1), 1e-9)
    count = len(skin.points)
    graph = coo_matrix((lengths, (ends[:, 0], ends[:, 1])), (count, count)).tocsr()
    return graph + graph.T


def pieces_of(skin: Skin) -> np.ndarray:
    """(V,) the number of the connected piece of each point."""
    return np.asarray(connected_components(edge_graph(skin), directed=False)[1])


class _Section:
    """What a vertical plane at `x` cuts of the skin: nodes on edges, seen from the front or not."""

    def __init__(self, skin: Skin, x: float, scale: float, kind: Kind) -> None:
        self._scale, self._kind = scale, kind
        points, triangles = skin
        x += 1.234e-5 * scale  # no corner lies on the plane
        ahead = points[:, 0] > x
        cut = triangles[ahead[triangles].any(1) & ~ahead[triangles].all(1)]
        ends = np.stack([cut, np.roll(cut, -1, 1)], -1)  # (F, 3, 2) edges
        crossed = ahead[ends[..., 0]] != ahead[ends[..., 1]]
        edges, number = np.unique(np.sort(ends[crossed], 1), axis=0, return_inverse=True)
        self.edges, self.segments = edges, number.reshape(-1, 2)
        a, b = points[edges[:, 0]], points[edges[:, 1]]
        share = (x - a[:, :1]) / (b[:, :1] - a[:, :1])
        self.nodes = a + share * (b - a)
        y, z = self.nodes[:, 1], self.nodes[:, 2]
        self._lines = y[self.segments], z[self.segments]
        visible = z >= self.front(y) - 0.02 * scale
        grid = np.arange(y.min(), y.max() + 1e-9, 0.01 * scale) if len(y) else np.zeros(0)
        if len(grid) > 3:
            front = self.front(grid)
            front = np.where(np.isfinite(front), front, np.nanmin(z))
            closed = ndimage.grey_closing(front, size=round(kind.inside * 100))
            visible &= np.interp(y, grid, closed) - z < DEEP * scale
        order = np.flatnonzero(visible)
        self.seen = order[np.argsort(-y[order], kind="stable")]  # from the top down

    def front(self, heights: np.ndarray) -> np.ndarray:
        """(N,) how far forward the skin reaches at heights; -inf where there is none."""
        (y0, y1), (z0, z1) = self._lines[0].T, self._lines[1].T
        low, high = np.minimum(y0, y1), np.maximum(y0, y1)
        h = heights[:, None]
        share = np.clip((h - y0) / np.where(y1 == y0, 1, y1 - y0), 0, 1)
        reach = np.where((h >= low - 1e-9) & (h <= high + 1e-9), z0 + share * (z1 - z0), -np.inf)
        return np.asarray(reach.max(1, initial=-np.inf))

    def openings(self) -> list[Opening]:
        """Those in this plane, from the top down."""
        scale, kind = self._scale, self._kind
        if len(self.seen) < 2:
            return []
        lengths = np.maximum(np.linalg.norm(np.diff(self.nodes[self.segments], axis=1)[:, 0], axis=1), 1e-9)
        count = len(self.nodes)
        graph = coo_matrix((lengths, (self.segments[:, 0], self.segments[:, 1])), (count, count)).tocsr()
        ways = dijkstra(graph, directed=False, indices=self.seen[:-1])
        way = ways[np.arange(len(self.seen) - 1), self.seen[1:]]
        above, below = self.nodes[self.seen[:-1]], self.nodes[self.seen[1:]]
        straight = np.linalg.norm(above - below, axis=1)
        apart = (above[:, 1] - below[:, 1] >= kind.low * scale) & (straight < kind.high * scale)
        found = np.flatnonzero(apart & (way > kind.times * straight + kind.further * scale))
        out: list[Opening] = []
        for k in found:  # lips that touch are seen in turns
            up, down = (self.edges[self.seen[n]] for n in (k, k + 1))
            if out and kind is MOUTH and out[-1].lower[1] - above[k][1] < SAME * scale:
                out[-1] = out[-1]._replace(lower=below[k], lower_at=down)
            else:
                out.append(Opening(above[k], below[k], up, down))
        return out


def _follow(skin: Skin, scale: float, x: float, start: Opening, kind: Kind) -> Opening:
    """An opening from plane to plane, to both corners."""
    sides: list[list[Opening]] = []
    tallest = 1.3 * start.height + SAME * scale
    for way in (-1, 1):
        last, rows, missed, k = start, list[Opening](), 0, 0
        while missed < 2 and k < 60:
            k += 1
            found = _Section(skin, x + way * k * STEP * scale, scale, kind).openings()
            off = [np.abs(gap.middle - last.middle) for gap in found]
            near = [gap for gap, (_, up, ahead) in zip(found, off, strict=True) if up < 0.2 * scale
                    and ahead < 0.3 * scale and gap.height < tallest]  # fmt: skip
            missed = 0 if near else missed + 1
            if near:  # the one whose edges go on from the last one's: a crease above a lid is another
                last = min(near, key=lambda gap: abs(gap.upper[1] - last.upper[1]) + abs(gap.lower[1] - last.lower[1]))
                rows.append(last)
        sides.append(rows)
    gaps = [*sides[0][::-1], start, *sides[1]]
    opening = Opening(*(np.stack(column) for column in zip(*gaps, strict=True)))
    inwards, height = min(2, len(gaps) - 1), opening.height
    for corner, inside in ((0, inwards), (-1, -1 - inwards)):  # where both edges meet, as far on as they run together
        here, before = opening.middle[corner], opening.middle[inside]
        on = height[corner] / max(height[inside] - height[corner], 1e-9) if height[inside] > height[corner] else 0.0
        reach = (here - before) * min(on, CORNER * scale / max(float(np.linalg.norm(here - before)), 1e-9))
        opening.upper[corner] = opening.lower[corner] = here + reach
    return opening


def find_landmarks(skin: Skin, eyes: tuple[np.ndarray, np.ndarray]) -> Landmarks:
    """Landmarks of a face whose eyes' centres (3,), left and right, are known.

    Raises:
        UserError: no opening of a mouth.
    """
    scale = float(np.linalg.norm(eyes[0] - eyes[1]))
    centre = (eyes[0] + eyes[1]) / 2
    found = _find_mouth(skin, scale, centre)
    mouth = _follow(skin, scale, float(centre[0]), found, MOUTH)
    if not MOUTH_WIDTH[0] < mouth.width / scale < MOUTH_WIDTH[1]:
        raise UserError(f"no mouth opening found: what is nearest is {mouth.width / scale:.2f} eye distances wide; "
                        f"{ACCEPTED}")  # fmt: skip
    lids = tuple(_find_lids(skin, scale, eye) for eye in eyes)
    points = _points(skin, scale, centre, mouth)
    return Landmarks(scale, mouth, (lids[0], lids[1]), points)


def _find_mouth(skin: Skin, scale: float, centre: np.ndarray) -> Opening:
    """Upper and lower edge of the mouth in the middle of the face; the widest where there are several."""
    best, width = None, 0.0
    for gap in _Section(skin, float(centre[0]), scale, MOUTH).openings():
        if MOUTH_BELOW[0] < (centre[1] - gap.middle[1]) / scale < MOUTH_BELOW[1]:
            wide = _follow(skin, scale, float(centre[0]), gap, MOUTH).width
            best, width = (gap, wide) if wide > width else (best, width)
    if best is None:
        raise UserError(f"no mouth opening found below the eyes; {ACCEPTED}")
    return best


def _find_lids(skin: Skin, scale: float, eye: np.ndarray) -> Opening | None:
    x = float(eye[0])
    found = [o for o in _Section(skin, x, scale, LIDS).openings()
             if o.upper[1] + 0.1 * scale > eye[1] > o.lower[1] - 0.1 * scale]  # fmt: skip
    return _follow(skin, scale, x, max(found, key=lambda gap: gap.height), LIDS) if found else None


def _points(skin: Skin, scale: float, centre: np.ndarray, mouth: Opening) -> dict[str, np.ndarray]:
    """Nose, bridge, chin, and points of the skin between."""
    middle = _Section(skin, float(centre[0]), scale, MOUTH)
    lips = mouth.middle[len(mouth.middle) // 2]
    heights = np.arange(lips[1] + 0.15 * scale, centre[1], 0.01 * scale)
    front = middle.front(heights)
    nose = np.array([centre[0], heights[front.argmax()], front.max()])
    heights = np.arange(lips[1] - 0.1 * scale, lips[1] - 1.6 * scale, -0.01 * scale)
    front = middle.front(heights)
    ahead = np.maximum.accumulate(front)
    end = np.flatnonzero(front < ahead - DROP * scale)
    last = max((int(end[0]) if len(end) else len(front)) - 1, 0)
    chin = np.array([centre[0], heights[last], front[last]])
    out = {"nose": nose, "chin": chin}
    brows = centre[1] + BROWS * (centre[1] - lips[1])
    levels = {"forehead": brows, "bridge": centre[1], "nose": (nose[1] + centre[1]) / 2 - 0.2 * scale,
              "mouth": lips[1], "jaw": (lips[1] + chin[1]) / 2}  # fmt: skip
    for x in sorted({s * a for a in ASIDE for s in (-1, 1)}):
        section = _Section(skin, float(centre[0] + x * scale), scale, MOUTH)
        for level in ("bridge", "forehead") if x == 0 else LEVELS:
            reach = section.front(np.array([levels[level]]))[0]
            inside = level == "mouth" and abs(x) * scale < mouth.width / 2 + 0.1 * scale
            if np.isfinite(reach) and reach > nose[2] - 1.6 * scale and not inside:
                out[f"{level}{x:+.2f}"] = np.array([centre[0] + x * scale, levels[level], reach])
    return out
