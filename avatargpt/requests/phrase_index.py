"""The phrase index: from what a clause was read as to the caption, which the network was trained on, that shows it."""
# The reading network says which action a clause means. Of the captions of this action the one is taken that agrees best
# with the clause: "knocks twice" for two knocks, "kicks" rather than "kicks while turning around" for a kick. The index
# holds the project's own texts only.

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.reading.body import BodyReader, likeliest
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests import vector_index
from avatargpt.requests.clause_spec import (
    AT_REST,
    UPRIGHT,
    ClauseSpec,
    Lookup,
    expand_clause,
    is_above,
    is_rest,
    lookup_of,
    one_by_one,
    which_is_below,
    with_bends,
)
from avatargpt.requests.english import Manners, WordIndex, caption_about, lemmas
from avatargpt.requests.reader import RequestReader
from instruct_data.attributes import POSTURES
from instruct_data.requests.spec import Clause, MotionRequest
from instruct_data.text.english import side_of
from vqvae.errors import UserError

# principal directions of the vectors that are kept in the file
RANK = 104
FILE = "wording.safetensors"
SIDES = ("", "left", "right")
STANDING = POSTURES[0]
TOKENS_PER_SECOND = 5.0  # of the lengths of captions
OVERLAP_WEIGHT = 0.2  # of words in common against the sentence encoder's cosine (both 0..1)
MIN_HELD = 0.7  # similarity of a caption to an action and that it is held
MIN_ALTERNATIVE = 0.08  # probability from which another name is an alternative
# by which a caption must agree better than its action's usual one
USUAL_CAPTION_BONUS = 0.1
POSTURE_COST = 0.1  # of a caption whose clips do not begin standing, against others of its action

# Weights of the attributes of a caption, in the phrasings' scores
MATCH_WEIGHTS = {"side": 0.3, "direction": 0.1, "times": 0.15, "turn": 0.1, "path": 0.1, "tempo": 0.05, "size": 0.05,
                 "in_place": 0.1}  # fmt: skip
EXTRA_COST = 0.15  # of an attribute that was not asked for
# attributes of which only the presence is compared
ANY_VALUE = ("target", "style")
EXTRA_CLAUSE_COST = 0.1  # of each further movement
MISMATCH_COST = 0.3  # of another value than was asked for

MAX_MOVEMENT_WORDS = 9
MAX_MOVEMENT_ROWS = 300  # phrasings looked at for each text

# measured attributes in which another caption for the same request must not differ
CONTRARY = ("rise", "direction", "turn", "side", "support", "kneel")

CaptionAttributes = Mapping[str, Any]


def caption_attributes(request: MotionRequest) -> dict[str, Any]:
    """The attributes of a caption: of its first clause that has each, and the number of `more` clauses."""
    out: dict[str, Any] = {}
    for name in MATCH_WEIGHTS:
        value = next((v for c in request.clauses if (v := getattr(c, name)) not in (None, False)), None)
        if value is not None:
            out[name] = value
    out |= {name: True for name in ANY_VALUE if any(getattr(c, name) for c in request.clauses)}
    if extra := len(request.clauses) - 1:
        out["more"] = extra
    return out


def agreement(clause: Clause, attributes: CaptionAttributes) -> float:
    """Score of a caption for the attributes that it shares with a clause, less for others."""
    score = 0.0
    for name, value in attributes.items():
        if name == "more":
            score -= EXTRA_CLAUSE_COST * value
            continue
        expected = getattr(clause, name)
        if name in ANY_VALUE:
            score -= EXTRA_COST * (not expected)
        elif expected in (None, False):
            score -= EXTRA_COST if value != "forward" else 0.0  # as nearly everything goes
        elif expected == value:
            score += MATCH_WEIGHTS[name]
        elif name == "times":  # what is missing or too much is repeated or left out
            score += MATCH_WEIGHTS[name] * max(1 - abs(expected - value) / expected, -1)
        else:
            score -= MISMATCH_COST
    return score


def _as_caption(text: str) -> str:
    """A text as captions are written: lower case, without its full stop."""
    return " ".join(text.lower().split()).rstrip(".")


