"""`BodyModel`: the network with its phrase index and its scorer; sampled candidates and the choice of the best."""
# The network turns bodies but does not count degrees: "turn around" ends anywhere between 100 and 450. So a turn that
# goes on is cut where it has come so far, and the network brings it to rest from there.

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from avatargpt.kinematics.measures import foot_skate
from avatargpt.lm.loaded import CHUNK, CONTEXT, LoadedModel
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.options import GenerationConfig, mix
from avatargpt.requests.clause_spec import ClauseSpec, Turn, cycles_in_place
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.resolver import Request, ResolvedRequest, request_text
from instruct_data.attributes import POSTURES, mirror_attributes, write_attributes
from instruct_data.registry import Prompt
from instruct_data.requests.spec import Clause, MotionRequest
from instruct_data.text.english import mirror_text
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer


class BodyModel:
    """The networks and tables of all body tasks.

    Args:
        loaded: the network and its tokenizers.
        phrase_index: replaces the clauses of a request by captions, None = unchanged words.
        motion_scorer: scores how well a motion fits a text, None = the network's own likelihood does.
    """

    def __init__(
        self, loaded: LoadedModel, phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:  # fmt: skip
        self.loaded, self.phrase_index, self.motion_scorer = loaded, phrase_index, motion_scorer
        # reader: of requests in place of the phrase index (`avatargpt.body.language_reader`)
        self.reader: Callable[[str], list[ClauseSpec]] | None = None

    def to(self, device: str | torch.device) -> None:
        """Move the networks: language model, tokenizers, sentence encoder, scorer, reader of requests."""
        self.loaded.to(device)
        self.gather()

    def gather(self) -> None:
        """Move scorer and reader of requests to the language model's device."""
        readers = () if self.phrase_index is None else (self.phrase_index.reads, self.phrase_index.reader)
        for part in (self.motion_scorer, *readers):
            if part is not None:
                part.to(self.loaded.device)

    @property
    def grounder(self) -> SentenceGrounder | None:
        """The frozen sentence encoder."""
        return self.loaded.grounder

    @property
    def tokenizer(self) -> MotionTokenizer:
        """Of the body; raises UserError where the model has none."""
        return self.loaded.tokenizer("body")

    @property
    def continues_clauses(self) -> bool:
        """Whether the network has learnt to go on with the words of the next clause, from typed attributes."""
        return self.phrase_index is not None and bool(self.phrase_index.measured)

    def resolve(self, request: Request, literal: bool = False) -> ResolvedRequest:
        """A request with its clauses; one clause of its words if `literal` or without a phrase index."""
        if isinstance(request, ResolvedRequest):
            return request
        typed = None if literal else cycles_in_place(self.request(request))
        if typed is None or self.phrase_index is None or self.grounder is None:
            return ResolvedRequest(request, typed, (ClauseSpec(request_text(request), 1.0),))
        if isinstance(request, str) and self.reader is not None:
            return ResolvedRequest(request, typed, tuple(self.reader(request)))
        return ResolvedRequest(request, typed, tuple(self.phrase_index.resolve(typed, self.grounder)))

    def request(self, request: str | MotionRequest) -> MotionRequest:
        """A text as a typed request; one clause of its words without a phrase index."""
        if isinstance(request, MotionRequest):
            return request
        if self.phrase_index is None:
            return MotionRequest(clauses=[Clause(action=request)], text=request)
        return self.phrase_index.read(request)

    def fit(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """Fit of each motion to its text, (B,): the scorer's cosine, or without a scorer the likelihood of the text."""
        if self.motion_scorer is None or self.grounder is None:
            return self.loaded.likelihood(codes, texts)
        sentences = self.motion_scorer.texts(texts, self.grounder)
        return np.asarray((self.motion_vectors(codes) * sentences).sum(1))

    def motion_fit(
        self, motions: Sequence[Motion], texts: Sequence[str], attributes: Sequence[Mapping[str, str]] = ()
    ) -> list[float]:
        """Fit of each motion to its text and typed attributes; 0 without a text-motion scorer."""
        if self.motion_scorer is None or self.grounder is None:
            return [0.0] * len(motions)
        sentences = self.motion_scorer.texts(list(texts), self.grounder, attributes)
        vectors = self.motion_scorer.motions([m.joints for m in motions], motions[0].fps)
        return [float(x) for x in (vectors * sentences).sum(1)]

    def features(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Features (T, D) of each codes (N, R)."""
        # on a CPU one by one, so that a motion is the same to the bit whatever is beside it
        if self.loaded.on_cpu:
            return [self.tokenizer.decode_features(c) for c in codes]
        return self.tokenizer.features_of_each(codes)

    def candidate_motions(self, candidates: Sequence[Sequence[np.ndarray]]) -> list[list[Motion]]:
        """The motions of every prompt's candidates."""
        # likewise prompt by prompt, so that a choice does not depend on what else is asked for
        if self.loaded.on_cpu:
            return [self.tokenizer.decode_each(codes) for codes in candidates]
        motions = iter(self.tokenizer.decode_each([c for codes in candidates for c in codes]))
        return [[next(motions) for _ in codes] for codes in candidates]

    def motion_vectors(self, codes: Sequence[np.ndarray]) -> np.ndarray:
        """Vectors of the text-motion scorer for decoded motions, (B, dim)."""
        assert self.motion_scorer is not None
        tokenizer = self.tokenizer
        return self.motion_scorer.motions([m.joints for m in tokenizer.decode_each(codes)], tokenizer.spec.fps)


Cost = Callable[[Motion], float]
# Weights beside the scorer's cosine
# of how much better a motion fits its text than the text of the other side
SIDE_WEIGHT = 1.0
SKATE_WEIGHT = 0.3  # of feet that slide all the time
TURN_WEIGHT = 2.0  # of a turn that misses its goal by 90 degrees
RESTLESS_WEIGHT = 0.5  # of a fastest joint of 1 m/s at the end of a turn
REST_SECONDS = 0.8  # of the end of a turn, which should be still

REST = "a person stands still"
REST_TOKENS = 6  # in which a turn comes to rest
# degrees before the goal from which a turn may be cut, for a body goes on turning
CUT_BEFORE = 30.0
CUT_AFTER = 25.0  # degrees after it up to which it may
RESTS = 4  # samples of coming to rest, for each cut
TURN_TOLERANCE = 5.0  # degrees


def onward(attributes: Mapping[str, str], posture: str, keeps: bool) -> dict[str, str]:
    """Attributes of a clause that goes on from a posture.

    Args:
        keeps: the action leaves the posture as it is: what is done sitting ends sitting.
    """
    out = {k: v for k, v in attributes.items() if k != "start"}
    if keeps and "end" in out and out["end"] == attributes.get("start"):
        out["end"] = posture
        if posture != POSTURES[0]:
            out.setdefault("through", posture)
    return out


def text_prompts(
    model: BodyModel, captions: Sequence[str], tokens: Sequence[int], attributes: Sequence[Mapping[str, str]] = (),
    contexts: Sequence[np.ndarray | None] = (),
) -> list[Prompt]:  # fmt: skip
    """Prompts for captions.

    Args:
        tokens: length of each, -1 = the model decides. attributes: typed ones of each (`instruct_data.attributes`).
        contexts: codes (N, R) that each continues, None = it begins.
    """
    rate, out = model.tokenizer.tokens_per_second, []
    typed, before = attributes or [{}] * len(captions), contexts or [None] * len(captions)
    for caption, count, values, context in zip(captions, tokens, typed, before, strict=True):
        slots: dict[str, Any] = {"caption": caption}
        if count >= 0:
            slots["seconds"] = min(count, CHUNK) / rate
        if context is not None:
            slots["motion"] = context[-CONTEXT:]
        if values:
            slots["attributes"] = values
        out.append(model.loaded.prompt("text_to_motion" if context is None else "continuation", slots))
    return out


def sample_candidates(
    model: BodyModel, captions: Sequence[str], tokens: Sequence[int], seeds: Sequence[int], config: GenerationConfig,
    attributes: Sequence[Mapping[str, str]] = (), contexts: Sequence[np.ndarray | None] = (),
    guidance: Sequence[float] = (),
) -> list[list[np.ndarray]]:  # fmt: skip
    """Every candidate that `generate` would rank: codes (N, R), `config.best_of` for each caption, taken literally.

    Args: see `text_prompts`.
        guidance: of each caption, instead of that of `config`.
    """
    prompts, out = text_prompts(model, captions, tokens, attributes, contexts), [list[np.ndarray]() for _ in captions]
    weights = list(guidance) or [config.guidance] * len(captions)
    for weight in dict.fromkeys(weights):
        rows = [i for i, w in enumerate(weights) if w == weight]
        sampled = model.loaded.sample(
            [prompts[i] for i in rows], [tokens[i] for i in rows], [seeds[i] for i in rows], config.best_of, weight,
            config.temperature,
        )  # fmt: skip
        for i, codes in zip(rows, sampled, strict=True):
            out[i] = codes
    return out


def prolong_codes(
    model: BodyModel, codes: np.ndarray, tokens: int, text: str, seed: int, config: GenerationConfig
) -> np.ndarray:
    """Codes (N, R) continued until there are `tokens` of them; the context is bounded, and so is the memory."""
    part = 0
    while len(codes) < tokens:
        part += 1
        count = min(CHUNK, tokens - len(codes))
        slots: dict[str, Any] = {"motion": codes[-CONTEXT:], "seconds": count / model.tokenizer.tokens_per_second}
        if text:
            slots["caption"] = text
        (candidates,) = model.loaded.sample(
            [model.loaded.prompt("continuation", slots)], [count], [mix(seed, 500 + part)], config.best_of,
            config.guidance, config.temperature,
        )  # fmt: skip
        codes = np.concatenate([codes, pick(model, [candidates], [text])[0] if text else candidates[0]])
    return codes if tokens < 0 else codes[:tokens]


def pick(
    model: BodyModel, candidates: Sequence[Sequence[np.ndarray]], texts: Sequence[str],
    costs: Sequence[Cost | None] = (), attributes: Sequence[Mapping[str, str]] = (),
) -> list[np.ndarray]:  # fmt: skip
    """The best of every prompt's candidates, codes (N, R).

    Args:
        costs: of a motion besides its fit to the text, in the scorer's cosine. attributes: typed ones of each text.
    """
    if all(len(c) == 1 for c in candidates):
        return [c[0] for c in candidates]
    motions = model.candidate_motions(candidates)
    typed: Sequence[Mapping[str, str]] = attributes or [{}] * len(texts)
    prompts = zip(candidates, texts, costs or [None] * len(texts), typed, strict=True)
    rows = [prompt for c, *prompt in prompts for _ in c]
    scores = rank_candidates(
        model, [c for codes in candidates for c in codes], [m for clips in motions for m in clips],
        *zip(*rows, strict=True),
    )  # fmt: skip
    ends = np.cumsum([len(codes) for codes in candidates])
    parts = np.split(scores, ends[:-1])
    return [codes[int(part.argmax())] for codes, part in zip(candidates, parts, strict=True)]


def rank_candidates(
    model: BodyModel, codes: Sequence[np.ndarray], motions: Sequence[Motion], texts: Sequence[str],
    costs: Sequence[Cost | None], attributes: Sequence[Mapping[str, str]],
) -> np.ndarray:  # fmt: skip
    """Scores (B,) of codes (N, R), and their motions: the cosine to texts with attributes (or their likelihood), less
    costs.
    """
    # The scorer tells the sides of one motion apart, but likes some motions so much that their side hardly counts:
    # where a text names one side, the difference to the text of the other side counts, too. It does not see sliding
    # feet.
    loss = np.array([SKATE_WEIGHT * foot_skate(m.joints, m.fps) for m in motions])
    loss += [0.0 if cost is None else cost(m) for m, cost in zip(motions, costs, strict=True)]
    if model.motion_scorer is None or model.grounder is None:
        return model.loaded.likelihood(codes, texts) - loss
    vectors = model.motion_scorer.motions([m.joints for m in motions], motions[0].fps)
    keys = [(text, *write_attributes(typed)) for text, typed in zip(texts, attributes, strict=True)]
    unique = dict(zip(keys, zip(texts, attributes, strict=True), strict=True))
    other_side = [(mirror_text(text), mirror_attributes(typed)) for text, typed in unique.values()]
    rows = [*unique.values(), *other_side]
    sentences = model.motion_scorer.texts([t for t, _ in rows], model.grounder, [typed for _, typed in rows])
    row = {key: i for i, key in enumerate(unique)}
    fit, other = ((vectors * sentences[[row[k] + first for k in keys]]).sum(1) for first in (0, len(unique)))
    return np.asarray(fit + SIDE_WEIGHT * (fit - other) - loss)


def turn_cost(motion: Motion, turn: Turn) -> float:
    """Cost of a motion for missing its turn and for moving after it, in the scorer's cosine."""
    yaw = np.degrees(np.unwrap(motion.heading))
    tail = motion.joints[-round(REST_SECONDS * motion.fps) - 1 :]
    speed = np.linalg.norm(np.diff(tail, axis=0), axis=-1).max(-1).mean() * motion.fps  # m/s, the fastest joint
    missed = max(turn.measure_miss(float(yaw[-1] - yaw[0])) - TURN_TOLERANCE, 0.0)
    return TURN_WEIGHT * missed / 90 + RESTLESS_WEIGHT * float(speed)


def cuts(yaw: np.ndarray, turn: Turn, tokens: int) -> list[int]:
    """Numbers of tokens after which (T,) degrees are near the goal for the first time, at most two."""
    ends = yaw[np.minimum(np.arange(1, tokens + 1) * len(yaw) // tokens, len(yaw)) - 1]
    signed = {"left": ends, "right": -ends}.get(turn.side, ends * np.sign(ends[np.abs(ends).argmax()]))
    reached = np.flatnonzero(signed >= turn.degrees - min(CUT_BEFORE, turn.degrees / 2))
    if not len(reached):
        return []
    first = int(reached[0])
    counts = [i + 1 for i in (first, first + 1) if i < tokens and signed[i] <= turn.degrees + CUT_AFTER]
    return [n for n in counts if 2 <= n < tokens]


def with_rests(
    model: BodyModel, candidates: Sequence[list[np.ndarray]], turns: Sequence[Turn | None], tokens: Sequence[int],
    seeds: Sequence[int], config: GenerationConfig,
) -> list[list[np.ndarray]]:  # fmt: skip
    """Every prompt's candidates, of turns also those that are cut at their goal and brought to rest."""
    turning = [k for k, turn in enumerate(turns) if turn is not None]
    parts: list[tuple[int, np.ndarray, int]] = []  # number of the prompt, codes up to a cut, seed
    for k, motions in zip(turning, model.candidate_motions([candidates[k] for k in turning]), strict=True):
        turn, cut = turns[k], []
        assert turn is not None
        for codes, motion in zip(candidates[k], motions, strict=True):
            yaw = np.degrees(np.unwrap(motion.heading))
            cut += [codes[:n] for n in cuts(yaw - yaw[0], turn, len(codes))]
        parts += [(k, codes, mix(seeds[k], 900 + i)) for i, codes in enumerate(cut)]
    if not parts:
        return list(candidates)
    lengths = [tokens[k] - len(codes) if tokens[k] > 0 else REST_TOKENS for k, codes, _ in parts]
    rate, loaded = model.tokenizer.tokens_per_second, model.loaded
    prompts = [
        loaded.prompt("continuation", {"motion": codes[-CONTEXT:], "seconds": n / rate, "caption": REST})
        for (_, codes, _), n in zip(parts, lengths, strict=True)
    ]
    rests = loaded.sample(prompts, lengths, [seed for *_, seed in parts], RESTS, config.guidance, config.temperature)
    out = [list(c) for c in candidates]
    for (k, codes, _), ends in zip(parts, rests, strict=True):
        out[k] += [np.concatenate([codes, rest]) for rest in ends]
    return out
