"""`actions`: the library of moves, which is every action that the model knows, in order of name or of a query."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from avatargpt.options import check_text
from avatargpt.verbs.request import NUMBER, Count, Flag, request
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.requests.phrase_index import PhraseIndex
    from avatargpt.verbs.model import Model


def _check_query(query: str) -> str:
    """A query without blanks around it; raises UserError for signs alone."""
    if query := query.strip():
        check_text(query)
    return query


@request
class ActionsRequest:
    """The actions that the model knows."""

    query: Annotated[str, Flag(), Field(max_length=1000), AfterValidator(_check_query)] = Field(
        default="", description="What is looked for, in your own words; empty: all actions in order of name."
    )
    count: Annotated[Count, Flag("--count N")] = Field(default=20, le=2000, description="At most so many.")
    offset: Annotated[int, Field(ge=0, le=1_000_000), NUMBER, Flag("--offset N")] = Field(
        default=0, description="How many are passed over before the first."
    )


@dataclass(frozen=True)
class KnownAction:
    """An action of the library."""

    name: str  # as typed requests and `read` call it
    caption: str  # that shows it; `generate` takes it verbatim
    seconds: float | None  # usual length, None = not known
    checked: bool  # geometry can tell whether a motion shows it
    own: bool  # it came by fine-tuning
    score: float | None = None  # how near it is to the query, 0 to 1


def list_actions(model: Model, asked: ActionsRequest) -> list[KnownAction]:
    """The actions that the model knows: all in order of name, or the nearest to a query first.

    Raises:
        UserError: a query of signs alone, a model folder without a phrase index.
    """
    return find_actions(model.body.model, asked)


def find_actions(parts: Any, asked: ActionsRequest) -> list[KnownAction]:
    """As `list_actions`, of what has a `phrase_index` and its sentence encoder `grounder`.

    An action is as near as its nearest phrasing, by meaning and words, and nearer where the query is read as it.
    """
    from avatargpt.requests.phrase_index import OVERLAP_WEIGHT

    index: PhraseIndex = parts.phrase_index
    if index is None or parts.grounder is None:
        raise UserError("actions: no phrase index; accepted: a model folder with wording.safetensors")
    page = slice(asked.offset, asked.offset + asked.count)
    if not asked.query:
        return [_describe_action(index, name) for name in sorted(index.members)[page]]
    (cosines,) = index.index.cosines(parts.grounder.sentence([asked.query]))
    scores = index.index.scores(cosines, OVERLAP_WEIGHT, asked.query)
    read = dict(index.reads.names([asked.query])[0]) if index.reads else {}
    values = {name: float(scores[rows].max()) + read.get(name, 0.0) for name, rows in index.members.items()}
    highest = 1 + OVERLAP_WEIGHT + (index.reads is not None)
    order = sorted(values, key=lambda name: (-values[name], name))[page]
    return [_describe_action(index, name, round(max(0.0, values[name]) / highest, 3), scores) for name in order]


def _describe_action(index: PhraseIndex, name: str, score: float | None = None, scores: Any = None) -> KnownAction:
    """An action with the caption that most of its phrasings mean, or with the nearest one by scores (n,) of these."""
    from avatargpt.body.constraints import TRUTHS
    from avatargpt.requests.phrase_index import TOKENS_PER_SECOND

    texts = [index.captions[row][""] for row in index.members[name].tolist()]
    found = Counter(t for t in texts if index.row_of(t) is not None) or Counter(texts)
    caption = max(found, key=lambda text: found[text] if scores is None else scores[index.rows.get(text, 0)])
    lengths = index.lengths.get(caption)
    seconds = round(float(np.median(lengths)) / TOKENS_PER_SECOND, 1) if lengths else None
    checked = bool(TRUTHS.of_action(name, caption))
    return KnownAction(name, caption, seconds, checked, name in index.user_actions, score)
