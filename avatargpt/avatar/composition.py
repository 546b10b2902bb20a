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
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from avatargpt.avatar.pipeline import FPS, turned_head
from avatargpt.body.generate import DEFAULT_CONFIG, GenerationResult, MotionGeneration, Progress
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.audio_model.controls import LIVELY
from avatargpt.face.instructions.parser import MIN_AGREEMENT, similarity
from avatargpt.face.instructions.scores import arrange, joined_score
from avatargpt.face.pipeline import MIN_CERTAINTY_READABLE, FacePipeline
from avatargpt.options import GenerationConfig, UnheededText, check_text
from avatargpt.requests.clause_spec import MIN_KNOWN, ClauseSpec, lookup_of
from avatargpt.requests.english import lemmas
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.reader import OPEN, RequestReader, assembled_face, joined_words
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.face.actions import actions
from instruct_data.face.described import described
from instruct_data.face.score import Emotion, Score
from instruct_data.requests.pairs import Target
from instruct_data.requests.spec import Clause, FaceClause, FaceRequest, MotionRequest
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.features import relaxed
from vqvae.motion import Motion

BODY, FACE, BOTH = "body", "face", "both"
MIN_SIMILARITY = 0.7  # of a phrasing to the words, from which its action is theirs though they name a feeling
MIN_WEIGHT = 0.1  # of a blendshape that an action is seen to move
MIN_SECONDS = 0.5  # of a part in which a face acts
START = 0.25  # s within which what lasts throughout begins
PAUSE = 1.5  # s of a stop before the face acts
# Times of a clause within all of the face's; here the clauses of the body are its clock.
UNTIMED: dict[str, Any] = dict.fromkeys(("at", "until", "wait", "from_share", "to_share", "moment")) | {"word": ""}
MAX_REMEMBERED = 1000  # readings


class Reading(NamedTuple):
    """What the parser reads in words besides rest, and how surely, 0..1."""

    score: Score
    sure: float


class FaceAction(NamedTuple):
    """A clause of the face and what of it is shown."""

    clause: FaceClause
    score: Score

    @property
    def names(self) -> list[str]:
        """Of its actions and feelings."""
        return self.score.names

    @property
    def lasts(self) -> bool:
        """Whether it goes on as long as the body acts: held actions and rhythms, not a wink or a nod."""
        forms = {actions()[e.action].form for e in self.score.events if e.repeat == 1}
        return forms <= {"hold", "cycle"} and len(forms) <= 1


@dataclass(frozen=True)
class Part:
    """What is done at one time.

    Attributes:
        specs: places [first, end) in `Division.specs`. face: empty = it does nothing.
        waits: whether the body keeps its posture for the face.
    """

    words: str
    specs: tuple[int, int]
    face: tuple[FaceAction, ...] = ()
    waits: bool = False

    def score(self, seconds: float | None = None) -> Score | None:
        """The face's score from second 0 on; None where there is none, or no room for it."""
        if not self.face:
            return None
        scores, clauses = {}, []
        for k, (clause, score) in enumerate(self.face):
            name = f"{k} {clause.action}"
            whole = not self.waits and self.face[k].lasts and clause.seconds is None
            together = bool(k) and (clause.together or not self.waits)
            change = UNTIMED | {"action": name, "together": together, "until_end": clause.until_end or whole}
            clauses.append(clause.model_copy(update=change))
            scores[name] = score
        return arrange(FaceRequest(clauses=clauses, text=self.words), scores.__getitem__, seconds)


