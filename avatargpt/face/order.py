"""Descriptions of faces put in order: the network names the actions, their order is read from the face."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from avatargpt.kinematics.face import LOOKS
from instruct_data.face.described import NOTHING, WITHIN, mended, said
from vqvae.face import FaceMotion

THEN, AND = ", then ", " and "  # between the actions of a description
SEEN = 0.15  # a signal's least height for its second to be believed
STATES = ("shut", "rest")  # actions that leave nothing to be seen
Span = tuple[int, int]  # first and last frame in which an action is at half its height or more


def in_order(text: str, face: FaceMotion) -> str:
    """A description in the form of `instruct_data.face.described`, its actions in the order in which they are seen.

    An action comes before another where its own signal (`avatargpt.kinematics.face`) is over before the other's
    begins; what overlaps stays as the network told it, and so does what leaves nothing to be seen (a face at rest, a
    closed mouth). The same words told several times are as many rises of one signal, in order; of a single rise they
    are told once.
    """
    acts, semicolon, felt = text.partition("; ")
    parts = _listed(acts)
    joints, parts = parts[1::2], parts[::2]
    spans, order = _spans(parts, face), list(range(len(parts)))
    places = [i for i in order if spans[i] is not None]
    left = places.copy()
    for place in places:
        order[place] = next(i for i in left if not any(_apart(spans[k], spans[i]) for k in left))
        left.remove(order[place])
    out, last = parts[order[0]], order[0]
    for i in order[1:]:
        if parts[i] == parts[last] and spans[i] == spans[last] is not None:
            continue
        stays = i == last + 1 and not _apart(spans[last], spans[i])
        out, last = out + (joints[last] if stays else _joint(spans[last], spans[i])) + parts[i], i
    return out + semicolon + felt


def told(windows: Sequence[tuple[str, FaceMotion]]) -> str:
    """One description of what is said of a face's windows: all actions, then all feelings, equal neighbours once.

    "neutral" is left out where something is done and nothing else is felt. What repeats is told again, but for an
    action that is under way where two windows meet. What cannot be read back is left out (`described.mended`); where
    that is everything the description is empty.
    """
    windows = [(mended(text), face) for text, face in windows]
    if len(windows) == 1:
        return mended(in_order(*windows[0]))
    acts, felt = "", []
    last: tuple[str, FaceMotion] | None = None
    for text, face in windows:
        first, _, rest = in_order(text, face).partition("; ")
        if said(first).feelings and not said(first).actions:
            first, rest = "", first
        parts = _listed(first) if first else []
        final = parts[-1] if parts else ""
        if parts and last and parts[0] == last[0] and _goes_on(parts[0], last[1], face):
            parts = parts[2:]
        acts += (THEN if acts and parts else "") + "".join(parts)
        felt += rest.split(THEN) if rest else []
        last = final, face
    felt = [] if acts and set(felt) == {NOTHING} else [f for i, f in enumerate(felt) if not i or f != felt[i - 1]]
    return mended("; ".join(t for t in (acts, THEN.join(felt)) if t))


def _listed(acts: str) -> list[str]:
    """The actions of a description, and between two of them what joins these."""
    return re.split(f"({THEN}|{AND})", acts)


def _spans(parts: Sequence[str], face: FaceMotion) -> list[Span | None]:
    """When each of several actions is seen; None: it cannot be told."""
    names = [_named(p) for p in parts]
    found: list[Span | None] = []
    for i, name in enumerate(names):
        rises, often = _rises(name, face), names.count(name)
        same = {p for p, n in zip(parts, names, strict=True) if n == name}
        if len(rises) == often:
            found.append(rises[names[:i].count(name)])
        elif often == 1 and rises:
            found.append((rises[0][0], rises[-1][1]))
        else:
            found.append(rises[0] if len(rises) == len(same) == 1 else None)
    return found


def _named(part: str) -> str:
    """The action that a part of a description names, "" = none."""
    actions = said(part).actions
    return actions[0][0] if actions else ""


def _rises(action: str, face: FaceMotion) -> list[Span]:
    """Where an action's signal is above half its height; nothing of an action that is not seen."""
    if not action or LOOKS[action].form in STATES:
        return []
    signal = LOOKS[action].signal(face)
    if signal.max() < SEEN:
        return []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], signal > 0.5 * signal.max(), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _apart(a: Span | None, b: Span | None) -> bool:
    """Is the first over before the second begins?"""
    return a is not None and b is not None and a[1] < b[0]


def _joint(a: Span | None, b: Span | None) -> str:
    """What stands between two actions: ``and`` where one falls within the other."""
    if a is None or b is None:
        return THEN
    both = min(a[1], b[1]) - max(a[0], b[0]) + 1
    return AND if both > WITHIN * (min(a[1] - a[0], b[1] - b[0]) + 1) else THEN


def _goes_on(part: str, before: FaceMotion, after: FaceMotion) -> bool:
    """Is an action at half its height or more on both sides of where two windows meet?"""
    a, b = (_rises(_named(part), f) for f in (before, after))
    return bool(a and b) and a[-1][1] == len(before) - 1 and b[0][0] == 0
