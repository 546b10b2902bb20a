"""Acts steps out: candidates of codes for every step, the best of them, and the transition that leads to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatargpt.body.candidates import turn_cost, with_rests
from avatargpt.body.tasks import Body
from avatargpt.kinematics.measures import foot_skate, jerk
from avatargpt.lm.loaded import CHUNK, CONTEXT
from avatargpt.options import GenerationConfig, mix, then
from avatargpt.requests.clause_spec import Turn

USUAL, LONGEST = 20, 40  # motion tokens of a clause whose length is not known, and of any clause
SHORTEST = 5  # motion tokens of a clause at least
ENOUGH = 0.75  # share of its usual time that the last clause gets at least; else it is not begun
TRANSITIONS = (2, 4, 6, 8)  # in-between tokens (0.4 to 1.6 s)
BRIDGES = 4  # samples of a transition of each length
NEAR = 8  # tokens on either side that a transition is judged with
ROUGH = 0.1  # jerk (metres per frame^3) that a transition may have at its peak
STRAYING, SLIDING, WAITING = 0.2, 0.1, 0.001  # jerk that a metre of detour, feet that slide and a token more weigh
LOW = 0.72  # metres: with the root below this the body sits, kneels or lies; standing it is at about 0.95
HEIGHT = 0  # of a pose
RESTING = 0.012  # metres per frame: a body whose fastest joint is slower than this rests
KEPT = 1  # tokens of rest that are left at either end
MOVING = 0.05  # metres per frame: a clip whose fastest joint is faster than this in its second token begins moving
LEAP = 1  # tokens in which such a clip comes to its speed
MOSTLY = 0.3  # share of a clip that must be motion before its ends are trimmed
APART = 3.0  # nats for each metre that a candidate begins away from the body's pose
SKATING = 0.5  # nats for feet that slide all the time


@dataclass(frozen=True)
class Beat:
    """One clause of a step: what is made in one go.

    Attributes:
        step: number of the step within its activity.
        caption: plain words. tokens: how long.
        seed: of its candidates.
        turn: the turn that it is.
    """

    step: int
    caption: str
    tokens: int
    seed: int
    turn: Turn | None = None


@dataclass(frozen=True)
class Candidate:
    """Codes (N, R) for a beat and the mean log-likelihood (nats) of its caption; `continues`: goes on from before."""

    codes: np.ndarray
    score: float
    continues: bool = False


@dataclass(frozen=True)
class Made:
    """Codes (N, R) of a beat, the first `transition` of them leading over from what came before.

    `note`: what a person should know of it, else empty.
    """

    beat: Beat
    codes: np.ndarray
    transition: int
    note: str = ""


class Performer:
    """Turns steps into codes that go on from the codes before them.

    Args:
        body: of which motion, likelihoods and descriptions are asked.
        config: `best_of` candidates of each kind, guidance and temperature.
    """

    def __init__(self, body: Body, config: GenerationConfig) -> None:
        self.body, self.config = body, config
        self.loaded, self.tokenizer = body.model.loaded, body.model.tokenizer
        self.rate = self.tokenizer.tokens_per_second

    def beats(self, steps: Sequence[str], seed: int, room: int, seconds: Sequence[float] = ()) -> Iterable[Beat]:
        """The clauses of steps with their lengths, as many as `room` tokens hold; the last one fills what is left.

        A step is put into plain words when its turn comes, for the first frames wait for the first step only. A step
        for which less than `ENOUGH` of its usual time would be left is not begun: the one before it lasts longer.

        Args:
            seconds: of each step, shared among its clauses; empty = as long as such clauses usually are.
        """
        held: Beat | None = None
        for beat in self._asked(steps, seed, seconds):
            if held is None:
                held = replace(beat, tokens=max(min(beat.tokens, room), SHORTEST))
                continue
            left = room - held.tokens - TRANSITIONS[0]
            if left < max(ENOUGH * beat.tokens, SHORTEST):
                break
            yield held
            room = left
            held = replace(beat, tokens=max(min(beat.tokens, room), SHORTEST))
        else:
            if held is not None:
                yield held
            return
        yield replace(held, tokens=min(max(room, held.tokens), LONGEST))

    def _asked(self, steps: Sequence[str], seed: int, seconds: Sequence[float]) -> Iterable[Beat]:
        """The clauses of steps, as long as they like to be."""
        rng, made = np.random.default_rng([seed % 2**32, 11]), 0
        for number, step in enumerate(steps):
            clauses = self.body.model.clauses(step)
            for plain in clauses:
                usual = int(rng.choice(plain.lengths)) if plain.lengths else USUAL
                if seconds:
                    usual = round(seconds[number] * self.rate / len(clauses))
                yield Beat(number, plain.bent_caption, max(min(usual, LONGEST), SHORTEST), mix(seed, made), plain.turn)
                made += 1

    def candidates(self, beats: Sequence[Beat]) -> list[list[Candidate]]:
        """For every beat `best_of` motions made from its caption alone, in one batch."""
        prompts = [
            self.loaded.prompt("text_to_motion", {"caption": b.caption, "seconds": b.tokens / self.rate})
            for b in beats
        ]  # fmt: skip
        config, tokens, seeds = self.config, [b.tokens for b in beats], [b.seed for b in beats]
        found = self.loaded.sample(prompts, tokens, seeds, config.best_of, config.guidance, config.temperature)
        found = with_rests(self.loaded, found, [b.turn for b in beats], tokens, seeds, config)
        return self._scored(found, beats)

    def continued(self, beat: Beat, tail: np.ndarray) -> list[Candidate]:
        """`best_of` motions that go on from `tail` (N, R) without a transition."""
        slots = {"motion": tail[-CONTEXT:], "seconds": beat.tokens / self.rate, "caption": beat.caption}
        found = self.loaded.sample(
            [self.loaded.prompt("continuation", slots)], [beat.tokens], [mix(beat.seed, 1)], self.config.best_of,
            self.config.guidance, self.config.temperature, 30,
        )  # fmt: skip
        return [replace(c, continues=True) for c in self._scored(found, [beat])[0]]

    def _scored(self, found: list[list[np.ndarray]], beats: Sequence[Beat]) -> list[list[Candidate]]:
        flat = [c for some in found for c in some]
        texts = [beat.caption for beat, some in zip(beats, found, strict=True) for _ in some]
        scores = iter(self.loaded.likelihood(flat, texts))
        return [
            [Candidate(c, float(next(scores)) - self._missed(c, beat)) for c in some]
            for beat, some in zip(beats, found, strict=True)
        ]

    def _missed(self, codes: np.ndarray, beat: Beat) -> float:
        """What codes lose that do not turn as far as the beat asks."""
        return 0.0 if beat.turn is None else turn_cost(self.tokenizer.decode(codes), beat.turn)

    def choose(
        self, beat: Beat, made: Sequence[Candidate], tail: np.ndarray, detour: Callable[[np.ndarray], float]
    ) -> Made:
        """The candidate that shows the caption, begins near where the body is and does not stray; and the way to it.

        Args:
            made: candidates of this beat.
            tail: (N, R) codes before it, empty at the start of a stream.
            detour: what a candidate's path costs, in nats.
        """
        if not len(tail):
            best = max(made, key=lambda c: c.score - detour(c.codes))
            return Made(beat, self.trimmed(best.codes, self._decoded([best.codes])[0]), 0)
        pose = self.poses(self._decoded([tail[-CONTEXT:]])[0])[-1]
        pool = list(made)
        if pose[HEIGHT] < LOW:
            pool += self.continued(beat, tail)
        shown = self._decoded([c.codes for c in pool])
        spec = self.tokenizer.spec
        costs = []
        for c, features in zip(pool, shown, strict=True):
            apart = 0.0 if c.continues else float(np.abs(self.poses(features[:1])[0] - pose).mean())
            slide = foot_skate(spec.decode(features).joints, spec.fps)
            costs.append(c.score - APART * apart - SKATING * slide - detour(c.codes))
        chosen = int(np.argmax(costs))
        best = pool[chosen]
        codes = self.trimmed(best.codes, shown[chosen], led=not best.continues)
        if best.continues:
            return Made(beat, codes, 0)
        way = self.bridge(tail, codes, beat.seed)
        return Made(beat, np.concatenate([way, codes]), len(way))

    def _decoded(self, some: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Features (T, 269) of codes (N, R) of one length."""
        return list(self.tokenizer.decode_features(np.stack(some)))

    def trimmed(self, codes: np.ndarray, features: np.ndarray, led: bool = False) -> np.ndarray:
        """Without the waiting at either end that clips of their own have, but for `KEPT` tokens; at least `SHORTEST`.

        Motion that rests most of the time (waiting, sitting) is left as it is. A clip's first frame has no velocity,
        also where a recording was cut in the midst of a movement; after other motion that is a jolt, and coming to
        speed is what the transition is for. So the `LEAP` tokens of such a beginning go, too.

        Args:
            codes: (N, R). features: theirs, (T, 269). led: a transition leads to it.
        """
        speed = self._speed(features).reshape(len(codes), -1)
        moving = np.flatnonzero(speed.max(1) > RESTING)
        first, last = 0, len(codes)
        if len(moving) >= MOSTLY * len(codes):
            first, last = max(0, int(moving[0]) - KEPT), min(len(codes), int(moving[-1]) + 1 + KEPT)
            last = min(len(codes), max(last, first + SHORTEST))
        if led and not first and last >= LEAP + SHORTEST and speed[1].mean() > MOVING:
            first = LEAP
        return codes[first:last]

    def _speed(self, features: np.ndarray) -> np.ndarray:
        """(T,) of features (T, 269): metres per frame of the fastest joint."""
        velocity = features[:, self.tokenizer.spec.slices()["joint_velocity"]]
        return np.linalg.norm(velocity.reshape(len(velocity), -1, 3), axis=-1).max(1)

    def bridge(self, tail: np.ndarray, head: np.ndarray, seed: int) -> np.ndarray:
        """In-between tokens (N, R) from one to the other, N of `TRANSITIONS`: the best of `BRIDGES` samples of each.

        Neither a jolt nor a movement of its own that nobody asked for.
        """
        ends = {"start": tail[-CONTEXT:], "end": head[:CONTEXT]}
        prompts = [self.loaded.prompt("in_between", {**ends, "seconds": n / self.rate}) for n in TRANSITIONS]
        seeds = [mix(seed, 2)] * len(TRANSITIONS)
        found = self.loaded.sample(prompts, list(TRANSITIONS), seeds, BRIDGES, 1.0, 0.7, 30)
        before, after = tail[-NEAR:], head[:NEAR]
        shown = []
        for some in found:  # of one length
            features = self._decoded([np.concatenate([before, c, after]) for c in some])
            shown += [self._shown(x, len(before), len(before) + len(some[0])) for x in features]
        return [c for some in found for c in some][int(np.argmin(shown))]

    def _shown(self, features: np.ndarray, start: int, stop: int) -> float:
        """How much a transition shows (metres per frame^3): jerk above `ROUGH`, sliding feet, how far the body strays
        from the straight way between both poses, and its length.

        Args:
            features: (T, 269) of it and what lies around it. start, stop: its tokens.
        """
        tokenizer = self.tokenizer
        a, b, fps = start * tokenizer.downsample, stop * tokenizer.downsample, tokenizer.spec.fps
        joints = tokenizer.spec.decode(features).joints[max(0, a - 6) : b + 6]
        poses = self.poses(features)[a - 1 : b + 1]
        detour = poses - np.linspace(poses[0], poses[-1], len(poses))
        stray = np.linalg.norm(detour[:, 1:].reshape(len(poses), -1, 3), axis=-1).mean()
        peak = max(0.0, float(jerk(joints, fps).max()) - ROUGH)
        return peak + SLIDING * foot_skate(joints, fps) + STRAYING * float(stray) + WAITING * (stop - start)

    def poses(self, features: np.ndarray) -> np.ndarray:
        """(T, 64) of features (T, 269), metres: the root's height, the joints' places around it (heading frame)."""
        groups = self.tokenizer.spec.slices()
        return np.concatenate([features[:, groups["height"]], features[:, groups["positions"]]], -1)

    def describe(self, codes: np.ndarray) -> str:
        """What the model says of (N, R) codes, see `AvatarGPT.describe`."""
        return then(self.body.description.best(np.array_split(codes, -(-len(codes) // (CHUNK + CONTEXT))), best_of=4))
