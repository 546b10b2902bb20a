"""`StepPipeline`: motion codes for the steps of a plan, clause by clause, with transitions between them."""
# A clause gets several candidates, of which the best is chosen and trimmed; in-between samples lead to it.

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from avatargpt.body.constraints import MotionSpec, constraint_cost
from avatargpt.body.model import onward, rank_candidates, sample_candidates, with_rests
from avatargpt.body.tasks import BodyTasks
from avatargpt.kinematics.measures import foot_skate, jerk
from avatargpt.lm.loaded import CHUNK, CONTEXT
from avatargpt.options import GenerationConfig, mix, then
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.clause_spec import AFTERWARDS, TURN, ClauseSpec, Turn, is_above, one_by_one
from avatargpt.requests.fidelity import doubts
from instruct_data.attributes import Measures
from instruct_data.requests.spec import Clause
from instruct_data.text.english import side_of

# lengths, in motion tokens
# of a clause whose length is not known, and of any clause
DEFAULT_TOKENS, MAX_TOKENS = 20, 40
MIN_TOKENS = 5  # of a clause
# of the usual time of the last clause; with less room it is not begun
MIN_LAST_SHARE = 0.75
TRANSITIONS = (2, 4, 6, 8)  # of transitions (0.4 to 1.6 s)
TRANSITION_SAMPLES = 4  # of each length
# on either side, for the judgement of a transition
SEAM_CONTEXT = 8
MAX_REST_TOKENS = 1  # of rest, at either end of a clip
# in which a clip that begins moving comes to its speed
ONSET_TOKENS = 1

NO_TIME = "the rest of the step has no time"  # note of a step that the end of a run cuts

# costs of transitions, in metres per frame^3 of jerk
FREE_JERK = 0.1  # without a cost
# for a metre of detour, sliding feet, and each token
STRAY_WEIGHT, SKATE_WEIGHT, TOKEN_WEIGHT = 0.2, 0.1, 0.001

# cost of a candidate for each metre between its first pose and the body's pose, in the scorer's cosine
POSE_COST = 1.0
# postures in which arms and head may act, and attributes of clauses for which they are left
HELD = ("sitting", "sitting_on_floor", "kneeling", "kneeling_left", "kneeling_right")
MOVING = ("direction", "distance", "rise", "support", "turn", "kneel")
# and for each metre by which it leaves the ground higher or lower, where its words do not
RISE_COST = 1.0

# metres of the root: below it the body sits, kneels or lies; standing it is at about 0.95
MAX_LOW_HEIGHT = 0.72
HEIGHT = 0  # channel of a pose
# metres per frame of the fastest joint: of a body at rest, and surely in motion
REST_SPEED, MOVING_SPEED = 0.012, 0.05
MIN_MOVING_SHARE = 0.3  # of a clip whose ends are trimmed


@dataclass(frozen=True)
class StepClause:
    """One clause of a step, generated in one piece."""

    step: int  # number of the step within its activity
    caption: str  # of the phrase index
    tokens: int  # length
    seed: int  # of its candidates
    turn: Turn | None = None  # where it is one
    action: str = ""  # of the caption, by which geometry knows it
    note: str = ""  # what of the step is not known, for the user
    clause: Clause | None = None  # as it was typed
    attributes: Mapping[str, str] = field(default_factory=dict)  # for the network and the scorer
    words: str = ""  # of the step
    known: float = 1.0  # probability that their action is a known one
    until: int = 0  # motion tokens of its activity after which it is to end; 0 = as it comes

    @property
    def spec(self) -> MotionSpec:
        """What a motion of it must keep to."""
        return MotionSpec(
            self.caption, self.tokens, self.turn, upper_body=is_above(self.action), action=self.action,
            clause=self.clause, attributes=self.attributes,
        )  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """Codes (N, R) for a clause and how well they show it, by the scorer's cosine (`body.model.rank_candidates`).

    `continues`: generated from the codes before it, without a transition.
    """

    codes: np.ndarray
    score: float
    continues: bool = False


@dataclass(frozen=True)
class ClauseCodes:
    """Codes (N, R) of a clause, the first `transition` of them from the motion before it."""

    clause: StepClause
    codes: np.ndarray
    transition: int
    note: str = ""  # for the user
    takes: int = 1  # how often it was made


def held_posture(clause: StepClause) -> dict[str, str]:
    """The attributes of a clause that is done in one posture, `HELD`; empty for others."""
    found = {k: clause.attributes.get(k, "") for k in ("start", "through", "end")}
    return found if len(set(found.values())) == 1 and found["start"] in HELD else {}


