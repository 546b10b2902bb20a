"""The phrase index: retrieval of the captions, which the network was trained on, that requests mean."""
# Phrasings are compared with a clause by words and by meaning; the nearest few vote for the action. Left, right,
# backward and manner are taken from the words themselves, because sentence embeddings hardly tell them from one
# another. Of an action's captions the one is taken whose attributes agree best with the clause: "knocks twice" for two
# knocks, "kicks" rather than "kicks while turning around" for a kick. The index holds the project's own texts only.

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests import phrase_scoring, vector_index
from avatargpt.requests.clause_spec import (
    AT_REST,
    MIN_KNOWN,
    UPRIGHT,
    ClauseSpec,
    Lookup,
    expanded,
    is_above,
    is_rest,
    lookup_of,
    which_is_below,
    with_bends,
)
from avatargpt.requests.english import Manners, WordIndex, caption_about, lemmas
from avatargpt.requests.reader import RequestReader
from instruct_data.attributes import POSTURES
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError

# principal directions of the vectors that are kept in the file
RANK = 104
FILE = "wording.safetensors"
SIDES = ("", "left", "right")
STANDING = POSTURES[0]
MIN_SIMILARITY = 0.4  # below it a clause keeps its own words
# from which a phrasing says what the clause asks for
MIN_PHRASING_SIMILARITY = 0.75
MIN_HELD = 0.7  # the same of an action and that it is held
# probability of the reader from which it overrules a near phrasing; similarity from which it does not, and from which
# the words are those of a phrasing
MIN_SURE, MIN_SAME_SIMILARITY, SAME_WORDS = 0.98, 0.95, 1.05
# in similarity, up to which another action is an alternative
MAX_ALTERNATIVE_GAP = 0.3
MIN_SINGLE_SIMILARITY, MIN_SINGLE_LEAD = 0.88, 0.04  # from which one phrasing decides without a vote
# nearest phrasings that vote, by exp(score / temperature)
VOTERS, VOTE_TEMPERATURE = 8, 0.06
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

# in similarity, by which all words of a request with one action must be nearer than those of the action
WHOLE_TEXT_MARGIN = 0.02

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


