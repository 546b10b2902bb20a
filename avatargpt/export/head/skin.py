"""The skin of our head: a grid of longitudes and rows, slit where the eyes and the mouth open.

Rows are strung between curves (brow, lid crease, lip border, chin ...), so that edges of lids and lips are edges of the
mesh. At a slit the row is there twice, once for each lid or lip; rims and the inside of the mouth hang on these edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatargpt.export.head.hair import hairline
from avatargpt.export.head.lashes import lashes
from avatargpt.export.head.relaxing import relaxed
from avatargpt.export.head.shape import EYE, EYE_RADIUS, NECK_END, cast, smooth

_STEP = 0.0255  # rad between longitudes in front
MOUTH_COLUMN, INNER_COLUMN, OUTER_COLUMN = 10, 6, 19  # of the corners of the mouth and of the eye
HALF = np.array([
    *np.arange(23) * _STEP, 0.62, 0.69, 0.78, 0.90, 1.05, 1.24, 1.48, 1.74, 2.02, 2.32, 2.60, 2.88, np.pi,
])  # fmt: skip
COUNT = 2 * len(HALF) - 2  # columns all around; column COUNT - i mirrors column i
SLIT_Y = -0.0685  # height of the mouth
_LIP_UP, _LIP_LOW = 0.0060, 0.0078  # m from the slit to the lips' borders in the middle
# rows behind the lips: metres back and away from the slit, share of the width
_CAVITY = ((0.0030, 0.0004, 0.98), (0.0085, 0.0030, 0.93), (0.034, 0.010, 0.85))
_EDGE = 0.0022  # m by which both lips stand forward at the slit
_UNDER_HAIR = 0.014  # m above the hairline where the skin ends
_OPEN_UP, _OPEN_LOW, _TILT = 0.0076, 0.0064, 0.0010  # m, rims of the lids above and below the eye's axis


@dataclass(frozen=True)
class Skin:
    """V vertices of the skin, the rims of the lids and the inside of the mouth.

    Attributes:
        points: (V, 3) metres.
        triangles: (F, 3), counter-clockwise from outside.
        mirror: (V,) index of the vertex on the other side.
        region: (V,) one of the names in `REGIONS`, by number: for colours.
        lid: (V,) 1 at the upper rim falling to 0 at the crease; negative for the lower lid.
        column: (V,) column of the grid.
        below: (V,) whether the vertex belongs to the lower lip or what lies below it.
        lip: (V,) distance from the slit along the lip, 0 at the slit, 1 at the border, more beyond; inside below 0.
    """

    points: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray
    region: np.ndarray
    lid: np.ndarray
    column: np.ndarray
    below: np.ndarray
    lip: np.ndarray


REGIONS = ("skin", "lip", "mouth", "rim", "lash")


def _eye(half: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height of the upper rim, the lower rim and the axis of the eye by longitude."""
    inner, outer = HALF[INNER_COLUMN], HALF[OUTER_COLUMN]
    t = np.clip((half - inner) / (outer - inner), 0, 1)
    axis = _TILT * (2 * t - 1) * (1 - smooth(0.6, 1.2, half))
    arch = np.sin(np.pi * t)
    return axis + _OPEN_UP * np.maximum(arch, 0) ** 0.72, axis - _OPEN_LOW * np.maximum(arch, 0) ** 0.85, axis


