"""ARKit's 52 shapes for a head that has none: our own head's, carried over by landmarks of both.

Our head is bent so that its landmarks lie on those of the other one (radial basis functions of three dimensions, kernel
r, as of thin plates: Bookstein 1989, IEEE PAMI 11). Each displacement of ours is turned and stretched as the space
around it is (deformation transfer: Sumner and Popovic 2004, ACM TOG 23), and each vertex of the other head takes the
mean of those nearest to it. Upper and lower lip are told apart by the way along the skin, not by distance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.interpolate import RBFInterpolator
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from avatargpt.export.face_landmarks import (
    ACCEPTED,
    Landmarks,
    Opening,
    Skin,
    edge_graph,
    find_landmarks,
    pieces_of,
    weld,
)
from avatargpt.export.head import head, vertex_normals
from avatargpt.export.head_read import FileHead
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError

# lengths in distances between the eyes
# of mouth, left and right eye: how far apart both edges count, and from them on how far
SIDE, SIDE_REACH = np.array([0.8, 0.4, 0.4]), (0.35, 0.15, 0.15)
NEIGHBOURS = 12
FAR = (0.4, 0.9)  # from our skin, where displacements end
CLINGS = 0.07  # from the skin on average, of pieces that go with it: brows, lashes
BACK = 0.15  # by which teeth go back under lips drawn together
LASH = 0.09  # from the edge of a lid, half of it
LID_REACH = 0.3  # above the upper lid's edge, where a blink ends
LIPS, LID = 9, 7  # landmarks along an edge
_BLINKS = np.array([arkit.INDEX[n] for n in arkit.expand("eyeBlink")])
_LOOKS = {"In": (0, -1), "Out": (0, 1), "Up": (-1, 0), "Down": (1, 0)}  # of the left eye: about X, about Y


class _Ours(NamedTuple):
    """Our head: landmarks, and points (V, 3) with displacements (52, V, 3) of its skin, lower teeth and tongue."""

    landmarks: Landmarks
    skin: np.ndarray
    skin_moves: np.ndarray
    sides: np.ndarray
    inner: dict[str, tuple[np.ndarray, np.ndarray]]


@lru_cache(maxsize=1)
def _ours() -> _Ours:
    shape = head()
    rows = np.flatnonzero(shape.part("skin"))
    number = np.full(len(shape.points), -1)
    number[rows] = np.arange(len(rows))
    triangles = number[shape.triangles.astype(np.int64)]
    points, moves = shape.points.astype(np.float64), shape.morphs.astype(np.float64)
    skin = Skin(points[rows], triangles[(triangles >= 0).all(1)])
    eyes = [points[shape.part(f"eye{side}")] for side in ("Left", "Right")]
    marks = find_landmarks(skin, (eyes[0].mean(0), eyes[1].mean(0)))
    inner = {n: (points[shape.part(n)], moves[:, shape.part(n)]) for n in ("teethUpper", "teethLower", "tongue")}
    return _Ours(marks, skin.points, moves[:, rows], _sides(skin, marks), inner)


def _sides(skin: Skin, marks: Landmarks) -> np.ndarray:
    """(V, 3) for mouth, left and right eye: 1 on the upper edge, -1 on the lower one, less towards corners and away."""
    graph, scale, out = edge_graph(skin), marks.scale, np.zeros((len(skin.points), 3))
    for column, opening in enumerate((marks.mouth, *marks.lids)):
        if opening is None:
            continue
        above, below = (np.minimum(dijkstra(graph, False, np.unique(at), min_only=True), 1e3 * scale)
                        for at in (opening.upper_at, opening.lower_at))  # fmt: skip
        near = np.minimum(above, below) / (SIDE_REACH[column] * scale)
        out[:, column] = (below - above) / (below + above + 1e-6 * scale) * np.exp(-(near**2))
    return out


def _pairs(a: Landmarks, b: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) landmarks of both that go together."""
    out = []
    for marks in (a, b):
        rows = [np.mean(marks.mouth.edges(LIPS), 0)]
        for k in (0, 1):
            if (lids := marks.lids[k]) is not None and a.lids[k] is not None and b.lids[k] is not None:
                above, below = lids.edges(LID)
                rows += [above, below[1:-1]]
        rows += [marks.points[n][None] for n in a.points if n in b.points]
        out.append(np.concatenate(rows))
    return out[0], out[1]


