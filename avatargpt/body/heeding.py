"""Whether what was told shows in a motion that goes on from another, and a warning where it does not.

A continuation and a middle are bound to the pose they start from, are often short, and get the words as they stand, so
that words may be without effect. Measured with the packaged weights (eight actions after walking and standing, three
seconds): the new part's fit to its text is 0.4 to 0.8 where the action shows, and -0.2 to 0.4, half of them below 0.1,
where no text was given; in a middle of 0.4 s it is 0.1 with a text, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from avatargpt.body.model import BodyModel
from avatargpt.options import UnheededText
from avatargpt.requests.typed import unreadable
from vqvae.motion import Motion

HARDLY = 0.25  # fit to the text below which it does not show
_ROOM = 1.0  # s that an action needs about


def fits(model: BodyModel, parts: Sequence[Motion], texts: Sequence[str]) -> list[float]:
    """How well each motion fits its text; 0 without a text-motion scorer."""
    if model.motion_scorer is None or model.grounder is None:
        return [0.0] * len(parts)
    vectors = model.motion_scorer.texts(list(texts), model.grounder)
    seen = np.concatenate([model.motion_scorer.motions([p.joints], p.fps) for p in parts])
    return [float(x) for x in (seen * vectors).sum(1)]


def warn(model: BodyModel, part: Motion, text: str, shown: str = "") -> None:
    """Warns (`UnheededText`) of what the new part does not show of its text.

    Args:
        shown: in plain words, what was made as `generate` makes it; empty = the words went to the network alone.
    """
    if said := unheeded(model, part, text) if not shown else unshown(model, part, text, shown):
        warnings.warn(f"{text[:60]!r} {said}", UnheededText, stacklevel=4)


def unshown(model: BodyModel, part: Motion, text: str, shown: str) -> str:
    """What hardly shows of a text that was read as plain words, in words; empty where it shows."""
    return unreadable(text) or _hardly(model, part, shown)


def _hardly(model: BodyModel, part: Motion, words: str) -> str:
    """That words hardly show, in words; empty where they do, or nobody can tell."""
    (fit,) = fits(model, [part], [words])
    if model.motion_scorer is None or model.grounder is None or fit >= HARDLY:
        return ""
    room = "; in less than a second there is hardly room for an action" if part.seconds < _ROOM else ""
    return f"hardly shows in the new part (fit {fit:.2f}, where an action shows 0.4 to 0.8){room}"


def unheeded(model: BodyModel, part: Motion, text: str) -> str:
    """What is not heeded of a text, in words; empty where all of it is, as far as can be seen.

    Without a text-motion scorer only what the words ask for is seen.
    """
    if said := unreadable(text):
        return said
    parts = model.clauses(text)
    if len(parts) > 1:
        return f"asks for {len(parts)} movements; accepted here: one, so give each a part of its own"
    if said := _hardly(model, part, text):
        return said
    turn, route = parts[0].turn, parts[0].route
    measured = turn is not None and f"{turn.degrees:g}" in text
    kept = ["how far to turn"] * measured + ["the shape of a path"] * (route is not None)
    return f"asks for {' and '.join(kept)}, which generate alone keeps to" if kept else ""
