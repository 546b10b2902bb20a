"""Plain wording: requests in anybody's words -> captions in the words that the model was trained on.

This is retrieval, not generation: every clause of a request is compared (frozen sentence encoder and word overlap)
with a book of some thousand phrasings whose meaning is known; the nearest few vote for the action. Left, right,
backward and the manner are taken from the words themselves, because sentence embeddings hardly tell them apart. The
book holds the project's own texts only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.requests.asked import Asked, asked
from avatargpt.requests.choosing import Chooser
from avatargpt.requests.index import Reduced, VectorIndex, ranked
from avatargpt.requests.lexical import Manners, WordIndex
from avatargpt.requests.marks import VERSION, Marks, derive, packed, unfolded
from avatargpt.requests.motion_spec import BENT, STEADY, ClauseSpec
from avatargpt.requests.paths import TURN, Route
from avatargpt.requests.reader import RequestReader
from avatargpt.requests.scoring import UNSAID, Seen, seen
from avatargpt.requests.showing import shown
from avatargpt.requests.sides import PLACE, side_asked
from avatargpt.requests.store import Stored, plain_vectors, read, reduced, write
from avatargpt.requests.telling import Told, agreement, told_by
from avatargpt.requests.verbs import HAND, doing
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

RANK = 104  # principal directions of the vectors that are kept in the file
FILE = "wording.safetensors"
SIDES = ("", "left", "right")
TELLING = 0.1  # a caption must tell so much better what was asked than its action's usual one
NEAR = 0.75  # so near, a phrasing says what is asked for
ALSO = 0.3  # another action that words may mean is so much further away at most
SAME, LEAD = 0.88, 0.04  # so near, and so much nearer than other actions, one phrasing decides without a vote
VOTERS, TEMPERATURE = 8, 0.06  # nearest phrasings that vote, by exp(score / temperature)


class PhraseIndex:
    """The book.

    Args:
        keys: n phrasings. captions: what each means, per style, ``""`` = the plain one. sides: left, right or empty.
        classes: the action of each; phrasings of one action vote together.
        styles: word or phrase -> style. lengths: caption -> usual numbers of motion tokens.
        vectors: (n, 384) unit vectors of the phrasings.
        marks, words: what a file holds of what the words say; None = derived now, the latter at the first request.

    Attributes:
        chooser: says how probably an action is one that is known, None = all are.
        reader: reads requests, None = each is one action.
        told: what each caption tells beyond its action, empty = nobody has read them.
        own: actions of a user's, which neither of both has learnt: words that say them are taken as they are.
    """

    def __init__(
        self, keys: Sequence[str], captions: Sequence[dict[str, str]], classes: Sequence[str], sides: Sequence[str],
        styles: dict[str, str], lengths: dict[str, list[int]], vectors: np.ndarray | Reduced,
        marks: Marks | None = None, words: WordIndex | None = None,
    ) -> None:  # fmt: skip
        self.keys, self.classes, self.sides, self.styles = list(keys), list(classes), np.array(sides), styles
        self.captions = [{**c, "": STEADY[c[""]]} if c[""] in STEADY else c for c in captions]
        self.lengths = lengths | {new: lengths[old] for old, new in STEADY.items() if old in lengths}
        self.index = VectorIndex(self.keys, vectors, words)
        self.rows = {k: i for i, k in enumerate(self.keys)}
        self.marks = derive(self.keys, self.captions, self.classes) if marks is None else marks
        self.group = self.marks.group
        self.chooser: Chooser | None = None
        self.reader: RequestReader | None = None
        self.told: dict[str, Told] = {}
        self.own: frozenset[str] = frozenset()

    def does(self, verb: str, part: str) -> tuple[np.ndarray, np.ndarray]:
        """(n,) whether a phrasing has this verb, and this part of the body where one is told; and whether it has the
        verb, but no phrasing of its action that part ("roll the shoulders": a roll on the ground)."""
        same, alike = np.zeros((2, len(self.keys)), bool)
        for row in self.index.words.rows(verb).tolist():
            its, moved = doing(self.keys[row])
            same[row], alike[row] = its == verb, its == verb and part in ("", moved)
        if part in ("", HAND):  # hands do nearly everything
            return alike, np.zeros_like(alike)
        return alike, same & ~np.isin(self.group, self.group[alike])

    def places(self, row: int) -> set[str]:
        """Words for places and ways in a phrasing."""
        return set(PLACE.findall(self.keys[row]))

    @cached_property
    def manners(self) -> Manners:
        """What names a style."""
        return Manners(self.styles)

    def style(self, text: str) -> str:
        """The style that the text names, or empty."""
        return self.manners.find(text)[0]

    def plain(self, text: str, grounder: SentenceGrounder, least: float = 0.4) -> list[ClauseSpec]:
        """Look every clause up, in order.

        Args:
            grounder: the sentence encoder the vectors come from.
            least: below this similarity a clause keeps its own words.
        """
        return self.shown(self.typed(text), grounder, least)

    def typed(self, text: str) -> MotionRequest:
        """What a text asks for; all of it is one action where nobody reads."""
        row = self.rows.get(" ".join(text.lower().split()).rstrip("."))
        if self.reader is None or (row is not None and self.classes[row] in self.own):
            return MotionRequest(clauses=[Clause(action=text)], text=text)
        return self.reader.read(text)

    def clause(self, text: str, grounder: SentenceGrounder, style: str = "", least: float = 0.4) -> ClauseSpec:
        """One clause, in a style unless it names one; see `plain`."""
        return self._nearest([Asked(text)], grounder, style, least)[0]

    def shown(self, request: MotionRequest, grounder: SentenceGrounder, least: float = 0.4) -> list[ClauseSpec]:
        """What is shown for a typed request (`avatargpt.requests.showing`); see `plain`."""
        return shown(self, request, grounder, least)

    def looked_up(
        self, some: Sequence[Clause], grounder: SentenceGrounder, least: float = 0.4, whole: str = ""
    ) -> list[ClauseSpec]:  # fmt: skip
        """Each clause by itself, in the style of the whole where it names none; see `plain`."""
        found = self._nearest([asked(c) for c in some], grounder, whole, least)
        # words that the reader takes for no movement may still be those of a phrasing that is known
        strange = [c.known is False and one.similarity < NEAR for c, one in zip(some, found, strict=True)]
        three = zip(some, found, strange, strict=True)
        return [replace(one, asked=c, known=0.0 if odd else one.known) for c, one, odd in three]

    def _nearest(
        self, asks: Sequence[Asked], grounder: SentenceGrounder, whole: str, least: float
    ) -> list[ClauseSpec]:
        """Each one's nearest phrasing; `whole` is the style of the request, for those that name none."""
        found = []
        told = [a.turn.words if a.turn else a.words for a in asks]
        # what is done is looked up without how it is done, and where to, too
        named = [(style, a.core or rest) for a, (style, rest) in zip(asks, map(self.manners.find, told), strict=True)]
        vectors = grounder.sentence([*told, *(rest for _, rest in named)])
        cosines = np.stack(np.split(self.index.cosines(vectors), 2), 1)  # (clauses, said or rest, phrasings)
        for ask, said, (style, rest), cosine in zip(asks, told, named, cosines, strict=True):
            turn, route = ask.turn, ask.route
            manner = style or whole
            if turn is not None:  # its manner is in the words already
                manner, rest = "", said
            sight = seen(self, said, said, rest, manner, cosine)
            best = self._vote(sight.scores)
            side, scores = side_asked(said), sight.plain
            score = float(scores[best])
            if score < least:
                found.append(ClauseSpec(said, score, turn=turn, route=route, known=0.0, said=said))
                continue
            known = self.captions[best]
            told_best, another = self._told(best, scores, ask)
            caption = (known.get(manner) if manner else "") or told_best
            lengths = tuple(self.lengths.get(caption, ()))
            if caption in BENT:
                bent, (caption,) = BENT[caption], STEADY.values()
                if route is None and side == bent:
                    route = Route(TURN, bent, 1, 1.0, "walk", 90.0)
            found.append(ClauseSpec(
                caption, score, lengths, turn, route, self.classes[best], phrasing=self.keys[best], said=said,
                manner=manner if known.get(manner) else "",
                known=1.0 if turn or self._mine(best, score) else self._known(sight),
                others=self._others(best, another, sight.scores),
            ))  # fmt: skip
        return found

    def _others(self, best: int, another: str, scores: np.ndarray) -> tuple[ClauseSpec, ...]:
        """Another caption of the action, and the nearest phrasing of another one unless it is much further away."""
        found = [(another, best)] if another else []
        apart = np.where(self.group == self.group[best], -np.inf, scores)
        row = int(apart.argmax())
        if apart[row] >= scores[best] - ALSO:
            found.append((self.captions[row][""], row))
        return tuple(
            ClauseSpec(text, float(scores[i]), tuple(self.lengths.get(text, ())), action=self.classes[i])
            for text, i in found
        )

    def _told(self, best: int, scores: np.ndarray, ask: Asked) -> tuple[str, str]:
        """The caption of a phrasing, or one of the same action that tells better what was asked
        (`avatargpt.requests.telling`); and the next one, empty where there is none.

        What tells a place that was not asked for comes after what does not.
        """
        caption = self.captions[best][""]
        row = self.rows.get(caption, best)
        others = np.flatnonzero((self.group == self.group[best]) & self.marks.literal)
        said = {*PLACE.findall(ask.words), *(w for w in ("up", "down") if w in ask.words.split())}
        clause = ask.clause or Clause(action=ask.words)
        worth = {
            (caption if i == row else self.keys[i]): float(scores[i]) + TELLING * (i == row)
            + agreement(clause, self.told.get(self.keys[i], {})) - UNSAID * len(self.places(i) - said)
            for i in sorted({*others.tolist(), row})
        }  # fmt: skip
        order = sorted(worth, key=lambda text: -worth[text])
        return order[0], next(iter(order[1:]), "")

    def _known(self, sight: Seen) -> float:
        """The probability that the action is one that is known; without a chooser all are."""
        return 1.0 if self.chooser is None else self.chooser.known(sight, self.group, self.members)

    def _mine(self, best: int, score: float) -> bool:
        return self.classes[best] in self.own and score >= NEAR

    def _vote(self, scores: np.ndarray) -> int:
        """The best phrasing of the action that most of the nearest ones share, or one that says nearly the same."""
        near = ranked(scores, VOTERS)
        others = near[self.group[near] != self.group[near[0]]]
        if scores[near[0]] >= SAME and (not len(others) or scores[near[0]] - scores[others[0]] >= LEAD):
            return int(near[0])
        votes = np.zeros(int(self.group.max()) + 1)
        np.add.at(votes, self.group[near], np.exp((scores[near] - scores[near[0]]) / TEMPERATURE))
        return int(near[self.group[near] == votes.argmax()][0])

    @cached_property
    def members(self) -> list[np.ndarray]:
        """Per action its rows."""
        order = np.argsort(self.group, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.group))[:-1])

    def read_captions(self, reader: RequestReader, captions: Sequence[str] | None = None) -> None:
        """Let a reader tell what captions say beyond their action; None = all of them."""
        literal = [k for k, own in zip(self.keys, self.marks.literal, strict=True) if own]
        for caption in literal if captions is None else captions:
            try:
                told = told_by(reader.read(caption))
            except UserError:  # "half jumping jacks ... 0.5 times"
                continue
            if told:
                self.told[caption] = told

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the book, with what is derived of it; vectors by their first 136 principal directions, those that a
        file had as they were."""
        meanings: dict[str, int] = {}
        pairs = zip(self.captions, self.classes, strict=True)
        which = [meanings.setdefault(json.dumps(pair), len(meanings)) for pair in pairs]
        about = {
            "keys": self.keys, "meanings": [json.loads(m) for m in meanings], "styles": self.styles,
            "lengths": self.lengths, "told": self.told, "own": sorted(self.own), "derived": VERSION,
            "words": list(self.index.words.words),
        }  # fmt: skip
        data: dict[str, np.ndarray] = {
            **plain_vectors(held if isinstance(held := self.index.held, Reduced) else reduced(held, RANK)),
            **packed(self.marks, self.index.words),
            "which": np.array(which, np.int32 if len(meanings) > 1 << 16 else np.uint16),
            "side": np.array([SIDES.index(s) for s in self.sides], np.int8),
        }  # fmt: skip
        if self.chooser is not None:
            self.chooser.save(folder)
        return write(Path(folder) / FILE, about, data)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PhraseIndex | None:
        """The book of a model folder, or None where it has none.

        Raises:
            UserError: a damaged file.
        """

        def make(held: Stored) -> PhraseIndex:
            about, keys = held.about, held.about["keys"]
            meant = [about["meanings"][i] for i in held.arrays["which"].tolist()]
            if not len(keys) == len(meant) == len(held.arrays["side"]):
                raise ValueError(f"{len(meant)} meanings for {len(keys)} texts")
            current = about.get("derived") == VERSION
            derived = unfolded(held, about["words"], len(keys)) if current else (None, None)
            book = cls(
                keys, [m[0] for m in meant], [m[1] for m in meant], [SIDES[i] for i in held.arrays["side"].tolist()],
                about["styles"], about["lengths"], held.reduced(len(keys)), *derived,
            )  # fmt: skip
            book.told = about.get("told", {})
            book.chooser, book.reader = Chooser.load(folder), RequestReader.of(folder)
            book.own = frozenset(map(str, about.get("own", ())))
            return book

        return read(Path(folder) / FILE, "book of phrasings", make)
