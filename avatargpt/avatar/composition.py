"""One prompt to a body and a face of one plan on one clock: "walks in angrily, stops and smiles".

The reader of requests reads the clauses of a body and those of a face in the same words; their places tell which belong
together. Of each clause two networks say how surely it is theirs: the choice of known captions for the body, the
agreement of the parser's readings for the face.

| clause | body | face |
|---|---|---|
| the body's | its caption | feelings of all its words, actions of its manner ("with a big grin") |
| the face's | keeps its posture meanwhile | what it says |
| both's: its caption names it, or says the same to the parser ("yawn") | its caption | all but the head's turns |
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from avatargpt.avatar.division import Division, DivisionPart, FaceAction
from avatargpt.avatar.moods import has_several, mood_of
from avatargpt.avatar.pipeline import FPS, turn_head
from avatargpt.body.generate import DEFAULT_CONFIG, MotionGeneration, Progress
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.audio_model.controls import LIVELY
from avatargpt.face.instructions.parser import MIN_AGREEMENT
from avatargpt.face.pipeline import MIN_CERTAINTY_READABLE, FacePipeline
from avatargpt.options import GenerationConfig, UnheededText, check_text
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.clause_spec import ClauseSpec, expand_clause, lookup_of, with_bends
from avatargpt.requests.english import lemmas
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.reader import OPEN, RequestReader, assemble_face, join_words, parts_of
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.face.actions import actions
from instruct_data.face.score import Emotion, Score
from instruct_data.requests.spec import Clause, FaceClause, MotionRequest
from instruct_data.requests.targets import Target
from instruct_data.text.numerals import word_spans
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.features import relax_fingers
from vqvae.motion import Motion

BODY, FACE, BOTH = "body", "face", "both"
MIN_WEIGHT = 0.1  # of a blendshape that an action is seen to move
START = 0.25  # s within which what lasts throughout begins
PAUSE = 1.5  # s of a stop before the face acts
GRADUAL = ("very_slow", "slow", "slowing_down", "speeding_up")  # tempos of words that change a mood little by little
MAX_REMEMBERED = 1000  # readings


class FaceReading(NamedTuple):
    """What the parser reads in words besides rest, all that it reads, and how surely, 0..1."""

    score: Score
    whole: Score
    sure: float


class Places(NamedTuple):
    """Places of a clause's words."""

    all: set[int]
    action: set[int]


@dataclass(eq=False)
class _ClauseRow:
    """A clause of the body's request as it is divided."""

    clause: Clause
    places: Places
    spec: ClauseSpec  # what the body knows of it
    core: str  # words of its action
    use: str = BODY
    face: list[FaceAction] = field(default_factory=list)

    @property
    def moves(self) -> bool:
        """Whether the body does it."""
        return self.use != FACE and not self.clause.denied