def _known(clause: Clause, spec: ClauseSpec) -> float:
    """The probability that a clause is a known action, by the phrasings near it and by the reader."""
    if spec.similarity >= SAME_WORDS:
        return 1.0
    if clause.known is not False or spec.similarity >= MIN_SAME_SIMILARITY:
        return spec.known
    if spec.similarity >= MIN_PHRASING_SIMILARITY:
        return 0.0 if clause.sure >= MIN_SURE else spec.known
    return spec.known * (1 - clause.sure)


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
        marks, words: derived from the texts, as a file holds them; None = derived now, the latter on first use.
    """

    def __init__(
        self, keys: Sequence[str], captions: Sequence[dict[str, str]], classes: Sequence[str], sides: Sequence[str],
        styles: dict[str, str], lengths: dict[str, list[int]], vectors: np.ndarray | vector_index.Reduced,
        marks: phrase_scoring.Marks | None = None, words: WordIndex | None = None,
    ) -> None:  # fmt: skip
        self.keys, self.classes, self.sides, self.styles = list(keys), list(classes), np.array(sides), styles
        self.captions, self.lengths = list(captions), lengths
        self.index = vector_index.VectorIndex(self.keys, vectors, words)
        self.rows = {k: i for i, k in enumerate(self.keys)}
        self.marks = phrase_scoring.derive_marks(self.keys, self.captions, self.classes) if marks is None else marks
        self.group = self.marks.group
        # classifier: gives the probability that an action is a known one, None = all are
        self.classifier: phrase_scoring.KnownActionClassifier | None = None
        self.reader: RequestReader | None = None  # reads requests, None = each is one action
        self.attributes: dict[str, CaptionAttributes] = {}  # of each caption besides its action; empty = not read
        # user_actions: actions that no network has learnt; their words are matched literally
        self.user_actions: frozenset[str] = frozenset()
        self.measured: dict[str, dict[str, str]] = {}

    @cached_property
    def manners(self) -> Manners:
        """Words that name a style."""
        return Manners(self.styles)

    @cached_property
    def members(self) -> list[np.ndarray]:
        """Per action its rows."""
        order = np.argsort(self.group, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.group))[:-1])

    def style(self, text: str) -> str:
        """The style that the text names, or empty."""
        return self.manners.find(text)[0]

    def with_verb(self, verb: str, part: str) -> tuple[np.ndarray, np.ndarray]:
        """(n,) phrasings with this verb, and this part of the body if one is named; and those with the verb alone."""
        # the latter: no phrasing of the action has that part ("roll the shoulders": a roll on the ground)
        with_verb, with_part = np.zeros((2, len(self.keys)), bool)
        for row in self.index.words.rows(verb).tolist():
            row_verb, row_part = phrase_scoring.doing(self.keys[row])
            with_verb[row], with_part[row] = row_verb == verb, row_verb == verb and part in ("", row_part)
        if part in ("", phrase_scoring.HAND):  # hands do nearly everything
            return with_part, np.zeros_like(with_part)
        return with_part, with_verb & ~np.isin(self.group, self.group[with_part])

    def read(self, text: str) -> MotionRequest:
        """The typed request of a text; without a reader all of it is one action."""
        row = self.rows.get(" ".join(text.lower().split()).rstrip("."))
        if self.reader is None or (row is not None and self.classes[row] in self.user_actions):
            return MotionRequest(clauses=[Clause(action=text)], text=text)
        return self.reader.read(text)

    def clauses(
        self, text: str, grounder: SentenceGrounder, min_similarity: float = MIN_SIMILARITY
    ) -> list[ClauseSpec]:
        """The clauses of a text with their captions, in order; below `min_similarity` a clause keeps its words."""
        return self.resolve(self.read(text), grounder, min_similarity)

    def clause(
        self, text: str, grounder: SentenceGrounder, style: str = "", min_similarity: float = MIN_SIMILARITY
    ) -> ClauseSpec:
        """A text as one clause, in a style unless it names one."""
        return self._nearest([Lookup(text)], grounder, style, min_similarity)[0]

    def look_up(
        self, clauses: Sequence[Clause], grounder: SentenceGrounder, min_similarity: float = MIN_SIMILARITY,
        style: str = "",
    ) -> list[ClauseSpec]:  # fmt: skip
        """Each typed clause by itself, in a style where it names none."""
        specs = self._nearest([lookup_of(c) for c in clauses], grounder, style, min_similarity)
        rows = zip(clauses, specs, strict=True)
        return [replace(s, clause=c, known=_known(c, s)) for c, s in rows]

    def resolve(
        self, request: MotionRequest, grounder: SentenceGrounder, min_similarity: float = MIN_SIMILARITY
    ) -> list[ClauseSpec]:
        """The clauses of a typed request, in order or concurrent."""
        actions = [c for clause in with_bends(request.done) for c in expanded(clause)] or [Clause(action="stand still")]
        style = self.style(request.text) if len(actions) == 1 else ""  # of a subject: "an old man"
        specs = self.look_up(actions, grounder, min_similarity, style)
        specs = self._held(specs, grounder, min_similarity)
        actions = [s.clause for s in specs if s.clause is not None]
        plain = len(actions) == 1 and specs[0].turn is None and specs[0].route is None and not actions[0].hold
        if plain and request.text:
            clause = actions[0].model_copy(update={"action": request.text})
            (whole_text,) = self.look_up([clause], grounder, min_similarity, style)
            # what was left out of the action says what is meant
            if whole_text.similarity > specs[0].similarity + WHOLE_TEXT_MARGIN:
                specs = [replace(whole_text, clause=actions[0])]
        denials = [c for c in request.clauses if c.denied]
        denied = self.look_up(denials, grounder, min_similarity) if denials else []
        avoid = tuple((s.action, s.caption) for s in denied if s.action)
        specs = [replace(s, avoid=avoid) for s in specs] if avoid else specs
        return self._stood_up(self._concurrent(actions, specs, grounder, min_similarity), grounder, min_similarity)

    def _concurrent(
        self, actions: Sequence[Clause], specs: Sequence[ClauseSpec], grounder: SentenceGrounder, min_similarity: float
    ) -> list[ClauseSpec]:
        """Clauses that are to be done at the same time, laid over one another where they go together."""
        out: list[ClauseSpec] = []
        for clause, spec in zip(actions, specs, strict=True):
            before = out[-1] if out else None
            if clause.together and before is not None and before.concurrent is None:
                below = which_is_below(before.action, spec.action)
                if below is not None:
                    out[-1] = replace((before, spec)[below], concurrent=(spec, before)[below])
                    continue
                if is_rest(spec.action) and is_above(before.action):
                    out[-1:] = [spec, before]
                    continue
            if clause.together and before is not None and before.clause is not None and not is_rest(before.action):
                joint = None if before.concurrent else self._joint(before, spec, grounder, min_similarity)
                if joint is not None or spec.known < MIN_KNOWN:
                    out[-1] = joint or replace(before, left_out=(*before.left_out, spec))
                    continue
                spec = replace(spec, in_sequence=True)
            out.append(spec)
        return out

    def _joint(
        self, first: ClauseSpec, second: ClauseSpec, grounder: SentenceGrounder, min_similarity: float
    ) -> ClauseSpec | None:
        """One caption for two concurrent actions, if it names both: as it is read, or by their very words."""
        assert first.clause is not None and second.clause is not None
        # each with its own side: "stands on the left leg while the right knee is raised"
        words = " while ".join(lookup_of(s.clause).core or s.clause.action for s in (first, second) if s.clause)
        sides = {first.clause.side, second.clause.side} - {None}
        shared = {"action": words, "side": first.clause.side if len(sides) == 1 else None}
        # with the first one's direction and measures, or by their words alone
        for both in (first.clause.model_copy(update=shared), Clause(action=words)):
            (joint,) = self.look_up([both], grounder, min_similarity)
            read = self.read(joint.caption).done
            # an action counts whatever its direction and measures
            named = [*read, *(Clause(action=c.action) for c in read)]
            actions, roots = {s.action for s in self.look_up(named, grounder, min_similarity)}, {*lemmas(joint.caption)}
            if all(s.action in actions or {*lemmas(s.clause.action)} <= roots for s in (first, second) if s.clause):
                return replace(joint, clause=first.clause, known=max(joint.known, min(first.known, second.known)))
        return None

    def _held(self, specs: Sequence[ClauseSpec], grounder: SentenceGrounder, min_similarity: float) -> list[ClauseSpec]:
        """Clauses that keep what the action before ends in: by one caption for both ("salutes and holds the salute"),
        else by one of rest in its posture. Alone they stand still."""
        out: list[ClauseSpec] = []
        for spec in specs:
            if spec.clause is not None and spec.clause.hold:
                before = next((s for s in out[::-1] if not is_above(s.action)), out[-1] if out else None)
                if before is None:
                    rest = self.clause("stand still", grounder, min_similarity=min_similarity)
                else:
                    words = f"{before.words} and {spec.words}"
                    (cosines,) = self.index.cosines(grounder.sentence([words]))
                    scores = self.index.scores(cosines, phrase_scoring.OVERLAP_WEIGHT, words)
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

    def _stood_up(self, specs: list[ClauseSpec], grounder: SentenceGrounder, min_similarity: float) -> list[ClauseSpec]:
        """A seated body stands up before it stands."""
        for i, spec in enumerate(specs):
            before = next((s for s in specs[:i][::-1] if not is_above(s.action)), None)
            held = spec.clause is None or spec.clause.hold
            upright = spec.action in UPRIGHT or (not held and _rests_in(spec.measured) == STANDING)
            if before is not None and is_rest(before.action) and upright:
                rise = self.clause("a person stands up", grounder, min_similarity=min_similarity)
                specs[i] = replace(rise, clause=spec.clause)
        return specs

    def _nearest(
        self, lookups: Sequence[Lookup], grounder: SentenceGrounder, style: str, min_similarity: float
    ) -> list[ClauseSpec]:
        """The nearest phrasing of each; `style` for those that name none."""
        out = []
        texts = [x.turn.words if x.turn else x.words for x in lookups]
        # what is done is looked up without how it is done and where to, too
        named = [
            (manner, x.core or core) for x, (manner, core) in zip(lookups, map(self.manners.find, texts), strict=True)
        ]
        vectors = grounder.sentence([*texts, *(core for _, core in named)])
        cosines = np.stack(np.split(self.index.cosines(vectors), 2), 1)  # (clauses, text or core, phrasings)
        for lookup, text, (manner, core), cosine in zip(lookups, texts, named, cosines, strict=True):
            turn, route = lookup.turn, lookup.route
            manner = manner or style
            if turn is not None:  # its manner is in the words already
                manner, core = "", text
            scores = phrase_scoring.phrase_scores(self, text, core, manner, cosine)
            best = self._vote(scores.scores)
            similarity = float(scores.without_verb[best])
            if similarity < min_similarity:
                out.append(ClauseSpec(text, similarity, turn=turn, route=route, known=0.0, words=text))
                continue
            captions = self.captions[best]
            plain, second = self._captions(best, scores.without_verb, lookup)
            caption = (captions.get(manner) if manner else "") or plain
            lengths = tuple(self.lengths.get(caption, ()))
            out.append(ClauseSpec(
                caption, similarity, lengths, turn, route, self.classes[best], phrasing=self.keys[best], words=text,
                style=manner if captions.get(manner) else "",
                known=self._known_probability(best, similarity, turn is not None, scores),
                alternatives=self._alternatives(best, second, scores.scores),
                measured=self.measured.get(caption, {}),
            ))  # fmt: skip
        return out

    def _vote(self, scores: np.ndarray) -> int:
        """The best phrasing of the action that most of the nearest ones share, or a nearly identical one."""
        nearest = vector_index.ranked(scores, VOTERS)
        foreign = nearest[self.group[nearest] != self.group[nearest[0]]]
        leads = not len(foreign) or scores[nearest[0]] - scores[foreign[0]] >= MIN_SINGLE_LEAD
        if scores[nearest[0]] >= MIN_SINGLE_SIMILARITY and leads:
            return int(nearest[0])
        votes = np.zeros(int(self.group.max()) + 1)
        np.add.at(votes, self.group[nearest], np.exp((scores[nearest] - scores[nearest[0]]) / VOTE_TEMPERATURE))
        return int(nearest[self.group[nearest] == votes.argmax()][0])

    def _captions(self, best: int, scores: np.ndarray, lookup: Lookup) -> tuple[str, str]:
        """The caption of a phrasing, or one of the same action that agrees better with the clause; and the next one."""
        # a caption loses for each place that it names and the clause does not ("above the head")
        caption = self.captions[best][""]
        usual = self.rows.get(caption, best)
        rows = np.flatnonzero((self.group == self.group[best]) & self.marks.literal)
        verticals = (w for w in ("up", "down") if w in lookup.words.split())
        places = {*phrase_scoring.PLACE.findall(lookup.words), *verticals}
        clause = lookup.clause or Clause(action=lookup.words)
        value = {
            (caption if i == usual else self.keys[i]): float(scores[i]) + USUAL_CAPTION_BONUS * (i == usual)
            + agreement(clause, self.attributes.get(self.keys[i], {}))
            - phrase_scoring.UNNAMED_COST * len({*phrase_scoring.PLACE.findall(self.keys[i])} - places)
            - POSTURE_COST * (self.measured.get(self.keys[i], {}).get("start", STANDING) != STANDING)
            for i in sorted({*rows.tolist(), usual})
        }  # fmt: skip
        first, *others = sorted(value, key=lambda text: -value[text])
        return first, next((text for text in others if self._agree(first, text)), "")

    def _agree(self, first: str, second: str) -> bool:
        """Whether clips of two captions differ in none of `CONTRARY`: who climbs the stairs does not come down them."""
        a, b = (self.measured.get(text, {}) for text in (first, second))
        return all(a[name] == b[name] for name in CONTRARY if name in a and name in b)

    def _alternatives(self, best: int, second: str, scores: np.ndarray) -> tuple[ClauseSpec, ...]:
        """Another caption of the action, and the nearest phrasing of another one unless it is much further away."""
        pairs = [(second, best)] if second else []
        foreign = np.where(self.group == self.group[best], -np.inf, scores)
        row = int(foreign.argmax())
        if foreign[row] >= scores[best] - MAX_ALTERNATIVE_GAP:
            pairs.append((self.captions[row][""], row))
        return tuple(
            ClauseSpec(
                text, float(scores[i]), tuple(self.lengths.get(text, ())), action=self.classes[i],
                measured=self.measured.get(text, {}),
            )
            for text, i in pairs
        )

    def _known_probability(
        self, best: int, similarity: float, turn: bool, scores: phrase_scoring.PhraseScores
    ) -> float:
        """The probability that the action is a known one."""
        if turn or (self.classes[best] in self.user_actions and similarity >= MIN_PHRASING_SIMILARITY):
            return 1.0
        return 1.0 if self.classifier is None else self.classifier.probability(scores, self.group, self.members)

    def movements(self, texts: Sequence[str], grounder: SentenceGrounder, count: int) -> dict[str, str]:
        """At most `count` movements, one per action: the nearest to each text, then the second nearest, and so on.

        Returns:
            Verb phrase ("waves the left hand") -> caption that the network knows.
        """
        if not texts:
            return {}
        cosines = self.index.cosines(grounder.sentence(list(texts)))
        rows = [
            vector_index.ranked(self.index.scores(c, phrase_scoring.OVERLAP_WEIGHT, t), MAX_MOVEMENT_ROWS)
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

    def read_captions(self, reader: RequestReader, captions: Sequence[str] | None = None) -> None:
        """Let a reader read the attributes of captions; None = of all."""
        literal = [k for k, own_caption in zip(self.keys, self.marks.literal, strict=True) if own_caption]
        for caption in literal if captions is None else captions:
            try:
                attributes = caption_attributes(reader.read(caption))
            except UserError:  # "half jumping jacks ... 0.5 times"
                continue
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
            "own": sorted(self.user_actions), "derived": phrase_scoring.VERSION, "words": list(self.index.words.words),
        }  # fmt: skip
        data: dict[str, np.ndarray] = {
            **vector_index.pack_vectors(self.index.stored, RANK),
            **phrase_scoring.packed_marks(self.marks, self.index.words),
            "which": np.array(which, np.int32 if len(meanings) > 1 << 16 else np.uint16),
            "side": np.array([SIDES.index(s) for s in self.sides], np.int8),
        }  # fmt: skip
        if self.classifier is not None:
            self.classifier.save(folder)
        return vector_index.write_file(Path(folder) / FILE, about, data)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PhraseIndex | None:
        """The phrase index of a model folder, or None where it has none; raises UserError for a damaged file."""

        def parse(stored: vector_index.Stored) -> PhraseIndex:
            about, keys = stored.about, stored.about["keys"]
            meanings = [about["meanings"][i] for i in stored.arrays["which"].tolist()]
            sides = [SIDES[i] for i in stored.arrays["side"].tolist()]
            if not len(keys) == len(meanings) == len(sides):
                raise ValueError(f"{len(meanings)} meanings for {len(keys)} texts")
            current = about.get("derived") == phrase_scoring.VERSION
            derived = phrase_scoring.unpacked_marks(stored, about["words"], len(keys)) if current else (None, None)
            index = cls(
                keys, [m[0] for m in meanings], [m[1] for m in meanings], sides, about["styles"], about["lengths"],
                stored.reduced(len(keys)), *derived,
            )  # fmt: skip
            index.attributes, index.measured = about.get("told", {}), about.get("measured", {})
            index.classifier, index.reader = phrase_scoring.KnownActionClassifier.load(folder), RequestReader.of(folder)
            index.user_actions = frozenset(map(str, about.get("own", ())))
            return index

        return vector_index.read_file(Path(folder) / FILE, "phrase index", parse)