def _mouth(half: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Slit, upper border, lower border and fullness of the lips by longitude."""
    s = np.clip(half / HALF[MOUTH_COLUMN], 0, 1)
    full = np.cos(np.pi / 2 * s) ** 0.62
    slit = SLIT_Y + 0.0021 * s**2.2 - 0.0007 * np.exp(-((s / 0.22) ** 2)) - 0.004 * smooth(0.25, 0.9, half)
    beyond = smooth(HALF[MOUTH_COLUMN], HALF[MOUTH_COLUMN] + 0.3, half)
    bow = 1 - 0.13 * np.exp(-((s / 0.14) ** 2))
    above, below = 0.0008 + _LIP_UP * full * bow + 0.011 * beyond, 0.0008 + _LIP_LOW * full + 0.010 * beyond
    return slit, slit + above, slit - below, full


def _curves(half: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Heights of the anchor curves from top to bottom and how many rows lie from each to the next; 0 for a slit."""
    flat = np.ones_like(half)
    up, low, axis = _eye(half)
    slit, above, below, _ = _mouth(half)
    next_to = 0.0007 + 0.0030 * smooth(HALF[MOUTH_COLUMN], HALF[MOUTH_COLUMN] + 0.3, half)
    return [
        (0.088 * flat, 5), (0.0265 * flat, 4), (np.maximum(up + 0.0042, axis + 0.0058), 2), (up + 0.0008, 1),
        (up, 0), (low, 1), (low - 0.0010, 2), (np.minimum(low - 0.0052, axis - 0.0066), 4),
        (-0.0270 * flat, 3), (-0.0475 * flat, 2), (above + next_to, 1), (above, 3), (slit, 0), (slit, 3), (below, 1),
        (below - next_to, 2),
    ]  # fmt: skip


# Below the lips height says little (the chin's underside is level): share of the way from the slit to the neck's end.
_LOWER = ((0.132, 3), (0.235, 2), (0.400, 3), (0.700, 3), (1.0, 0))
EYE_ROW, MOUTH_ROW = 15, 32  # the upper of the two rows of each slit
_CHIN_ROW = 44  # the first row below the chin


def _grid() -> np.ndarray:
    """Half of the skin: points (rows, half, 3) from the top down."""
    elevation = np.linspace(np.pi / 2, -1.45, 220)
    table = cast(HALF[:, None], elevation[None])
    height = np.minimum.accumulate(table[..., 1], 1) - 1e-8 * np.arange(len(elevation))
    curves = _curves(HALF)

    def at(heights: np.ndarray) -> np.ndarray:
        return np.array([np.interp(-h, -row, elevation) for h, row in zip(heights, height, strict=True)])

    marks = [at(h) for h, _ in curves]
    slit, end, lip = at(_mouth(HALF)[0]), at(np.full(len(HALF), NECK_END)), marks[-1]
    past = float((lip[0] - slit[0]) / (end[0] - slit[0]))  # shares hold in the middle
    marks += [lip + (share - past) / (1 - past) * (end - lip) for share, _ in _LOWER]
    counts = [n for _, n in curves] + [n for _, n in _LOWER]
    rows = [np.pi / 2 + (marks[0] - np.pi / 2) * k / 4 for k in (1, 2, 3)]
    for count, here, there in zip(counts, marks, [*marks[1:], marks[-1]], strict=True):
        rows += [here + (there - here) * k / max(count, 1) for k in range(max(count, 1))]
    angles = np.stack(rows)
    return _relaxed(cast(np.broadcast_to(HALF, angles.shape), angles))


def _relaxed(points: np.ndarray) -> np.ndarray:
    """The half grid with its jaw and the underside of its chin smoothed: there rays graze the skin."""
    row = np.arange(len(points))[:, None]
    beside = smooth(0.50, 0.85, HALF) * (1 - smooth(1.7, 2.2, HALF))
    share = beside * smooth(MOUTH_ROW - 9, MOUTH_ROW - 3, row) * (1 - smooth(_CHIN_ROW + 2, _CHIN_ROW + 6, row))
    share = np.maximum(share, 0.25 * smooth(_CHIN_ROW, _CHIN_ROW + 3, row) * (HALF < 1.8))
    # across only: the field has a crease where its halves meet
    middle = smooth(MOUTH_ROW + 5, MOUTH_ROW + 9, row) * (1 - smooth(0.06, 0.16, HALF))
    return relaxed(points, share, middle, (MOUTH_ROW + 1, MOUTH_COLUMN + 1))


def _lips(points: np.ndarray) -> np.ndarray:
    """Round lips on the half grid; returns each vertex' place across the lip."""
    half, full = HALF, _mouth(HALF)[3]
    lip = np.full(points.shape[:2], 9.0)
    for side, length, fullness in ((-1, 3, 0.0034), (1, 3, 0.0044)):
        first = MOUTH_ROW if side < 0 else MOUTH_ROW + 1
        for k in range(6):
            t = k / length if k <= length else 1 + 0.1 * (k - length) ** 2
            lip[first + side * k] = t
            high = _EDGE if k == 0 else fullness * np.sin(np.pi * min(0.22 + 0.72 * t, 1.0)) if k <= length else 0.0
            lift = high * full
            outward = points[first + side * k] * np.array([0.35, 0.1, 1.0])
            outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
            points[first + side * k] += (lift * (half < HALF[MOUTH_COLUMN]))[:, None] * outward
    dip = np.exp(-((half / (0.9 * HALF[MOUTH_COLUMN])) ** 4))  # a shallow fold between lower lip and chin
    for k, depth in ((4, 0.0008), (5, 0.0016), (6, 0.0018), (7, 0.0010)):
        points[MOUTH_ROW + 1 + k, :, 2] -= depth * dip
    groove = np.exp(-((half / 0.035) ** 2))  # the groove under the nose
    for k in (4, 5):
        points[MOUTH_ROW - k, :, 2] -= 0.0010 * groove
    return lip


def skin() -> Skin:
    """The whole skin."""
    points = _grid()
    lip = _lips(points)
    rows = len(points)
    other = np.concatenate([np.arange(len(HALF)), np.arange(len(HALF) - 2, 0, -1)])
    sign = np.concatenate([np.ones(len(HALF)), -np.ones(len(HALF) - 2)])
    around = points[:, other] * np.stack([sign, np.ones(COUNT), np.ones(COUNT)], -1)
    around[:, [0, len(HALF) - 1], 0] = 0
    index = np.arange(rows * COUNT).reshape(rows, COUNT)
    eyes, mouth = _slit_columns()
    for row, slit in ((EYE_ROW, eyes), (MOUTH_ROW, mouth)):
        closed = np.ones(COUNT, bool)
        closed[slit] = False
        index[row + 1, closed] = index[row, closed]
    made = _Maker(around.reshape(-1, 3), np.tile(np.arange(COUNT), rows), np.repeat(np.arange(rows), COUNT))
    for r in set(range(rows - 1)) - {EYE_ROW, MOUTH_ROW}:
        made.strip(index[r], index[r + 1], closed=True)
    _rims(made, index, eyes)
    _inside(made, index, mouth)
    return made.done(lip[:, other].ravel(), hairline(np.concatenate([HALF, HALF[-2:0:-1]])) + _UNDER_HAIR)


def _slit_columns() -> tuple[np.ndarray, np.ndarray]:
    """Columns strictly inside the eyes' slits (both) and the mouth's."""
    eye, half = np.arange(INNER_COLUMN + 1, OUTER_COLUMN), np.arange(1, MOUTH_COLUMN)
    return np.concatenate([eye, COUNT - eye]), np.concatenate([[0], half, COUNT - half])


def _rims(made: _Maker, index: np.ndarray, eyes: np.ndarray) -> None:
    """Edges of the lids, from the skin to the eyeball."""
    columns = np.arange(INNER_COLUMN, OUTER_COLUMN + 1)
    for side, order in ((1, columns), (-1, COUNT - columns)):
        centre = EYE * np.array([side, 1, 1])
        for row, flip in ((EYE_ROW, side < 0), (EYE_ROW + 1, side > 0)):
            edge = index[row, order]
            away = made.points[edge] - centre
            inner = centre + away / np.linalg.norm(away, axis=1, keepdims=True) * (EYE_RADIUS * 0.985)
            rim = made.add(inner, order, "lash" if row == EYE_ROW else "rim", lid=1.0 if row == EYE_ROW else -1.0)
            made.strip(*((rim, edge) if flip else (edge, rim)))
        for row, lid in ((EYE_ROW, 1.0), (EYE_ROW + 1, -1.0)):
            points, place = lashes(made.points[index[row, order]] - centre, side, lid)
            # they go with the lid all but wholly, so that `lid` still tells the rims
            new = made.add(points + centre, order[place], "lash", lid=0.995 * lid).reshape(3, -1)
            made.faces += [new.T, new.T[:, ::-1]]


def _inside(made: _Maker, index: np.ndarray, mouth: np.ndarray) -> None:
    """Inner side of the lips and the cavity behind them."""
    columns = np.concatenate([COUNT - np.arange(MOUTH_COLUMN, 0, -1), np.arange(MOUTH_COLUMN + 1)])
    ends = []
    for up, row in ((1, MOUTH_ROW), (-1, MOUTH_ROW + 1)):
        last = index[row, columns]
        base = made.points[last]
        for k, (back, lift, narrow) in enumerate(_CAVITY):
            move = np.array([narrow, 1, 1])
            points = base * move + np.array([0, up * lift, -back])
            points[:, 2] = np.minimum(points[:, 2], base[:, 2] - 0.7 * back)
            name = "lip" if k == 0 else "mouth"
            new = made.add(points, columns, name, below=up < 0, lip=-1.0 - k)
            made.strip(*((last, new) if up > 0 else (new, last)))
            ends.append(new)
            last = new
    made.strip(ends[2], ends[5])  # the back
    for corner in (0, -1):  # the sides
        upper, lower = [e[corner] for e in ends[:3]], [e[corner] for e in ends[3:]]
        made.strip(*((np.array(upper), np.array(lower)) if corner else (np.array(lower), np.array(upper))), flip=True)
        tip = index[MOUTH_ROW, columns[corner]]
        made.faces.append(np.array([[tip, upper[0], lower[0]]]) if corner else np.array([[tip, lower[0], upper[0]]]))


class _Maker:
    """Collects vertices, their marks and triangles."""

    def __init__(self, points: np.ndarray, column: np.ndarray, row: np.ndarray) -> None:
        self.points, self.column = points, column
        self.below = row > MOUTH_ROW
        self.faces: list[np.ndarray] = []
        self.extra: list[tuple[np.ndarray, str, float, float]] = []
        self.rows = row

    def add(
        self, points: np.ndarray, column: np.ndarray, region: str, lid: float = 0.0, below: bool = False,
        lip: float = 9.0,
    ) -> np.ndarray:  # fmt: skip
        """New vertices; returns their indices."""
        new = len(self.points) + np.arange(len(points))
        self.points = np.concatenate([self.points, points])
        self.column = np.concatenate([self.column, column])
        self.below = np.concatenate([self.below, np.full(len(points), below)])
        self.extra.append((new, region, lid, lip))
        return new

    def strip(self, upper: np.ndarray, lower: np.ndarray, closed: bool = False, flip: bool = False) -> None:
        """Quads between two rows seen from outside, longitudes growing; equal corners give no triangle."""
        a, b, c, d = upper[:-1], upper[1:], lower[:-1], lower[1:]
        if closed:
            a, b, c, d = upper, np.roll(upper, -1), lower, np.roll(lower, -1)
        right = (self.points[a, 0] + self.points[b, 0] < 0)[:, None]  # halves are cut along mirrored diagonals
        first = np.where(right, np.stack([a, c, b], 1), np.stack([a, c, d], 1))
        both = np.concatenate([first, np.where(right, np.stack([b, c, d], 1), np.stack([a, d, b], 1))])
        ok = (both[:, 0] != both[:, 1]) & (both[:, 1] != both[:, 2]) & (both[:, 2] != both[:, 0])
        self.faces.append(both[ok][:, ::-1] if flip else both[ok])

    def done(self, lip: np.ndarray, hidden: np.ndarray) -> Skin:
        """The skin without triangles that lie above `hidden` (columns,) metres, and without vertices of no triangle."""
        count, grid = len(self.points), len(lip)
        region, lid = np.zeros(count, np.int64), np.zeros(count)
        place = np.concatenate([lip, np.full(count - grid, 9.0)])
        columns = np.abs(np.where(self.column > COUNT // 2, COUNT - self.column, self.column))
        region[:grid][(lip <= 1.001) & (columns[:grid] <= MOUTH_COLUMN)] = REGIONS.index("lip")
        seen = (columns >= INNER_COLUMN) & (columns <= OUTER_COLUMN)
        for k, t in enumerate((1.0, 0.86, 0.45)):  # rows from the rim to the crease
            lid[:grid][seen[:grid] & (self.rows == EYE_ROW - k)] = t
            lid[:grid][seen[:grid] & (self.rows == EYE_ROW + 1 + k)] = -t
        lash = seen[:grid] & (self.rows == EYE_ROW) & (columns[:grid] > INNER_COLUMN)
        region[:grid][lash] = REGIONS.index("lash")
        for new, name, t, across in self.extra:
            region[new], lid[new], place[new] = REGIONS.index(name), t, across
        faces = np.concatenate(self.faces)
        faces = faces[~(self.points[:, 1] > hidden[self.column])[faces].all(1)]
        used = np.unique(faces)
        rename = np.full(count, -1)
        rename[used] = np.arange(len(used))
        points, kind = self.points[used], self.below + 2 * region + 20 * np.sign(lid)
        return Skin(
            points, rename[faces], mirrored(points, kind[used]), region[used], lid[used], self.column[used],
            self.below[used], place[used],
        )  # fmt: skip


def mirrored(points: np.ndarray, kind: np.ndarray | None = None) -> np.ndarray:
    """(V,) which vertex lies at the mirror image of each; `kind` keeps vertices at one place apart."""
    from scipy.spatial import cKDTree

    marks = np.zeros(len(points)) if kind is None else kind.astype(float)
    own = np.concatenate([points, marks[:, None]], 1)
    gap, found = cKDTree(own).query(own * np.array([-1, 1, 1, 1]))
    if gap.max() > 1e-7:
        raise AssertionError("the head is not its own mirror image")
    out: np.ndarray = found
    return out