class _Bent:
    """Our head bent to the other one: places, and displacements with the stretch of the space around them."""

    def __init__(self, ours: Landmarks, theirs: Landmarks) -> None:
        self._map = RBFInterpolator(*_pairs(ours, theirs), kernel="linear", degree=1, smoothing=1e-4 * ours.scale)
        self._step = 0.01 * ours.scale

    def __call__(self, points: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(V, 3) and (52, V, 3) of the other head."""
        steps = self._step * np.eye(3)
        stretch = [(self._map(points + h) - self._map(points - h)) / (2 * self._step) for h in steps]
        return self._map(points), np.einsum("cvj,kvc->kvj", np.stack(stretch), moves)


def _tree_of(points: np.ndarray) -> cKDTree:
    """Of points (N, k)."""
    # Balanced ones, whose medians may be 0, crash where a program takes the smallest numbers for 0, as training does.
    return cKDTree(points, balanced_tree=False)


def _nearest(sources: np.ndarray, moves: np.ndarray, points: np.ndarray, scale: float) -> np.ndarray:
    """(52, N, 3) of points (N, k): the mean of the displacements (52, V, 3) of the sources (V, k) around each."""
    away, rows = _tree_of(sources).query(points, min(NEIGHBOURS, len(sources)))
    width = np.maximum(away[:, -1:], 0.02 * scale) / 1.5
    share = np.exp(-((away / width) ** 2))
    share /= share.sum(1, keepdims=True)
    share *= 1 - np.clip((away[:, :1] / scale - FAR[0]) / (FAR[1] - FAR[0]), 0, 1)
    return np.einsum("nk,mnkc->mnc", share, moves[:, rows])


class MadeShapes(NamedTuple):
    """Displacements and changes of the normals, (52, V, 3) each, of each part of a head, and what to say of them."""

    moves: tuple[np.ndarray, ...]
    normals: tuple[np.ndarray, ...]
    line: str


def make_shapes(theirs: FileHead) -> MadeShapes:
    """The 52 shapes of a head, in its own space (+Z ahead).

    Raises:
        UserError: no eyes by which its size is known, no opening of a mouth.
    """
    sizes = [len(p.points) for p in theirs.parts]
    starts = np.cumsum([0, *sizes])
    points, normals, share = (np.concatenate([getattr(p, n) for p in theirs.parts])
                              for n in ("points", "normals", "share"))  # fmt: skip
    triangles = np.concatenate([p.triangles + s for p, s in zip(theirs.parts, starts, strict=False)])
    triangles = triangles[(share[triangles] > 0.3).all(1)]
    skin, to = weld(points, triangles, normals)
    piece = pieces_of(skin)
    eyes = theirs.eyes or _find_eyes(skin, piece)
    face = _face_piece(skin, piece, eyes)
    rows = np.flatnonzero(piece == face)
    number = np.full(len(piece), -1)
    number[rows] = np.arange(len(rows))
    own = number[skin.triangles]
    cut = Skin(skin.points[rows], own[(own >= 0).all(1)])
    marks = find_landmarks(cut, eyes)
    moves = np.zeros((arkit.COUNT, len(skin.points), 3))
    ours, scale = _ours(), marks.scale
    bent = _Bent(ours.landmarks, marks)
    places, bent_moves = bent(ours.skin, ours.skin_moves)
    sides = _sides(cut, marks)
    both = [True, *(a is not None and b is not None for a, b in zip(ours.landmarks.lids, marks.lids, strict=True))]
    sources, wanted = (np.concatenate([x, SIDE * scale * s * both], 1)
                       for x, s in ((places, ours.sides), (cut.points, sides)))  # fmt: skip
    on_skin = _nearest(sources, bent_moves, wanted, scale)
    balls = _eyeballs(skin, piece, face, eyes, scale)
    for k, (lids, ball) in enumerate(zip(marks.lids, balls, strict=True)):
        if lids is not None:
            _close_lids(
                on_skin[arkit.INDEX[f"eyeBlink{('Left', 'Right')[k]}"]], cut, lids, sides[:, 1 + k], ball, scale
            )
    moves[:, rows] = on_skin
    _move_pieces(moves, skin, piece, face, marks, bent, cut, on_skin, balls)
    moves = moves[:, to] * np.clip(2 * share, 0, 1)[:, None]
    moves[np.abs(moves) < 1e-4 * scale] = 0
    turned = np.zeros_like(moves)
    rest = vertex_normals(skin.points, skin.triangles)
    for k in range(arkit.COUNT):
        if moves[k].any():
            shaped = skin.points.copy()
            shaped[to] += moves[k]
            turned[k] = (vertex_normals(shaped, skin.triangles) - rest)[to] * moves[k].any(1)[:, None]
    eyeless = [n for n, lids in zip(("left", "right"), marks.lids, strict=True) if lids is None]
    line = f"52 shapes are made from our head's, mouth {marks.mouth.width / scale:.2f} eye distances wide"
    line += f"; no lids found of the {' and the '.join(eyeless)} eye: blinks are rough" * bool(eyeless)
    splits = starts[1:-1]
    return MadeShapes(tuple(np.split(moves, splits, 1)), tuple(np.split(turned, splits, 1)), line)


def _find_eyes(skin: Skin, piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the eyeballs, left and right: the largest pair of round pieces at the front, beside each other."""
    size = np.ptp(skin.points, 0)
    width = float(np.sort(size)[1])
    found = []
    for n in range(int(piece.max()) + 1):
        own = skin.points[piece == n]
        extent, middle = np.ptp(own, 0), (own.min(0) + own.max(0)) / 2
        if len(own) > 8 and 0.04 < extent[0] / width < 0.35 and 0.6 < extent[1] / max(extent[0], 1e-9) < 1.7:
            found.append((middle, extent))
    best, largest = None, 0.0
    for left, extent in found:
        for right, other in found:
            apart = (left - right) / width
            level = abs(apart[1]) < 0.05 and abs(apart[2]) < 0.05
            alike = np.abs(extent - other).max() < 0.15 * extent.max()
            ahead = skin.points[:, 2].max() - left[2] < 0.45 * width
            if 0.15 < apart[0] < 0.6 and level and alike and ahead and extent[0] > largest:
                best, largest = (left, right), float(extent[0])
    if best is None:
        raise UserError("no eyes found, neither bones (LeftEye, RightEye) nor eyeballs of their own; "
                        "accepted a head that looks along +Z (VRM 0: -Z) with either")  # fmt: skip
    return best


def _face_piece(skin: Skin, piece: np.ndarray, eyes: tuple[np.ndarray, np.ndarray]) -> int:
    """The piece that covers most of what lies around and below the eyes, seen from the front."""
    scale, centre = float(np.linalg.norm(eyes[0] - eyes[1])), (eyes[0] + eyes[1]) / 2
    corners = skin.points[skin.triangles]
    ahead = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    off = (corners.mean(1) - centre) / scale
    counts = (np.abs(off[:, 0]) < 0.8) & (off[:, 1] < 0.3) & (off[:, 1] > -1.6) & (off[:, 2] > -0.6)
    area = np.bincount(piece[skin.triangles[:, 0]], np.where(counts, np.maximum(ahead, 0), 0))
    if not area.any():
        raise UserError(f"no skin below the eyes; {ACCEPTED}")
    return int(area.argmax())


class _Ball(NamedTuple):
    """An eye: its pieces, the centre (3,) that it turns about and its radius; 0 where it is flat."""

    pieces: list[int]
    centre: np.ndarray
    radius: float


def _eyeballs(
    skin: Skin, piece: np.ndarray, face: int, eyes: tuple[np.ndarray, np.ndarray], scale: float
) -> list[_Ball]:
    out = []
    for eye in eyes:
        own = []
        for n in set(np.unique(piece).tolist()) - {face}:
            place = skin.points[piece == n]
            extent, middle = np.ptp(place, 0), (place.min(0) + place.max(0)) / 2
            near = np.linalg.norm((middle - eye)[:2]) < 0.2 * scale and abs(middle[2] - eye[2]) < 0.5 * scale
            near &= (np.abs(middle - eye) < extent / 2 + 0.02 * scale)[:2].all()  # which a lash is not
            if near and extent[:2].max() < 0.8 * scale and 0.6 < extent[1] / max(extent[0], 1e-9) < 1.7:
                own.append(n)
        place = skin.points[np.isin(piece, own)]
        if not len(place):
            out.append(_Ball([], eye, 0.0))
            continue
        extent, middle = np.ptp(place, 0), (place.min(0) + place.max(0)) / 2
        radius = float(extent[:2].max()) / 2
        flat = extent[2] < 0.5 * radius
        centre = np.array([*middle[:2], place[:, 2].max() - radius])
        out.append(_Ball(own, eye if flat else centre, 0.0 if flat else radius))
    return out


def _close_lids(blink: np.ndarray, cut: Skin, lids: Opening, side: np.ndarray, ball: _Ball, scale: float) -> None:
    """Bring the upper lid's edge of a blink (V, 3) to the lower one's, and keep both before the eyeball; in place.

    `side`: (V,) of the lids, see `_sides`.
    """
    at = lids.upper_at, lids.lower_at
    gap = cut.points[at[1]].mean(1) - cut.points[at[0]].mean(1)

    def is_left() -> np.ndarray:
        return np.asarray(gap - blink[at[0]].mean(1) + blink[at[1]].mean(1))

    along = lids.middle[:, 0]
    above = cut.points[:, 1] - np.interp(cut.points[:, 0], along, lids.upper[:, 1])
    blink *= np.clip(1.2 - above / (LID_REACH * scale), 0, 1)[:, None]  # brows stay
    blink *= 1 + float(np.clip((is_left() * gap).sum() / (gap**2).sum(), -0.5, 0.8))
    reach = 0.1 * (along[-1] - along[0])
    ends = [along[0] - reach, *along, along[-1] + reach]  # nothing is left to do beyond the corners
    left = [
        np.interp(cut.points[:, 0], ends, [0.0, *column, 0.0]) for column in ndimage.median_filter(is_left(), (3, 1)).T
    ]
    blink += np.stack(left, 1) * np.clip(side, 0, 1)[:, None]
    if ball.radius:
        moved = np.linalg.norm(blink, axis=1) > 0.02 * ball.radius
        away = cut.points[moved] + blink[moved] - ball.centre
        length = np.linalg.norm(away, axis=1, keepdims=True)
        ahead = (length < 1.03 * ball.radius) & (away[:, 2:] > 0)
        blink[moved] += np.where(ahead, away * (1.03 * ball.radius / np.maximum(length, 1e-9) - 1), 0)


def _move_pieces(
    moves: np.ndarray, skin: Skin, piece: np.ndarray, face: int, marks: Landmarks, bent: _Bent, cut: Skin,
    on_skin: np.ndarray, balls: list[_Ball],
) -> None:  # fmt: skip
    """Displacements of what is not the face's skin, in place: eyes turn, lower teeth and tongue go with the jaw, what
    lies on the skin follows it, all else (hair, glasses, hats) stays."""
    scale, lips = marks.scale, marks.mouth.middle[len(marks.mouth.middle) // 2]
    inner = {name: bent(*part) for name, part in _ours().inner.items()}
    outside = np.flatnonzero(vertex_normals(*cut)[:, 2] > 0)
    surface = _tree_of(cut.points[outside])
    rims = [at.ravel() for lids in marks.lids if lids is not None for at in (lids.upper_at, lids.lower_at)]
    edges = (_tree_of(cut.points[np.concatenate(rims)]), np.concatenate(rims)) if rims else None
    # the teeth make way for corners that are drawn together
    corners = [marks.mouth.middle[k] - lips for k in (0, -1)]
    drawn = sum(on_skin[:, marks.mouth.upper_at[k]].mean(1)[:, 0] / corners[k][0] for k in (0, -1)) / 2
    narrower = np.minimum(drawn, 0.0)
    eyes = {n: k for k, ball in enumerate(balls) for n in ball.pieces}
    for n in set(np.unique(piece).tolist()) - {face}:
        rows = np.flatnonzero(piece == n)
        place = skin.points[rows]
        off = (place.mean(0) - lips) / scale
        if n in eyes:
            _turn_eye(moves, rows, place, eyes[n], balls[eyes[n]])
        elif abs(off[0]) < 0.5 and -0.6 < off[1] < 0.4 and -1.3 < off[2] < 0.05 and np.ptp(place[:, 0]) < 1.3 * scale:
            moves[:, rows, 0] = narrower[:, None] * (place[:, 0] - lips[0])
            moves[:, rows, 2] = BACK * scale * narrower[:, None]
            if np.ptp(place[:, 1]) > 0.45 * scale:  # gums, tongue and teeth in one
                share = 1 - np.clip((place[:, 1] - lips[1]) / (0.1 * scale) + 0.5, 0, 1)
                moves[:, rows] += share[:, None] * _nearest(*inner["teethLower"], place, 10 * scale)
            else:
                away = {name: float(_tree_of(p).query(place)[0].mean()) for name, (p, _) in inner.items()}
                moves[:, rows] += _nearest(*inner[min(away, key=lambda name: away[name])], place, 10 * scale)
        else:
            away, near = surface.query(place, 4)
            near = outside[near]
            if away[:, 0].mean() < CLINGS * scale:
                lash = False
                if edges is not None:  # lashes go with the edge of a lid, and brows do not blink
                    to_edge, row = edges[0].query(place, 4)
                    if lash := bool(np.median(to_edge[:, 0]) < LASH * scale):
                        away, near = to_edge, edges[1][row]
                share = 1 / (away + 0.005 * scale)
                moves[:, rows] = np.einsum("nk,mnkc->mnc", share / share.sum(1, keepdims=True), on_skin[:, near])
                if edges is not None and not lash:
                    moves[_BLINKS[:, None], rows] = 0


def _turn_eye(moves: np.ndarray, rows: np.ndarray, place: np.ndarray, which: int, ball: _Ball) -> None:
    side, inwards = (("Left", 1.0), ("Right", -1.0))[which]
    for way, (pitch, yaw) in _LOOKS.items():
        turn = rot.from_axis_angle(np.radians(arkit.EYE_DEGREES) * np.array([pitch, inwards * yaw, 0.0]))
        away = place - ball.centre
        moves[arkit.INDEX[f"eyeLook{way}{side}"], rows] = rot.rotate(turn, away) - away