class StepPipeline:
    """Turns steps into codes that continue the codes before them."""

    def __init__(self, body: BodyTasks, config: GenerationConfig) -> None:
        self.body, self.config = body, config
        self.loaded, self.tokenizer = body.model.loaded, body.model.tokenizer
        self.rate = self.tokenizer.tokens_per_second

    def clauses(
        self, steps: Sequence[str], seed: int, room: int, seconds: Sequence[float] = ()
    ) -> Iterable[StepClause]:
        """The clauses of steps with their lengths, as many as `room` tokens hold; the last one fills the room.

        Args:
            seconds: of each step, shared among its clauses; empty = the usual lengths of such clauses.
        """
        # lazily: the first frames need the first step only
        pending: StepClause | None = None
        for clause in self._run_unbounded(steps, seed, seconds):
            if pending is None:
                pending = replace(clause, tokens=max(min(clause.tokens, room), MIN_TOKENS))
                continue
            left = room - pending.tokens - (0 if seconds else TRANSITIONS[0])  # timed clauses hold their transitions
            if left < max(MIN_LAST_SHARE * clause.tokens, MIN_TOKENS):
                if clause.step == pending.step:
                    pending = replace(pending, note="; ".join(filter(None, (pending.note, NO_TIME))))
                break
            yield pending
            room = left
            pending = replace(clause, tokens=max(min(clause.tokens, room), MIN_TOKENS))
        else:
            if pending is not None:
                yield pending
            return
        yield replace(pending, tokens=min(max(room, pending.tokens), MAX_TOKENS))

    def _run_unbounded(self, steps: Sequence[str], seed: int, seconds: Sequence[float]) -> Iterable[StepClause]:
        rng, count = np.random.default_rng([seed % 2**32, 11]), 0
        ends = np.cumsum(seconds) * self.rate
        for number, step in enumerate(steps):
            specs, grounder = [*one_by_one(self.body.model.resolve(step).clauses)], self.body.model.grounder
            unsure = [""] * len(specs) if grounder is None else doubts(specs, grounder)
            until, parts = 0.0, 1
            for row, (spec, doubt) in enumerate(zip(specs, unsure, strict=True), 1):
                tokens: float = int(rng.choice(spec.lengths)) if spec.lengths else DEFAULT_TOKENS
                if seconds:
                    tokens = seconds[number] * self.rate / len(specs)
                    until = float(ends[number]) - (len(specs) - row) * tokens
                    parts = math.ceil(tokens / MAX_TOKENS)  # what takes longer is made in several pieces
                for part in range(1, parts + 1):
                    yield StepClause(
                        number, spec.bent_caption, max(min(round(tokens / parts), MAX_TOKENS), MIN_TOKENS),
                        mix(seed, count), spec.turn, spec.action, self._note(spec, doubt), spec.clause,
                        spec.attributes, spec.words, spec.known, round(until - (parts - part) * tokens / parts),
                    )  # fmt: skip
                    count += 1

    def find_bridge(self, words: str, clause: StepClause, note: str, **measured: str) -> StepClause | None:
        """A clause to come before another: of those that were measured so, the likest to words; None where none is."""
        index, grounder = self.body.model.phrase_index, self.body.model.grounder
        if index is None or grounder is None:
            return None
        known = [index.measured.get(c[""], {}) for c in index.captions]
        rows = [i for i, found in enumerate(known) if measured.items() <= found.items()]
        if not rows:
            return None
        row = rows[int((index.index.vectors_of(np.array(rows)) @ grounder.sentence([words])[0]).argmax())]
        caption = index.captions[row][""]
        tokens = min(int(np.median(index.lengths.get(caption, [DEFAULT_TOKENS]))), MAX_TOKENS)
        return StepClause(
            clause.step, caption, tokens, clause.seed, action=index.classes[row], note=note, attributes=known[row]
        )

    def hold_posture(self, clause: StepClause, posture: str) -> tuple[StepClause, list[Candidate]] | None:
        """A clause whose clips stand, done in the posture in which a body is; None where it goes somewhere, or where
        not even half of the candidates stay in the posture: legs are needed then.
        """
        free = not any(clause.attributes.get(k) for k in MOVING) and clause.turn is None
        if posture not in HELD or not free or clause.attributes.get("start", posture) not in (posture, "standing"):
            return None
        own = {k: v for k, v in clause.attributes.items() if k not in ("start", "through", "end")}
        held = replace(clause, attributes={**own, "start": posture, "through": posture, "end": posture})
        candidates, made = [], self.candidates([held])[0]
        for candidate in made:
            seen = Measures.of(self.tokenizer.decode(candidate.codes))
            last = len(seen.joints) - 1
            if all(seen.posture(frame) == posture for frame in (last // 2, last)):
                candidates.append(candidate)
        return (held, candidates) if 2 * len(candidates) >= len(made) else None

    @staticmethod
    def _note(spec: ClauseSpec, doubt: str) -> str:
        """What of a clause is not shown, or shown as something else; empty = nothing."""
        lost = [doubt]
        if spec.words and spec.turn is None and spec.known < MIN_KNOWN:
            lost.append(f"{spec.words!r} is not known; shown instead: {spec.caption!r}")
        elif spec.in_sequence:
            lost.append(f"{spec.words!r} is {AFTERWARDS}")
        if spec.route is not None and spec.route.shape != TURN:
            lost.append(f"the way {spec.route.description} is not shown")
        if spec.concurrent is not None:
            lost.append(f"{spec.concurrent.words!r} is not shown at the same time")
        side = spec.clause.side if spec.clause is not None else None
        if side in ("left", "right") and {side, side_of(spec.caption)} == {"left", "right"}:
            lost.append(f"shown to the {side_of(spec.caption)}: {spec.caption!r}")
        return "; ".join(filter(None, lost))

    def candidates(self, clauses: Sequence[StepClause]) -> list[list[Candidate]]:
        """For every clause `best_of` motions from its caption and attributes alone, in one batch."""
        model, config = self.body.model, self.config
        tokens, seeds = [c.tokens for c in clauses], [c.seed for c in clauses]
        samples = sample_candidates(
            model, [c.caption for c in clauses], tokens, seeds, config, [c.attributes for c in clauses]
        )
        samples = with_rests(model, samples, [c.turn for c in clauses], tokens, seeds, config)
        return self._score_samples(samples, clauses)

    def continuations(self, clause: StepClause, tail: np.ndarray) -> list[Candidate]:
        """`best_of` motions that continue `tail` (N, R) without a transition."""
        slots = {"motion": tail[-CONTEXT:], "seconds": clause.tokens / self.rate, "caption": clause.caption}
        if clause.attributes:
            slots["attributes"] = onward(clause.attributes, "", keeps=False)
        samples = self.loaded.sample(
            [self.loaded.prompt("continuation", slots)], [clause.tokens], [mix(clause.seed, 1)], self.config.best_of,
            self.config.guidance, self.config.temperature, 30,
        )  # fmt: skip
        return [replace(c, continues=True) for c in self._score_samples(samples, [clause])[0]]

    def _score_samples(self, samples: list[list[np.ndarray]], clauses: Sequence[StepClause]) -> list[list[Candidate]]:
        model, out = self.body.model, []
        for clause, row, motions in zip(clauses, samples, model.candidate_motions(samples), strict=True):
            cost, count = partial(constraint_cost, spec=clause.spec), len(row)
            scores = rank_candidates(
                model, row, motions, [clause.caption] * count, [cost] * count, [clause.attributes] * count
            )
            out.append([Candidate(codes, float(score)) for codes, score in zip(row, scores, strict=True)])
        return out

    def choose(
        self, clause: StepClause, candidates: Sequence[Candidate], tail: np.ndarray,
        detour: Callable[[np.ndarray], float],
    ) -> ClauseCodes:  # fmt: skip
        """The best candidate with a transition to it: it shows the caption, begins near the body's pose, and stays.

        Args:
            candidates: of this clause.
            tail: (N, R) codes before it, empty at the start of a stream.
            detour: cost of a candidate's path, in the scorer's cosine.
        """
        if not len(tail):
            shown = self._decode_codes([c.codes for c in candidates])
            values = [
                c.score - detour(c.codes) - RISE_COST * self.measure_rise(x, clause)
                for c, x in zip(candidates, shown, strict=True)
            ]
            first = int(np.argmax(values))
            return ClauseCodes(clause, self.trim_rests(candidates[first].codes, shown[first], clause.until > 0), 0)
        pose = self.poses(self._decode_codes([tail[-CONTEXT:]])[0])[-1]
        pool = list(candidates)
        if pose[HEIGHT] < MAX_LOW_HEIGHT:
            pool += self.continuations(clause, tail)
        decoded = self._decode_codes([c.codes for c in pool])
        scores = []
        for c, features in zip(pool, decoded, strict=True):
            distance = 0.0 if c.continues else float(np.abs(self.poses(features[:1])[0] - pose).mean())
            cost = POSE_COST * distance + RISE_COST * self.measure_rise(features, clause)
            scores.append(c.score - cost - detour(c.codes))
        row = int(np.argmax(scores))
        best = pool[row]
        codes = self.trim_rests(best.codes, decoded[row], clause.until > 0, after_transition=not best.continues)
        if best.continues:
            return ClauseCodes(clause, codes, 0)
        transition = self.transition(tail, codes, clause.seed)
        return ClauseCodes(clause, np.concatenate([transition, codes]), len(transition))

    def measure_rise(self, features: np.ndarray, clause: StepClause) -> float:
        """Metres that the ground rises or falls in features (T, 270), against the words of a clause."""
        ground = float(features[:, self.tokenizer.spec.slices().get("rise", slice(0))].sum())
        return {"up": max(-ground, 0.0), "down": max(ground, 0.0)}.get(clause.attributes.get("rise", ""), abs(ground))

    def _decode_codes(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Features (T, 270) of codes (N, R) of one length."""
        return list(self.tokenizer.decode_features(np.stack(codes)))

    def trim_rests(
        self, codes: np.ndarray, features: np.ndarray, timed: bool = False, after_transition: bool = False
    ) -> np.ndarray:
        """Without the rest at either end, but for `MAX_REST_TOKENS`; at least `MIN_TOKENS`.

        Motion that rests most of the time (waiting, sitting) is left as it is.

        Args:
            codes: (N, R). features: theirs, (T, 270). timed: it keeps its length.
            after_transition: a transition leads to it.
        """
        velocity = features[:, self.tokenizer.spec.slices()["joint_velocity"]].reshape(len(features), -1, 3)
        speed = np.linalg.norm(velocity, axis=-1).max(1).reshape(len(codes), -1)  # metres a frame, the fastest joint
        moving = np.flatnonzero(speed.max(1) > REST_SPEED)
        first, last = 0, len(codes)
        if not timed and len(moving) >= MIN_MOVING_SHARE * len(codes):
            first = max(0, int(moving[0]) - MAX_REST_TOKENS)
            last = min(len(codes), int(moving[-1]) + 1 + MAX_REST_TOKENS)
            last = min(len(codes), max(last, first + MIN_TOKENS))
        # A clip's first frame has no velocity, also where a recording was cut in the midst of a movement. After other
        # motion that is a jolt, and coming to speed is what the transition is for.
        fits = last >= ONSET_TOKENS + MIN_TOKENS
        if after_transition and not first and fits and speed[1].mean() > MOVING_SPEED:
            first = ONSET_TOKENS
        return codes[first:last]

    def transition(self, tail: np.ndarray, head: np.ndarray, seed: int) -> np.ndarray:
        """In-between tokens (N, R) from `tail` to `head`, N of `TRANSITIONS`: the least visible of all samples."""
        ends = {"start": tail[-CONTEXT:], "end": head[:CONTEXT]}
        prompts = [self.loaded.prompt("in_between", {**ends, "seconds": n / self.rate}) for n in TRANSITIONS]
        seeds = [mix(seed, 2)] * len(TRANSITIONS)
        samples = self.loaded.sample(prompts, list(TRANSITIONS), seeds, TRANSITION_SAMPLES, 1.0, 0.7, 30)
        before, after = tail[-SEAM_CONTEXT:], head[:SEAM_CONTEXT]
        costs = []
        for row in samples:  # of one length
            features = self._decode_codes([np.concatenate([before, codes, after]) for codes in row])
            costs += [self._visibility(x, len(before), len(before) + len(row[0])) for x in features]
        return [codes for row in samples for codes in row][int(np.argmin(costs))]

    def _visibility(self, features: np.ndarray, start: int, stop: int) -> float:
        """Cost of a transition (metres per frame^3): jerk, sliding feet, detour from the straight way, and length.

        Args:
            features: (T, 270) of it and its surroundings. start, stop: its tokens.
        """
        tokenizer = self.tokenizer
        a, b, fps = start * tokenizer.downsample, stop * tokenizer.downsample, tokenizer.spec.fps
        joints = tokenizer.spec.decode(features).joints[max(0, a - 6) : b + 6]
        poses = self.poses(features)[a - 1 : b + 1]
        detour = poses - np.linspace(poses[0], poses[-1], len(poses))
        stray = np.linalg.norm(detour[:, 1:].reshape(len(poses), -1, 3), axis=-1).mean()
        peak = max(0.0, float(jerk(joints, fps).max()) - FREE_JERK)
        cost = peak + SKATE_WEIGHT * foot_skate(joints, fps) + STRAY_WEIGHT * float(stray)
        return cost + TOKEN_WEIGHT * (stop - start)

    def poses(self, features: np.ndarray) -> np.ndarray:
        """(T, 64) of features (T, 270), metres: the root's height, the joints around it (heading frame)."""
        groups = self.tokenizer.spec.slices()
        return np.concatenate([features[:, groups["height"]], features[:, groups["positions"]]], -1)

    def describe(self, codes: np.ndarray) -> str:
        """The model's description of (N, R) codes, see `AvatarGPT.describe`."""
        return then(self.body.description.best(np.array_split(codes, -(-len(codes) // (CHUNK + CONTEXT))), best_of=4))
