"""`actions`: the library of moves, which is every action that the model knows, in order of name or of a query."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from avatargpt.options import check_text
from avatargpt.verbs.request import NUMBER, Count, Flag, request
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.phrase_index import PhraseIndex
    from avatargpt.verbs.model import Model

MAX_COUNT = 2000


@request
class ActionsRequest:
    """The actions that the model knows."""

    query: Annotated[str, Flag(), Field(max_length=1000)] = Field(
        default="", description="What is looked for, in your own words; empty: all actions in order of name."
    )
    count: Annotated[Count, Flag("--count N")] = Field(default=20, le=MAX_COUNT, description="At most so many.")
    offset: Annotated[int, NUMBER, Flag("--offset N")] = Field(
        default=0, ge=0, le=1_000_000, description="How many are passed over before the first."
    )

    def check(self) -> None:
        """Raises UserError for a query of signs alone."""
        if self.query.strip():
            check_text(self.query)


@dataclass(frozen=True)
class KnownAction:
    """An action of the library.

    Attributes:
        name: as typed requests and `read` call it. caption: what shows it; `generate` takes it verbatim.
        seconds: its usual length, None = not known. checked: whether geometry can tell if a motion shows it.
        own: whether it came by fine-tuning. score: how near it is to the query, 0 to 1, None = without one.
    """

    name: str
    caption: str
    seconds: float | None
    checked: bool
    own: bool
    score: float | None = None


def list_actions(model: Model, asked: ActionsRequest) -> list[KnownAction]:
    """The actions that the model knows: all in order of name, or the nearest to a query first.

    Raises:
        UserError: a query of signs alone, a model folder without a phrase index.
    """
    parts = model.body.model
    if parts.phrase_index is None or parts.grounder is None:
        raise UserError("actions: this model has no phrase index; accepted: a model folder with wording.safetensors")
    return find_actions(parts.phrase_index, parts.grounder, asked)


def find_actions(index: PhraseIndex, grounder: SentenceGrounder, asked: ActionsRequest) -> list[KnownAction]:
    """As `list_actions`, of a phrase index and its sentence encoder; raises UserError for a query of signs alone."""
    page = slice(asked.offset, asked.offset + asked.count)
    asked.check()
    query = asked.query.strip()
    if not query:
        return [_describe_action(index, name) for name in sorted(index.members)[page]]
    scores, values = score_actions(index, grounder, query)
    order = sorted(values, key=lambda name: (-values[name], name))[page]
    return [_describe_action(index, name, scores, values[name]) for name in order]


def score_actions(index: PhraseIndex, grounder: SentenceGrounder, query: str) -> tuple[np.ndarray, dict[str, float]]:
    """How near a query is to all phrasings by meaning and words, (n,), and to each action, 0 to 1.

    An action is as near as its nearest phrasing, and nearer where the reading network takes the query for it.
    """
    from avatargpt.requests.phrase_index import OVERLAP_WEIGHT

    (cosines,) = index.index.cosines(grounder.sentence([query]))
    scores = index.index.scores(cosines, OVERLAP_WEIGHT, query)
    read = dict(index.reads.names([query])[0]) if index.reads is not None else {}
    highest = 1 + OVERLAP_WEIGHT + (index.reads is not None)
    values = {name: float(scores[rows].max()) + read.get(name, 0.0) for name, rows in index.members.items()}
    return scores, {name: max(0.0, value) / highest for name, value in values.items()}


def _describe_action(
    index: PhraseIndex, name: str, scores: np.ndarray | None = None, value: float | None = None
) -> KnownAction:
    """An action with the caption that most of its phrasings mean, or with the nearest one by scores (n,) of these."""
    from avatargpt.body.constraints import TRUTHS
    from avatargpt.planning.language_planner import TOKENS_PER_SECOND

    captions = Counter(index.captions[row][""] for row in index.members[name].tolist())
    if scores is None:
        caption = captions.most_common(1)[0][0]
    else:
        caption = max(captions, key=lambda text: float(scores[index.rows[text]]) if text in index.rows else -1.0)
    lengths = index.lengths.get(caption)
    return KnownAction(
        name, caption, round(float(np.median(lengths)) / TOKENS_PER_SECOND, 1) if lengths else None,
        bool(TRUTHS.of_action(name, caption)), name in index.user_actions, None if value is None else round(value, 3),
    )  # fmt: skip


def actions_row(found: list[KnownAction]) -> dict[str, Any]:
    """Actions for machines."""
    return {"actions": [asdict(action) for action in found]}