class Composition(NamedTuple):
    """A prompt's body, at its own rate, and the score of the face on its clock."""

    division: Division
    body: Motion
    spans: tuple[tuple[float, float], ...]  # seconds of each part
    score: Score | None
    seed: int  # of blinks and idle movement

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What each part of the prompt became, with its ``start`` and ``end`` in seconds."""
        rows = zip(self.division.rows, self.spans, strict=True)
        return [{**row, "start": round(a, 3), "end": round(b, 3)} for row, (a, b) in rows]


class Composer:
    """Prompts to bodies with faces."""

    def __init__(self, generation: MotionGeneration, face: FacePipeline) -> None:
        self.generation, self.face = generation, face
        self._readings: dict[str, FaceReading] = {}

    @cached_property
    def index(self) -> PhraseIndex:
        """The body's phrase index, with a reader."""
        index = self.generation.model.phrase_index
        if index is None or index.reader is None or self.generation.model.grounder is None:
            raise UserError("this model reads no requests; a body and a face from one text take a model that does")
        return index

    @property
    def reader(self) -> RequestReader:
        assert self.index.reader is not None
        return self.index.reader

    def divide(self, text: str) -> Division:
        """Which part of a prompt the body does, and which the face. Raises UserError: empty text."""
        check_text(text)
        request = self.index.read(text)
        words, places, faces = self._place_clauses(text, request)
        rows = [_ClauseRow(clause, where, *self._look_up(clause))
                for clause, where in zip(request.clauses, places, strict=True)]  # fmt: skip
        changing: list[tuple[_ClauseRow, str]] = []  # rows of which the face's reader reads a change, with its words
        for row in rows:
            row.use = BODY if row.clause.denied else self._use(row)
        for of_face, where in faces:
            row = max(rows, key=lambda r: (len(r.places.all & where.action), len(r.places.all & where.all)))
            if not of_face.denied and not row.places.all & where.all and self._read(of_face.action).score.events:
                of_body = Clause(action=of_face.action, together=of_face.together)
                row = _ClauseRow(of_body, where, *self._look_up(of_body), FACE)  # words that the body's reader left out
                behind = [r for r in rows if min(r.places.all) > max(where.all)]
                nearest = min(behind, key=lambda r: min(r.places.all), default=None)
                rows.insert(len(rows) if nearest is None else rows.index(nearest), row)
            if row.clause.denied or of_face.denied:
                continue
            # the parser hears anger in crossed arms; of words that name the body's action alone nothing is shown
            if row.use == BODY and _is_named(row) and where.all & row.places.all <= row.places.action:
                continue
            if of_face.course and of_face.sure >= MIN_CERTAINTY_READABLE:
                changing.append((row, of_face.action))
            row.face += self._action(of_face, row.use if where.all & row.places.action else FACE)
        for row in rows:
            if row.use != BODY and not row.face:
                row.face += self._action(FaceClause(action=lookup_of(row.clause).core), row.use)
            elif row.use == BODY and row.clause.style and not row.clause.denied:
                present = {name for action in row.face for name in action.names}
                row.face += self._action(FaceClause(action=row.clause.style), BOTH, present)
        groups = self._with_moods(words, _groups(rows))
        of_face_alone = set().union(*(row.places.all for row in rows if row.use == FACE))
        outside = " ".join(w for i, w in enumerate(words) if not any(i in row.places.all for row in rows))
        rest = " ".join(w for i, w in enumerate(words) if i not in of_face_alone)
        feelings = self._throughout(text, outside, [action for row in rows for action in row.face])
        shown = [row for group in groups if any(a.changes for r in group for a in r.face) for row in group]
        constant = [w for row, w in changing if row not in shown]
        return self._plan_division(request, words, groups, rest, feelings, tuple(constant))

    def _with_moods(self, words: Sequence[str], groups: Sequence[list[_ClauseRow]]) -> list[list[_ClauseRow]]:
        """Rows that are done at the same time: a feeling that changes belongs to the action before it.

        What the body does not do therefore becomes the face's; a mood that changes over an action is the group's only
        action of the face.
        """
        out: list[list[_ClauseRow]] = []
        for group in groups:
            if out and self._joins(words, _stretch([*out[-1], *group], groups, len(words)), out[-1], group):
                before = max(max(row.places.all) for row in out[-1]) + 1
                for row in group:  # the words between are the face's, too
                    between = range(before, max(row.places.all) + 1)
                    row.use, row.places = FACE, row.places._replace(all={*row.places.all, *between})
                out[-1] = [*out[-1], *group]
            else:
                out.append(group)
        for group in out:
            acts = [action for row in group for action in row.face]
            moving = [row for row in group if row.moves]
            others = [row.places.all for rows in out if rows is not group for row in rows]
            shared = any(row.places.all & places for row in group for places in others)  # whose mood is whose?
            if moving and acts and not shared and not any(action.score.events for action in acts):
                text, score, _ = self._mood(words, _stretch(group, out, len(words)), group)
                if score is not None:
                    for row in group:
                        row.face = []
                    moving[0].face = [FaceAction(FaceClause(action=text), score, True)]
        return out

    def _joins(self, words: Sequence[str], places: range, before: list[_ClauseRow], group: list[_ClauseRow]) -> bool:
        """Whether all that a group does is a change of the face over what the group before it does."""
        if not any(row.moves for row in before):
            return False
        of_face = [action for row in group for action in row.face]
        if all(row.use == FACE for row in group):
            together = any(action.clause.together for action in of_face)
            return together or any(action.changes and not action.score.events for action in of_face)
        if not all(self._may_be_mood(row) for row in group):
            return False
        if not any(action.score.emotions for row in before for action in row.face):
            return False
        _, score, sure = self._mood(words, places, [row for row in before if row.moves])
        unsure = all(min(row.spec.similarity, 1.0) < sure for row in group)
        return unsure and score is not None and has_several(score)

    def _may_be_mood(self, row: _ClauseRow) -> bool:
        """Whether words that a body may do hold no place, turn or path, and no action of the face."""
        if row.use != BODY or row.clause.denied or row.clause.hold or row.spec.turn or row.spec.route:
            return False
        return not any(_moves_face(e.action) for e in self._read(row.core).score.events)

    def _mood(self, words: Sequence[str], places: range, rows: Sequence[_ClauseRow]) -> tuple[str, Score | None, float]:
        """The words at some places without those of the actions of a body, what changes in the feelings that they
        name, None where nothing does, and how sure that is.
        """
        acts = set().union(*(row.places.action for row in rows if row.moves))
        text = join_words([k for k in places if k not in acts], words)
        if not any(c.isalnum() for c in text):
            return text, None, 0.0
        _, score, sure = self._read(text)
        gradual = any(a.clause.course for row in rows for a in row.face) or any(
            row.clause.tempo in GRADUAL for row in rows
        )
        if sure < MIN_AGREEMENT or any(_moves_face(e.action) for e in score.events):
            return text, None, sure
        return text, mood_of(score, gradual), sure

    def compose(
        self, texts: str | Division | Sequence[str | Division],
        seconds: float | Sequence[float | None] | None = None, config: GenerationConfig = DEFAULT_CONFIG,
        seeds: Sequence[int] | None = None, progress: Progress = None, after: Motion | None = None,
    ) -> list[Composition]:  # fmt: skip
        """Bodies and scores of prompts; notes become warnings, too. Arguments and errors: `AvatarGPT.generate`."""
        if config.literal:
            raise UserError("literal words are read by no one; accepted for a body alone")
        several = [texts] if isinstance(texts, str | Division) else list(texts)
        divisions = [t if isinstance(t, Division) else self.divide(t) for t in several]
        results = self.generation.results([d.request for d in divisions], seconds, config, seeds, progress, after)
        out = []
        for k, result in enumerate(results):
            division = divisions[k // config.num]
            spans = division.spans(result)
            motion = replace(result.motion, notes=(*result.notes, *division.notes))
            seed = config.seed + k if seeds is None else seeds[k // config.num] + k % config.num
            out.append(Composition(division, motion, spans, division.score(spans, motion.seconds), seed))
        for note in dict.fromkeys(note for c in out for note in c.body.notes):
            warnings.warn(note, UnheededText, stacklevel=3)
        return out

    def find_denied(self, text: str) -> tuple[frozenset[str], str]:
        """Names of actions and feelings that a face shall not show ("no frown"), and what the words say besides: all of
        them where they deny nothing.
        """
        request = self.face.request(text)
        clauses = request.clauses if request is not None else []
        read = [self._read(c.action) for c in clauses if c.denied]
        if not read:
            return frozenset(), text
        names = frozenset(name for r in read if r.sure >= MIN_AGREEMENT for name in r.score.names)
        return names, ", then ".join(c.action for c in clauses if not c.denied)

    def names(self, text: str) -> frozenset[str]:
        """Names of the actions and feelings of a face that words ask for."""
        return frozenset(name for part in self.divide(text).parts for act in part.face for name in act.names)

    def perform(self, body: Motion, score: Score | None, seed: int = 0) -> AvatarMotion:
        """Body and face as one, T frames at 30 fps; `seed`: of blinks and idle movement."""
        body = body.resampled(FPS)
        face = self.face.perform(score=score, seconds=len(body) / FPS)
        return together(body, self.face.with_controls(face, LIVELY, score, seed))

    def _read(self, words: str) -> FaceReading:
        if words not in self._readings:
            (score,) = self.face.parser.read([words], self.face.reading)
            events = tuple(e for e in score.events if actions()[e.action].form != "neutral")
            emotions = tuple(f for f in score.emotions if f.name != "neutral")
            sure = self.face.parser.agreement(words) or 0.0
            if len(self._readings) >= MAX_REMEMBERED:
                self._readings.clear()
            self._readings[words] = FaceReading(replace(score, events=events, emotions=emotions), score, sure)
        return self._readings[words]

    def _look_up(self, clause: Clause) -> tuple[ClauseSpec, str]:
        """What the body knows of a clause, and the words of its action."""
        assert self.generation.model.grounder is not None
        (spec,) = self.index.look_up([clause], self.generation.model.grounder)
        return spec, lookup_of(clause).core or clause.action

    def _use(self, row: _ClauseRow) -> str:
        """Whose a clause is."""
        clause, spec, core = row.clause, row.spec, row.core
        score, _, sure = self._read(core)
        near = min(spec.similarity, 1.0)
        events, emotions = score.events, score.emotions
        if spec.known >= MIN_KNOWN:  # turns of the head alone may be either's
            events = tuple(e for e in events if _moves_face(e.action))
        if _is_named(row) and not events:
            emotions = ()
        empty = not (events or emotions)
        if clause.hold or spec.turn or spec.route or empty or sure < max(MIN_AGREEMENT, near):
            return BODY
        return BOTH if spec.known >= MIN_KNOWN else FACE

    def _action(self, clause: FaceClause, use: str, present: Set[str] = frozenset()) -> list[FaceAction]:
        """What of a clause the face shows, besides actions and feelings that are `present`."""
        score, _, sure = self._read(clause.action)
        events = () if use == BODY else score.events
        if use == BOTH:  # the body turns its own head
            events = tuple(e for e in events if _moves_face(e.action))
        events = tuple(e for e in events if e.action not in present)
        emotions = tuple(f for f in score.emotions if f.name not in present)
        action = FaceAction(clause, replace(score, events=events, emotions=emotions))
        return [action] if action.names and sure >= MIN_AGREEMENT else []

    def _throughout(self, text: str, outside: str, acts: Sequence[FaceAction]) -> tuple[Emotion, ...]:
        """Feelings that all words have from beginning to end, and a clause or the words outside of all clauses name: "a
        tired waitress"."""
        score, _, sure = self._read(text)
        lasting = [f for f in score.emotions if f.start < START and f.end >= score.length]
        if sure < MIN_AGREEMENT or not lasting:
            return ()
        around = self._read(outside).score.emotions if any(c.isalnum() for c in outside) else ()
        names = {f.name for f in around} | {name for act in acts if not act.changes for name in act.names}
        changing = {name for act in acts if act.changes for name in act.names}
        return tuple(f for f in lasting if f.name in names - changing)

    def _place_clauses(
        self, text: str, request: MotionRequest
    ) -> tuple[list[str], list[Places], list[tuple[FaceClause, Places]]]:
        """The words of a prompt, the places of each clause of its request, and the face's clauses with theirs."""
        words: list[str] = []
        faces: list[tuple[FaceClause, Places]] = []
        reads = self.index.reads
        clauses = [] if reads is None or request.clauses[0].action == text else [
            Places(_within(text, action), _within(text, every)) for action, every in reads.places(text)
        ]
        for part in parts_of(text):
            ((of_face, sure),) = self.reader.targets([part], "face")
            read = assemble_face(of_face, part, sure)
            rows = _places(of_face, len(words))
            faces += [*zip(read.clauses if read else [], rows, strict=True)]
            words += part
        if len(clauses) != len(request.clauses):  # an action that a user has added is a clause of all words
            clauses = [Places({*range(len(words))}, {*range(len(words))})]
        return words, clauses, faces

    def _plan_division(
        self, request: MotionRequest, words: Sequence[str], groups: Sequence[list[_ClauseRow]], text: str,
        feelings: tuple[Emotion, ...], constant: tuple[str, ...],
    ) -> Division:  # fmt: skip
        """The division of rows that are done at the same time, with a rest of the body where the face acts alone."""
        kept: list[Clause] = []
        bent: list[Clause] = []  # as they are resolved
        owner: dict[int, int] = {}  # identity of one of these -> number of its group
        for g, group in enumerate(groups):
            of_body = [row.clause for row in group if row.use != FACE]
            of_body = [c.model_copy(update={"together": c.together and bool(i)}) for i, c in enumerate(of_body)]
            steps = [c for clause in with_bends(of_body) for c in expand_clause(clause)]
            owner |= {id(c): g for c in steps}
            kept += of_body
            bent += steps
        moves = any(row.moves for group in groups for row in group)
        movements = self._resolve_clauses(request, bent, text) if moves else []
        of_group = [[s for s in movements if owner[id(s.clause)] == g] for g in range(len(groups))]
        specs: list[ClauseSpec] = []
        parts: list[DivisionPart] = []
        waiting: list[int] = []  # parts whose body does what the next movement shows, too
        for group, new in zip(groups, of_group, strict=True):
            face = tuple(action for row in group for action in row.face)
            places = set().union(*(row.places.all for row in group))
            phrase = join_words(range(min(places), max(places) + 1), words)
            if new:
                first = len(specs)
                specs += [_leave_to_face(s) for s in new] if face else new
                for k in waiting:
                    parts[k] = replace(parts[k], specs=(first, len(specs)))
                waiting = []
                parts.append(DivisionPart(phrase, (first, len(specs)), face))
            elif any(row.moves for row in group):
                waiting.append(len(parts))
                parts.append(DivisionPart(phrase, (0, 0), face))
            elif face:
                part = DivisionPart(phrase, (len(specs), len(specs) + 1), face, True)
                score = part.score()
                if specs and not (parts[-1].waits or parts[-1].face):
                    specs[-1] = _shorten_rest(specs[-1])
                rest = Clause(action="stand still", hold=True, seconds=1.0 if score is None else score.length)
                specs += self._resolve_clauses(request, [rest], "")
                parts.append(part)
        whole = request.model_copy(update={"clauses": kept or [Clause(action="stand still")]})
        resolved = ResolvedRequest(request.text, whole, tuple(specs), tuple(s.request for s in specs))
        return Division(resolved, tuple(parts), feelings, constant)

    def _resolve_clauses(self, request: MotionRequest, clauses: list[Clause], text: str) -> list[ClauseSpec]:
        assert self.generation.model.grounder is not None
        chosen = request.model_copy(update={"clauses": clauses, "text": text})
        return self.index.resolve(chosen, self.generation.model.grounder)


def _places(target: Target, first: int) -> list[Places]:
    """The places of each clause of a target, counted from `first` on."""
    out: list[Places] = []
    opening = False
    for token in target:
        if isinstance(token, int):
            out[-1].all.add(first + token)
            if opening:
                out[-1].action.add(first + token)
        elif token in OPEN:
            out.append(Places(set(), set()))
            opening = True
        else:
            opening = False
    return out


def _within(text: str, spans: Sequence[tuple[int, int]]) -> set[int]:
    """Which words of a text, by number, lie within spans of its characters."""
    return {i for i, (start, end) in enumerate(word_spans(text)) if any(a <= start and end <= b for a, b in spans)}


def _groups(rows: Sequence[_ClauseRow]) -> list[list[_ClauseRow]]:
    """Rows that are done at the same time."""
    out: list[list[_ClauseRow]] = []
    for row in rows:
        if row.clause.together and out:
            out[-1].append(row)
        else:
            out.append([row])
    return out


def _stretch(group: Sequence[_ClauseRow], groups: Sequence[Sequence[_ClauseRow]], count: int) -> range:
    """Places of the words of a group, of `count` in all: from the group before it in the words on, the last one to the
    end.
    """
    own = [place for row in group for place in row.places.all]
    others = [row.places.all for rows in groups for row in rows if row not in group]
    first = max((max(places) + 1 for places in others if max(places) < min(own)), default=0)
    return range(first, count if all(min(places) < max(own) for places in others) else max(own) + 1)


def _leave_to_face(spec: ClauseSpec) -> ClauseSpec:
    """A clause whose manner, where no caption has it, is the face's, so that no note says it is not shown."""
    if spec.clause is None or not spec.clause.style or spec.style:
        return spec
    return replace(spec, clause=spec.clause.model_copy(update={"style": ""}))


def _shorten_rest(spec: ClauseSpec) -> ClauseSpec:
    """A rest of no stated length as a short one, for the face goes on from it: "stops and smiles"."""
    if spec.clause is None or not spec.clause.hold or spec.clause.seconds is not None:
        return spec
    return replace(spec, clause=spec.clause.model_copy(update={"seconds": PAUSE}))


def _is_named(row: _ClauseRow) -> bool:
    """Whether the caption of a body's known action has all words of a clause's action."""
    return row.spec.known >= MIN_KNOWN and {*lemmas(row.core)} <= {*lemmas(row.spec.caption)}


def _moves_face(action: str) -> bool:
    """Whether an action visibly moves more than the head: who leans forward lowers the brows a little, too."""
    moves = actions()[action]
    poses = (moves.hold, *(key for _, key in moves.keys))
    return any(np.any(np.abs(pose[: arkit.COUNT]) > MIN_WEIGHT) for pose in poses)


def together(body: Motion, face: FaceMotion) -> AvatarMotion:
    """A body with a face of as many frames at the same rate; the face's head turns come on top of the body's."""
    rotations = turn_head(body.rotations.astype(np.float64), face.head)
    fingers = np.repeat(relax_fingers()[None], len(body), 0) if body.fingers is None else body.fingers
    motion = replace(body, rotations=rotations, modality="gesture", fingers=fingers, notes=())
    return AvatarMotion(motion, face, None, body.caption, body.notes)
