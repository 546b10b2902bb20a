"""What speaks against a reading of a facial instruction: for warnings, since every text is read as something."""

from __future__ import annotations

from avatargpt.requests.english import unreadable
from instruct_data.face.score import Score

SURE = 0.7
"""Agreement of the readings below which they are doubted. Measured with the packaged weights: below it are 4 of 260
held-out facial instructions, and 36 of 70 prompts that ask a body for something."""


def doubt(text: str, score: Score, agreement: float | None) -> str:
    """Why `score` may not be what the text means, in words; empty = nothing speaks against it.

    Args:
        agreement: of the readings, 0 to 1 (`consensus.agreement`); None = not known.
    """
    if said := unreadable(text):
        return f"the text {said}"
    if not (score.events or score.emotions):
        return "nothing in the text is an action of a face or a feeling; the face rests"
    if agreement is not None and agreement < SURE:
        return (f"the readings of the text differ (agreement {agreement:.2f}, usually above {SURE:g}): it may ask for "
                "something that a face does not do, or for nothing; what is made of it is partly chance")  # fmt: skip
    return ""