@dataclass(frozen=True)
class Division:
    """A prompt divided into what a body and what a face does.

    Attributes:
        parts: one after another. feelings: of all of it ("a tired waitress").
    """

    request: ResolvedRequest
    parts: tuple[Part, ...]
    feelings: tuple[Emotion, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each clause of the face that names another time than its place among the body's clauses."""
        clauses = [a.clause for part in self.parts for a in part.face if a.clause.sure >= MIN_CERTAINTY_READABLE]
        timed = [c for c in clauses if c.word or any(x is not None for x in (c.at, c.until, c.from_share, c.to_share))]
        return tuple(f"{c.action!r}: its time is not kept; it comes in the order of the words" for c in timed)

    @property
    def lines(self) -> list[str]:
        """A line for each part: its words, the captions of the body, and the description of the face."""
        out = [f"{row['words']} -> body: {row['body']}" + f"; face: {row['face']}" * bool(row["face"])
               for row in self.rows]  # fmt: skip
        words = ", ".join(f.name for f in self.feelings)
        return [*out, *([f"all of it -> face: {words}"] if words else [])]

    @property
    def rows(self) -> list[dict[str, str]]:
        """``words``, ``body`` and ``face`` of each part."""
        out = []
        for part in self.parts:
            captions = [s.request for s in self.request.clauses[slice(*part.specs)]]
            body = "keeps its posture" if part.waits else ", then ".join(captions)
            face = ", ".join(described(action.score) for action in part.face)
            out.append({"words": part.words, "body": body, "face": face})
        return out

    def score(self, spans: Sequence[tuple[float, float]], seconds: float) -> Score | None:
        """The face's score, with each part in its span (start, end) in seconds; None where the face does nothing."""
        throughout = tuple(replace(f, start=0.0, end=seconds) for f in self.feelings)
        parts = [(0.0, Score(seconds, emotions=throughout))]
        for part, (start, end) in zip(self.parts, spans, strict=True):
            if (score := part.score(max(end - start, MIN_SECONDS))) is not None:
                emotions = tuple(f for f in score.emotions if f.name not in {t.name for t in throughout})
                parts.append((start, replace(score, emotions=emotions)))
        return joined_score(parts, seconds, self.request.text)

    def spans(self, result: GenerationResult) -> tuple[tuple[float, float], ...]:
        """The span of each part in seconds; equal shares where the body had no room for one after another."""
        motion, count = result.motion, len(self.parts)
        if len(result.spans) != len(self.request.clauses):
            return tuple((k * motion.seconds / count, (k + 1) * motion.seconds / count) for k in range(count))
        rows = [(result.spans[p.specs[0]][0], result.spans[p.specs[1] - 1][1]) for p in self.parts]
        return tuple((start / motion.fps, end / motion.fps) for start, end in rows)


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
        self._readings: dict[str, Reading] = {}

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
        words, clauses, faces = self._placed(text, request)
        looked_up = [self._looked_up(c) for c in request.clauses]
        uses = [BODY if clause.denied else self._use(clause, spec, core)
                for clause, (spec, core) in zip(request.clauses, looked_up, strict=True)]  # fmt: skip
        actions_of: list[list[FaceAction]] = [[] for _ in uses]
        for of_face, places in faces:
            k = max(range(len(uses)), key=lambda i: len(clauses[i].all & places))
            if not request.clauses[k].denied and not of_face.denied:
                acts = bool(places & clauses[k].action)
                # the parser hears anger in crossed arms; of words that name the body's action alone nothing is shown
                if not (uses[k] == BODY and _is_named(*looked_up[k]) and places & clauses[k].all <= clauses[k].action):
                    actions_of[k] += self._action(of_face, uses[k] if acts else FACE)
        for k, (clause, use) in enumerate(zip(request.clauses, uses, strict=True)):
            if use != BODY and not actions_of[k]:
                core = lookup_of(clause).core
                actions_of[k] += self._action(FaceClause(action=core), use)
            elif use == BODY and clause.style and not clause.denied:
                present = {name for action in actions_of[k] for name in action.names}
                actions_of[k] += self._action(FaceClause(action=clause.style), BOTH, present)
        taken = set().union(*(p.all for p, use in zip(clauses, uses, strict=True) if use == FACE))
        outside = " ".join(w for i, w in enumerate(words) if not any(i in p.all for p in clauses))
        rest = " ".join(w for i, w in enumerate(words) if i not in taken)
        feelings = self._throughout(text, outside, [act for acts in actions_of for act in acts])
        return self._planned(request, uses, actions_of, rest, feelings, partial(_phrase, words, clauses))

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

    def denied(self, text: str) -> frozenset[str]:
        """Names of actions and feelings that a face shall not show, where words say nothing else: "no frown"."""
        request = self.face.request(text)
        clauses = request.clauses if request is not None else []
        if not all(c.denied for c in clauses):
            return frozenset()
        read = [self._read(c.action) for c in clauses]
        return frozenset(name for r in read if r.sure >= MIN_AGREEMENT for name in r.score.names)

    def perform(self, body: Motion, score: Score | None, seed: int = 0) -> AvatarMotion:
        """Body and face as one, T frames at 30 fps; `seed`: of blinks and idle movement."""
        body = body.resampled(FPS)
        face = self.face.perform(score=score, seconds=len(body) / FPS)
        return together(body, self.face.with_controls(face, LIVELY, score, seed))

    def _read(self, words: str) -> Reading:
        if words not in self._readings:
            (score,) = self.face.parser.read([words], self.face.reading)
            events = tuple(e for e in score.events if actions()[e.action].form != "neutral")
            emotions = tuple(f for f in score.emotions if f.name != "neutral")
            sure = self.face.parser.agreement(words) or 0.0
            if len(self._readings) >= MAX_REMEMBERED:
                self._readings.clear()
            self._readings[words] = Reading(replace(score, events=events, emotions=emotions), sure)
        return self._readings[words]

    def _looked_up(self, clause: Clause) -> tuple[ClauseSpec, str]:
        """What the body knows of a clause, and the words of its action."""
        assert self.generation.model.grounder is not None
        (spec,) = self.index.look_up([clause], self.generation.model.grounder)
        return spec, lookup_of(clause).core or clause.action

    def _use(self, clause: Clause, spec: ClauseSpec, core: str) -> str:
        """Whose a clause is that is looked up as `spec` by the words `core`."""
        score, sure = self._read(core)
        near = min(spec.similarity, 1.0)
        events, emotions = score.events, score.emotions
        if spec.known >= MIN_KNOWN:  # turns of the head alone may be either's
            events = tuple(e for e in events if _moves_face(e.action))
        if _is_named(spec, core) and not events:
            emotions = ()
        empty = not (events or emotions)
        if clause.hold or spec.turn or spec.route or empty or sure < max(MIN_AGREEMENT, near):
            return BODY
        # a feeling goes with any action that is near; the caption may be of these very words
        goes_with = spec.similarity >= MIN_SIMILARITY if not events else _is_named(spec, core)
        if spec.known >= MIN_KNOWN and goes_with:
            return BOTH
        # a phrasing that is far from the words may be known all the same ("smile": "wave and smile")
        if spec.known * near < MIN_AGREEMENT:
            return FACE
        return BOTH if similarity(score, self._read(spec.caption).score) >= MIN_AGREEMENT else FACE

    def _action(self, clause: FaceClause, use: str, present: Set[str] = frozenset()) -> list[FaceAction]:
        """What of a clause the face shows, besides actions and feelings that are `present`."""
        score, sure = self._read(clause.action)
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
        score, sure = self._read(text)
        lasting = [f for f in score.emotions if f.start < START and f.end >= score.length]
        if sure < MIN_AGREEMENT or not lasting:
            return ()
        around = self._read(outside).score.emotions if any(c.isalnum() for c in outside) else ()
        names = {f.name for f in around} | {name for act in acts for name in act.names}
        return tuple(f for f in lasting if f.name in names)

    def _placed(
        self, text: str, request: MotionRequest
    ) -> tuple[list[str], list[Places], list[tuple[FaceClause, set[int]]]]:
        """The words of a prompt, the places of each clause of its request, and the face's clauses with theirs."""
        words: list[str] = []
        clauses: list[Places] = []
        faces: list[tuple[FaceClause, set[int]]] = []
        for part, target, _ in self.reader.places(text):
            clauses += _places(target, len(words))
            ((of_face, sure),) = self.reader.targets([part], "face")
            read = assembled_face(of_face, part, sure)
            rows = _places(of_face, len(words))
            faces += [(c, p.all) for c, p in zip(read.clauses if read else [], rows, strict=True)]
            words += part
        if len(clauses) != len(request.clauses):  # an action that a user has added is a clause of all words
            clauses = [Places({*range(len(words))}, {*range(len(words))})]
        return words, clauses, faces

    def _planned(
        self, request: MotionRequest, uses: Sequence[str], actions_of: Sequence[Sequence[FaceAction]], text: str,
        feelings: tuple[Emotion, ...], phrase: Callable[[list[int]], str],
    ) -> Division:  # fmt: skip
        """The division, with a rest of the body where the face acts alone; `phrase`: the words of clauses."""
        rows: list[tuple[str, tuple[FaceAction, ...], int, int]] = []
        kept: list[Clause] = []
        count = 0  # movements of the clauses so far
        for group in _groups(request.clauses):
            of_body = [request.clauses[k] for k in group if uses[k] != FACE]
            kept += [c.model_copy(update={"together": c.together and bool(i)}) for i, c in enumerate(of_body)]
            before = count
            if any(not c.denied for c in of_body):
                count = len(self._resolved(request, kept, ""))
                before = min(before, count - 1)  # a posture may be kept by the same movement as the part before
            face = tuple(a for k in group for a in actions_of[k])
            if face or before < count:
                rows.append((phrase(group), face, before, count))
        movements = self._resolved(request, kept, text) if count else []
        specs: list[ClauseSpec] = []
        parts: list[Part] = []
        positions: list[int] = []  # of movements among the specs
        for words, face, start, end in rows:
            if start == end:
                part = Part(words, (len(specs), len(specs) + 1), face, True)
                score = part.score()
                if specs and not (parts[-1].waits or parts[-1].face):
                    specs[-1] = _paused(specs[-1])
                rest = Clause(action="stand still", hold=True, seconds=1.0 if score is None else score.length)
                specs += self._resolved(request, [rest], "")
            else:
                new = movements[len(positions) : end]
                positions += range(len(specs), len(specs) + len(new))
                specs += [_shown_by_face(s) for s in new] if face else new
                part = Part(words, (positions[start], positions[end - 1] + 1), face)
            parts.append(part)
        whole = request.model_copy(update={"clauses": kept or [Clause(action="stand still")]})
        resolved = ResolvedRequest(request.text, whole, tuple(specs), tuple(s.request for s in specs))
        return Division(resolved, tuple(parts), feelings)

    def _resolved(self, request: MotionRequest, clauses: list[Clause], text: str) -> list[ClauseSpec]:
        assert self.generation.model.grounder is not None
        chosen = request.model_copy(update={"clauses": clauses, "text": text})
        return self.index.resolve(chosen, self.generation.model.grounder)


class Places(NamedTuple):
    """Places of a clause's words."""

    all: set[int]
    action: set[int]


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


def _phrase(words: Sequence[str], clauses: Sequence[Places], group: Sequence[int]) -> str:
    """The words of some clauses, from the first to the last."""
    places = set().union(*(clauses[k].all for k in group))
    return joined_words(range(min(places), max(places) + 1), words)


def _groups(clauses: Sequence[Clause]) -> list[list[int]]:
    """Numbers of clauses that are done at the same time."""
    out: list[list[int]] = []
    for k, clause in enumerate(clauses):
        if clause.together and out:
            out[-1].append(k)
        else:
            out.append([k])
    return out


def _shown_by_face(spec: ClauseSpec) -> ClauseSpec:
    """A clause whose manner, where no caption has it, is the face's, so that no note says it is not shown."""
    if spec.clause is None or not spec.clause.style or spec.style:
        return spec
    return replace(spec, clause=spec.clause.model_copy(update={"style": ""}))


def _paused(spec: ClauseSpec) -> ClauseSpec:
    """A rest of no stated length as a short one, for the face goes on from it: "stops and smiles"."""
    if spec.clause is None or not spec.clause.hold or spec.clause.seconds is not None:
        return spec
    return replace(spec, clause=spec.clause.model_copy(update={"seconds": PAUSE}))


def _is_named(spec: ClauseSpec, core: str) -> bool:
    """Whether the caption of a body's known action has all words of a clause's action."""
    return spec.known >= MIN_KNOWN and {*lemmas(core)} <= {*lemmas(spec.caption)}


def _moves_face(action: str) -> bool:
    """Whether an action visibly moves more than the head: who leans forward lowers the brows a little, too."""
    moves = actions()[action]
    poses = (moves.hold, *(key for _, key in moves.keys))
    return any(np.any(np.abs(pose[: arkit.COUNT]) > MIN_WEIGHT) for pose in poses)


def together(body: Motion, face: FaceMotion) -> AvatarMotion:
    """A body with a face of as many frames at the same rate; the face's head turns come on top of the body's."""
    rotations = turned_head(body.rotations.astype(np.float64), face.head)
    fingers = np.repeat(relaxed()[None], len(body), 0) if body.fingers is None else body.fingers
    motion = replace(body, rotations=rotations, modality="gesture", fingers=fingers, notes=())
    return AvatarMotion(motion, face, None, body.caption, body.notes)
