"""Text adherence: whether a motion that continues another follows its text, and a warning where it does not."""
# A continuation and a middle are bound to the pose they start from, are often short, and get the words unchanged, so
# that words may be without effect. With the packaged weights (eight actions after walking and standing, three seconds)
# the new part's fit to its text is 0.4 to 0.8 where the action shows, and -0.2 to 0.4, half of them below 0.1, where no
# text was given; in a middle of 0.4 s it is 0.1 with a text, too.

import warnings

from avatargpt.body.model import BodyModel
from avatargpt.options import UnheededText
from avatargpt.requests.english import unreadable
from vqvae.motion import Motion

MIN_VISIBLE_FIT = 0.25  # to the text, below which it does not show
ACTION_SECONDS = 1.0  # that an action needs about


def warn(model: BodyModel, part: Motion, text: str, captions: str = "") -> None:
    """Warns (`UnheededText`) of parts of the text that the motion does not show; `captions`: as `generate` read it."""
    missing = not_shown(model, part, text, captions) if captions else not_followed(model, part, text)
    if missing:
        warnings.warn(f"{text[:60]!r} {missing}", UnheededText, stacklevel=4)


def not_shown(model: BodyModel, part: Motion, text: str, captions: str) -> str:
    """Why a text that was read as captions hardly shows; empty where it shows."""
    return unreadable(text) or _low_fit(model, part, captions)


def not_followed(model: BodyModel, part: Motion, text: str) -> str:
    """The parts of a text that are not followed, in words; without a scorer only its constraints are tested."""
    if reason := unreadable(text):
        return reason
    clauses = model.clauses(text)
    if len(clauses) > 1:
        return f"asks for {len(clauses)} movements; accepted here: one, so give each a part of its own"
    if reason := _low_fit(model, part, text):
        return reason
    turn, route = clauses[0].turn, clauses[0].route
    measured = turn is not None and f"{turn.degrees:g}" in text
    missing = ["how far to turn"] * measured + ["the shape of a path"] * (route is not None)
    return f"asks for {' and '.join(missing)}, which generate alone keeps to" if missing else ""


def _low_fit(model: BodyModel, part: Motion, text: str) -> str:
    """A note that a text hardly shows, or empty."""
    (fit,) = model.motion_fit([part], [text])
    if model.motion_scorer is None or model.grounder is None or fit >= MIN_VISIBLE_FIT:
        return ""
    short = "; in less than a second there is hardly room for an action" if part.seconds < ACTION_SECONDS else ""
    return f"hardly shows in the new part (fit {fit:.2f}, where an action shows 0.4 to 0.8){short}"