def _rests_in(measured: Mapping[str, str]) -> str:
    """The posture in which clips with these attributes rest from beginning to end, or empty."""
    posture = measured.get("end", "")
    same = measured.get("start") == posture == measured.get("through", posture)
    return posture if same and measured.get("rest") == "still" else ""


class PhraseIndex:
    """Phrasings, the captions that they mean, and their actions.

    Args:
        keys: n phrasings. captions: of each, per style, ``""`` = the plain one. sides: left, right or empty.
        classes: the action of each; phrasings of one action vote together.
        styles: word or phrase -> style. lengths: caption -> usual numbers of motion tokens.
        vectors: (n, 384) unit vectors of the phrasings.
        words: derived from the texts, as a file holds them; None = derived now, on first use.
    """

    def __init__(
        self, keys: Sequence[str], captions: Sequence[dict[str, str]], classes: Sequence[str], sides: Sequence[str],
        styles: dict[str, str], lengths: dict[str, list[int]], vectors: np.ndarray | vector_index.Reduced,
        words: WordIndex | None = None,
    ) -> None:  # fmt: skip
        self.keys, self.classes, self.sides, self.styles = list(keys), list(classes), np.array(sides), styles
        self.captions, self.lengths = list(captions), lengths
        self.index = vector_index.VectorIndex(self.keys, vectors, words)
        self.rows = {k: i for i, k in enumerate(self.keys)}
        self.reads: BodyReader | None = None  # reads requests for bodies; None = each is one action
        self.reader: RequestReader | None = None  # of faces and turns
        self.attributes: dict[str, CaptionAttributes] = {}  # of each caption besides its action; empty = not read
        self.user_actions: frozenset[str] = frozenset()  # actions that no network has learnt
        self.measured: dict[str, dict[str, str]] = {}

    @cached_property
    def manners(self) -> Manners:
        """Words that name a style."""
        return Manners(self.styles)

    @cached_property
    def members(self) -> dict[str, np.ndarray]:
        """Of each action its rows."""
        out: dict[str, list[int]] = defaultdict(list)
        for row, action in enumerate(self.classes):
            out[action].append(row)
        return {action: np.array(rows) for action, rows in out.items()}

    def is_caption(self, row: int) -> bool:
        """Whether a phrasing is a caption of its own."""
        return self.captions[row][""] == self.keys[row]

    @cached_property
    def caption_rows(self) -> np.ndarray:
        """(n,) rows of the phrasings that are captions of their own."""
        return np.flatnonzero([self.is_caption(row) for row in range(len(self.keys))])

    def row_of(self, text: str) -> int | None:
        """The row of a text that is read as itself: a caption, or a phrasing of an action of the user's; None = no."""
        row = self.rows.get(_as_caption(text), -1)
        return row if row >= 0 and (self.is_caption(row) or self.classes[row] in self.user_actions) else None

    def style(self, text: str) -> str:
        """The style that the text names, or empty."""
        return self.manners.find(text)[0]

    def read(self, text: str) -> MotionRequest:
        """The typed request of a text; a known caption is read as itself; without a reader any text is one action."""
        key, row = _as_caption(text), self.row_of(text)
        if row is not None:
            told = {k: v for k, v in self.attributes.get(key, {}).items() if k in MATCH_WEIGHTS}
            clause = Clause(action=text, name=self.classes[row], caption=key, known=True, **told)
            return MotionRequest(clauses=[clause], text=text)
        if self.reads is None:
            return MotionRequest(clauses=[Clause(action=text)], text=text)
        return self.reads.read(text)

    def clauses(self, text: str, grounder: SentenceGrounder) -> list[ClauseSpec]:
        """The clauses of a text with their captions, in order."""
        return [*one_by_one(self.resolve(self.read(text), grounder))]

    def clause(self, text: str, grounder: SentenceGrounder, style: str = "") -> ClauseSpec:
        """A text as one clause, in a style unless it names one."""
        return self._look_up([Lookup(text)], grounder, style)[0]

    def look_up(self, clauses: Sequence[Clause], grounder: SentenceGrounder, style: str = "") -> list[ClauseSpec]:
        """Each typed clause by itself, in a style where it names none."""
        return self._look_up([lookup_of(c) for c in clauses], grounder, style)

    def resolve(self, request: MotionRequest, grounder: SentenceGrounder) -> list[ClauseSpec]:
        """The clauses of a typed request, in order or concurrent."""
        actions = [c for clause in with_bends(request.done) for c in expand_clause(clause)] or [
            Clause(action="stand still")
        ]
        style = self.style(request.text) if len(actions) == 1 else ""  # of a subject: "an old man"
        specs = self._keep_endings(self.look_up(actions, grounder, style), grounder)
        actions = [s.clause for s in specs if s.clause is not None]
        denials = [c for c in request.clauses if c.denied]
        denied = self.look_up(denials, grounder) if denials else []
        avoid = tuple((s.action, s.caption) for s in denied if s.action)
        specs = [replace(s, avoid=avoid) for s in specs] if avoid else specs
        return self._stand_up(self._concurrent(actions, specs, grounder), grounder)

    def _concurrent(
        self, actions: Sequence[Clause], specs: Sequence[ClauseSpec], grounder: SentenceGrounder
    ) -> list[ClauseSpec]:
        """Clauses that are to be done at the same time, laid over one another where they go together."""
        out: list[ClauseSpec] = []
        for clause, spec in zip(actions, specs, strict=True):
            before = out[-1] if out else None
            if clause.together and before is not None and spec.known < MIN_KNOWN:
                out[-1] = replace(before, left_out=(*before.left_out, spec))
                continue
            if clause.together and before is not None and before.concurrent is None:
                below = which_is_below(before.action, spec.action)
                if below is not None:
                    out[-1] = replace((before, spec)[below], concurrent=(spec, before)[below])
                    continue
                if is_rest(spec.action) and is_above(before.action):
                    out[-1:] = [spec, before]
                    continue
            if clause.together and before is not None and before.clause is not None and not is_rest(before.action):
                if before.concurrent is None:
                    joint = self._joint(before, spec, grounder)
                    out[-1] = joint or replace(before, concurrent=replace(spec, tentative=True))
                    continue
                spec = replace(spec, in_sequence=True)
            out.append(spec)
        return out

    def _joint(self, first: ClauseSpec, second: ClauseSpec, grounder: SentenceGrounder) -> ClauseSpec | None:
        """One caption for two concurrent actions, if it names both."""
        assert first.clause is not None and second.clause is not None
        # each with its own side: "stands on the left leg while the right knee is raised"
        words = " while ".join(lookup_of(s.clause).core or s.clause.action for s in (first, second) if s.clause)
        sides = {first.clause.side, second.clause.side} - {None}
        both = Clause(action=words, side=first.clause.side if len(sides) == 1 else None)
        (joint,) = self.look_up([both], grounder)
        roots = {*lemmas(joint.caption)}
        if joint.known >= MIN_KNOWN and all(
            s.action == joint.action or {*lemmas(s.clause.action)} <= roots for s in (first, second) if s.clause
        ):
            return replace(joint, clause=first.clause, known=max(joint.known, min(first.known, second.known)))
        return None

    def _keep_endings(self, specs: Sequence[ClauseSpec], grounder: SentenceGrounder) -> list[ClauseSpec]:
        """Clauses that keep what the action before ends in: by one caption for both ("salutes and holds the salute"),
        else by one of rest in its posture. Alone they stand still."""
        out: list[ClauseSpec] = []
        for spec in specs:
            if spec.clause is not None and spec.clause.hold:
                before = next((s for s in out[::-1] if not is_above(s.action)), out[-1] if out else None)
                if before is None:
                    rest = self.clause("stand still", grounder)
                else:
                    words = f"{before.words} and {spec.words}"
                    (cosines,) = self.index.cosines(grounder.sentence([words]))
                    scores = self.index.scores(cosines, OVERLAP_WEIGHT, words)
                    both = self._best_of([r for rows in self.resting.values() for r in rows], scores)
                    one = both is not None and both.similarity >= MIN_HELD and out[-1] is before
                    if both is not None and one and before.measured.get("end") == STANDING:
                        rest = both
                        out.pop()
                    else:
                        rest = self._rest(before, scores)
                spec = replace(rest, clause=spec.clause, words=spec.words, known=1.0)
            out.append(spec)
        return out

    @cached_property
    def resting(self) -> dict[str, list[int]]:
        """Posture -> rows of captions whose clips rest in it from beginning to end."""
        out: dict[str, list[int]] = {}
        for text, measured in self.measured.items():
            if text in self.rows and (posture := _rests_in(measured)):
                out.setdefault(posture, []).append(self.rows[text])
        return out

    def _rest(self, before: ClauseSpec, scores: np.ndarray) -> ClauseSpec:
        """Rest in the posture in which the action before ends, by scores (n,) of all phrasings; the other postures are
        alternatives."""
        rests = {}
        for posture, rows in self.resting.items():
            rest = self._best_of([r for r in rows if self.classes[r] == AT_REST], scores)
            if rest is not None:
                rests[posture] = rest
        if not rests:
            return replace(before, turn=None, route=None, concurrent=None, alternatives=())
        posture = before.measured.get("end", "")
        if posture not in rests:  # clips of the action end in several
            posture = max(rests, key=lambda p: rests[p].similarity)
        first = rests.pop(posture)
        return replace(first, alternatives=tuple(rests.values()))

    def _best_of(self, rows: Sequence[int], scores: np.ndarray) -> ClauseSpec | None:
        """The one of some phrasings with the highest score, None where there are none."""
        if not rows:
            return None
        row = max(rows, key=lambda r: float(scores[r]))
        caption = self.captions[row][""]
        return ClauseSpec(
            caption, float(scores[row]), tuple(self.lengths.get(caption, ())), action=self.classes[row],
            phrasing=self.keys[row], measured=self.measured.get(caption, {}),
        )  # fmt: skip

    def _stand_up(self, specs: list[ClauseSpec], grounder: SentenceGrounder) -> list[ClauseSpec]:
        """A seated body stands up before it stands."""
        for i, spec in enumerate(specs):
            before = next((s for s in specs[:i][::-1] if not is_above(s.action)), None)
            held = spec.clause is None or spec.clause.hold
            upright = spec.action in UPRIGHT or (not held and _rests_in(spec.measured) == STANDING)
            if before is not None and is_rest(before.action) and upright:
                rise = self.clause("a person stands up", grounder)
                specs[i] = replace(rise, clause=spec.clause)
        return specs

    def _look_up(self, lookups: Sequence[Lookup], grounder: SentenceGrounder, style: str) -> list[ClauseSpec]:
        """The captions of what clauses were read as; those that nobody has read are read now. `style`: for those that
        name none."""
        texts = [x.turn.words if x.turn else x.words for x in lookups]
        # a turn by a measure is shown by the caption of its own words
        blank = {"name": "", "others": {}}
        clauses = self._name_clauses([
            (x.clause or Clause(action=x.words)).model_copy(update=blank if x.turn else {}) for x in lookups
        ], texts, grounder)
        vectors = grounder.sentence(texts)
        out = []
        for lookup, text, clause, vector in zip(lookups, texts, clauses, vectors, strict=True):
            members = self.members.get(clause.name)
            if members is None:
                spec = ClauseSpec(text, 0.0, known=0.0)
            else:
                manner = self.style(clause.style) or ("" if clause.tempo else self.style(clause.action)) or style
                manner = "" if lookup.turn is not None else manner  # that of a turn is in its words already
                overlap = self.index.words.scores(text)[members]
                scores = self.index.vectors_of(members) @ vector + OVERLAP_WEIGHT * overlap
                spec = self._choose_caption(clause, lookup, members, scores, manner)
                known = clause.sure if clause.known is not False else 0.0
                spec = replace(spec, known=1.0 if lookup.turn is not None else known)
            out.append(replace(spec, clause=lookup.clause, words=text, turn=lookup.turn, route=lookup.route))
        return out

    def _name_clauses(
        self, clauses: Sequence[Clause], texts: Sequence[str], grounder: SentenceGrounder
    ) -> list[Clause]:
        """Clauses with what they are read as; those that have a name keep it. Without a reader: the nearest's."""
        unread = [i for i, c in enumerate(clauses) if not c.name or self.members.get(c.name) is None]
        out = list(clauses)
        if self.reads is None:
            for i in unread:
                (cosines,) = self.index.cosines(grounder.sentence([texts[i]]))
                scores = self.index.scores(cosines, OVERLAP_WEIGHT, texts[i])
                out[i] = out[i].model_copy(update={"name": self.classes[int(scores.argmax())]})
        else:
            for i, names in zip(unread, self.reads.names([texts[i] for i in unread]), strict=True):
                out[i] = out[i].model_copy(update=likeliest(names))
        return out

    def _choose_caption(
        self, clause: Clause, lookup: Lookup, members: np.ndarray, scores: np.ndarray, manner: str
    ) -> ClauseSpec:
        """The caption of an action that agrees best with a clause; the next one, and other actions, are alternatives.

        Args:
            members: (n,) phrasings of the action. scores: (n,) of how near each is to the clause. manner: its style.
        """
        order = members[np.argsort(-scores, kind="stable")]
        best = next((r for r in order.tolist() if self.sides[r] in ("", clause.side)), int(order[0]))
        similarity = dict(zip(members.tolist(), scores.tolist(), strict=True))
        first, second = self._captions(clause, lookup, best, similarity)
        caption = (self.captions[best].get(manner) if manner else "") or first
        others = [(text, clause.name) for text in (second,) if text] + [
            (self.captions[int(self.members[name][0])][""], name) for name, p in clause.others.items()
            if p >= MIN_ALTERNATIVE and name in self.members
        ]
        return ClauseSpec(
            caption, similarity[best], tuple(self.lengths.get(caption, ())), action=clause.name,
            phrasing=self.keys[best], style=manner if self.captions[best].get(manner) else "",
            alternatives=tuple(
                ClauseSpec(text, 0.0, tuple(self.lengths.get(text, ())), action=action,
                           measured=self.measured.get(text, {})) for text, action in others
            ),
            measured=self._with_hand(caption, clause),
        )  # fmt: skip

    @cached_property
    def one_handed(self) -> frozenset[str]:
        """Actions that either hand does: there are captions of the left one, of the right one, and of neither."""
        hands: dict[str, set[str]] = {}
        for caption, measured in self.measured.items():
            if caption in self.rows:
                hands.setdefault(self.classes[self.rows[caption]], set()).add(measured.get("hand", ""))
        return frozenset(name for name, found in hands.items() if {"left", "right", ""} <= found)

    def _with_hand(self, caption: str, clause: Clause) -> Mapping[str, str]:
        """The attributes of a caption's clips; what either hand does the right one does if nothing is said."""
        measured = self.measured.get(caption, {})
        free = not clause.side and clause.direction not in ("left", "right") and "hand" not in measured
        return {**measured, "hand": "right"} if measured and free and clause.name in self.one_handed else measured

    def _captions(self, clause: Clause, lookup: Lookup, best: int, similarity: Mapping[int, float]) -> tuple[str, str]:
        """Of an action's captions the one that agrees best with a clause, and the next one that differs in nothing
        measured."""
        usual = self.captions[best][""]
        # its very words, with the side and the direction; of a known caption that was read as itself its own
        own = _as_caption(clause.action)
        exact = {_as_caption(lookup.words), own if clause.caption == own else ""}
        value = {}
        for row in {*similarity, self.rows.get(usual, best)}:
            text = self.keys[row]
            if self.is_caption(row) or text == usual:
                value[text] = (
                    similarity.get(row, 0.0) + USUAL_CAPTION_BONUS * (text == usual)
                    + agreement(clause, self.attributes.get(text, {}))
                    - POSTURE_COST * (self.measured.get(text, {}).get("start", STANDING) != STANDING)
                    + (text in exact)
                )  # fmt: skip
        value = value or {usual: 0.0}
        first, *others = sorted(value, key=lambda text: (-value[text], text))
        # Clips of the two differ in none of `CONTRARY`: who climbs the stairs does not come down them.
        seen = self.measured.get(first, {})
        alike = (text for text in others if all(
            seen[name] == other[name] for other in [self.measured.get(text, {})] for name in CONTRARY
            if name in seen and name in other
        ))  # fmt: skip
        return first, next(alike, "")

    def movements(self, texts: Sequence[str], grounder: SentenceGrounder, count: int) -> dict[str, str]:
        """At most `count` movements, one per action: the nearest to each text, then the second nearest, and so on.

        Returns:
            Verb phrase ("waves the left hand") -> caption that the network knows.
        """
        if not texts:
            return {}
        cosines = self.index.cosines(grounder.sentence(list(texts)))
        rows = [
            vector_index.rank_scores(self.index.scores(c, OVERLAP_WEIGHT, t), MAX_MOVEMENT_ROWS)
            for c, t in zip(cosines, texts, strict=True)
        ]
        out: dict[str, str] = {}
        actions: set[str] = set()
        for row in (int(r) for rank in zip(*rows, strict=True) for r in rank):
            caption, action = self.captions[row][""], self.classes[row]
            phrase = caption_about(caption, "", "they")
            if len(phrase.split()) <= MAX_MOVEMENT_WORDS and phrase not in out and action not in actions:
                actions.add(action)
                out[phrase] = caption
            if len(out) == count:
                break
        return out

    def read_captions(self, captions: Sequence[str] | None = None) -> None:
        """Read the attributes of captions; None = of all. Raises ValueError without a reader."""
        if self.reads is None:
            raise ValueError("no reading network")
        own = [self.keys[row] for row in self.caption_rows.tolist()]
        for caption in own if captions is None else captions:
            try:
                attributes = caption_attributes(self.reads.read(caption))
            except UserError:  # "half jumping jacks ... 0.5 times"
                continue
            if side := side_of(caption):
                attributes["side"] = side
            if attributes:
                self.attributes[caption] = attributes

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``wording.safetensors``; vectors of a file unchanged, others by `RANK` principal directions."""
        meanings: dict[str, int] = {}
        pairs = zip(self.captions, self.classes, strict=True)
        which = [meanings.setdefault(json.dumps(pair), len(meanings)) for pair in pairs]
        about = {
            "keys": self.keys, "meanings": [json.loads(m) for m in meanings], "styles": self.styles,
            "lengths": self.lengths, "measured": self.measured, "told": self.attributes,
            "own": sorted(self.user_actions), "words": list(self.index.words.words),
        }  # fmt: skip
        data: dict[str, np.ndarray] = {
            **vector_index.pack_vectors(self.index.stored, RANK), **vector_index.pack_words(self.index.words),
            "which": np.array(which, np.int32 if len(meanings) > 1 << 16 else np.uint16),
            "side": np.array([SIDES.index(s) for s in self.sides], np.int8),
        }  # fmt: skip
        return vector_index.write_file(Path(folder) / FILE, about, data)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PhraseIndex | None:
        """The phrase index of a model folder, or None where it has none; raises UserError for a damaged file."""

        def parse(stored: vector_index.StoredVectors) -> PhraseIndex:
            about, keys = stored.about, stored.about["keys"]
            meanings = [about["meanings"][i] for i in stored.arrays["which"].tolist()]
            sides = [SIDES[i] for i in stored.arrays["side"].tolist()]
            if not len(keys) == len(meanings) == len(sides):
                raise ValueError(f"{len(meanings)} meanings for {len(keys)} texts")
            index = cls(
                keys, [m[0] for m in meanings], [m[1] for m in meanings], sides, about["styles"], about["lengths"],
                stored.read_reduced(len(keys)), stored.words(about["words"], len(keys)),
            )  # fmt: skip
            index.attributes, index.measured = about.get("told", {}), about.get("measured", {})
            index.reads, index.reader = BodyReader.of(folder), RequestReader.of(folder)
            index.user_actions = frozenset(map(str, about.get("own", ())))
            if index.reads is not None and index.user_actions:
                own = {a: [keys[i] for i in index.members[a].tolist()] for a in sorted(index.user_actions)}
                index.reads.reader.add_names("read", own)
            return index

        return vector_index.read_file(Path(folder) / FILE, "phrase index", parse)
