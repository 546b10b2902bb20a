"""The decode loop, for text and motion alike: greedy, seeded sampling, beams, guidance, exact lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.lm.engine import BLOCK, DecodeSession, Engine
from vqvae.errors import UserError


def seeds_for(seed: int | Sequence[int], rows: int) -> list[int]:
    """One seed per row. A single number gives row i the seed ``seed + i``."""
    if isinstance(seed, int):
        return [seed + i for i in range(rows)]
    if len(seed) != rows:
        raise ValueError(f"{len(seed)} seeds for {rows} rows")
    return [int(s) for s in seed]


def uniforms(seeds: Sequence[int], steps: int) -> Tensor:
    """(steps, N) float64 numbers in [0, 1): column i is the stream of ``seeds[i]`` in any batch."""
    columns = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed % 2**63)
        columns.append(torch.rand(steps, dtype=torch.float64, generator=generator))
    return torch.stack(columns, dim=1)


def sample(logits: Tensor, u: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Draw one index (N,) per row of logits (N, n) by inverting the cumulative distribution at `u` (N,).

    `top_k` keeps the k likeliest (0 = all), `top_p` of these the smallest set of at least this probability.
    """
    n = logits.shape[-1]
    k = min(top_k, n) if top_k > 0 else n
    if logits.device.type == "cpu" and top_p >= 1:
        return torch.from_numpy(_draw(logits.float().numpy(), u.numpy(), temperature, k))
    ranked, place = (logits, None) if k == n and top_p >= 1 else logits.topk(k, dim=-1)
    cumulative = (ranked / temperature).softmax(-1).cumsum(-1)
    total = cumulative[:, -1:]
    if top_p < 1:
        # the first entry that reaches top_p is the last one kept
        last = (cumulative < top_p * total).sum(-1, keepdim=True).clamp(max=k - 1)
        total = cumulative.gather(-1, last)
    pick = (cumulative <= u.to(cumulative.dtype)[:, None] * total).sum(-1, keepdim=True).clamp(max=k - 1)
    return (pick if place is None else place.gather(-1, pick))[:, 0]


# Between products whose weights fill a CPU's cache every further instruction is slow to fetch: numpy needs fewer.
def _draw(logits: np.ndarray, u: np.ndarray, temperature: float, k: int) -> np.ndarray:
    """`sample` without `top_p`; of equal logits the first ranks first."""
    rows, n = logits.shape
    ranked = np.sort(logits, axis=1)[:, : -k - 1 : -1] if k < n else logits
    highest = ranked[:, :1] if k < n else ranked.max(1, keepdims=True)
    cumulative = np.exp((ranked - highest) / np.float32(temperature)).cumsum(1, np.float64)
    pick = (cumulative <= u[:, None].astype(np.float32) * cumulative[:, -1:]).sum(1)
    np.minimum(pick, k - 1, out=pick)
    if k == n:
        return pick
    value = ranked[np.arange(rows), pick][:, None]
    equal = logits == value
    if np.count_nonzero(equal) > rows:
        before = pick - (ranked > value).sum(1)  # so many equal ones rank before it
        equal = equal.cumsum(1) == before[:, None] + 1
    return np.asarray(equal.argmax(1))


def ban_repeats(logits: Tensor, tokens: Tensor, size: int) -> Tensor:
    """-inf for every token that would complete a second n-gram of `size` in its row of `tokens` (N, t)."""
    if tokens.shape[1] < size:
        return logits
    grams = tokens.unfold(1, size, 1)
    same = (grams[..., :-1] == tokens[:, None, tokens.shape[1] - size + 1 :]).all(-1)
    spare = logits.shape[-1]
    banned = torch.zeros(logits.shape[0], spare + 1, dtype=torch.bool, device=logits.device)
    banned.scatter_(1, torch.where(same, grams[..., -1], spare), True)
    return logits.masked_fill(banned[:, :spare], float("-inf"))


class Constraint:
    """Changes of the logits before a choice: guidance, the end's place, and the loop guard."""

    def __init__(
        self, end: int, lengths: Tensor, min_tokens: int, no_repeat: int, guidance: float | None, rows: int,
    ) -> None:
        self.end, self.lengths, self.rows = end, lengths, rows
        self.guidance, self.no_repeat = guidance, no_repeat
        self.exact = bool((lengths >= 0).all())
        # the end is impossible before this step, and certain at `lengths`
        self.earliest = torch.where(lengths < 0, min_tokens, lengths)
        self.last_wait = int(self.earliest.max())

    def inputs(self, tokens: Tensor) -> Tensor:
        """Tokens as the session takes them: once more for the unconditional rows of guidance."""
        return tokens if self.guidance is None else tokens.repeat(2)

    def __call__(self, t: int, logits: Tensor, tokens: Tensor) -> Tensor:
        """Logits (rows, n) of step t, given the tokens so far (rows, t)."""
        if self.guidance is not None:
            logits = torch.lerp(logits[self.rows :], logits[: self.rows], self.guidance)
        if t < self.last_wait:
            if self.exact:
                logits.select(1, self.end).fill_(float("-inf"))
            else:
                early = (self.earliest > t).to(logits.device)
                logits[:, self.end] = logits[:, self.end].masked_fill(early, float("-inf"))
        if self.no_repeat and t:
            logits = ban_repeats(logits, tokens, self.no_repeat)
        return logits


def greedy_or_sampled(
    session: DecodeSession, constraint: Constraint, steps: int, streams: Tensor | None, temperature: float, top_k: int,
    top_p: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Answers: tokens (N, T), lengths, hidden (N, T, d), log-probs, the end's, ended. Greedy without `streams`."""
    n, end, device = constraint.rows, constraint.end, session.engine.device
    tokens = torch.zeros(n, steps + 1, dtype=torch.long, device=device)
    states: list[Tensor] = []
    logp_blocks: list[Tensor] = []
    choices: list[tuple[Tensor, Tensor]] = []  # logits and tokens, not yet among the log-probabilities
    lengths = constraint.lengths.to(device)
    exact = constraint.exact
    finished = lengths == 0
    token = torch.full((n,), session.head.start, device=device)
    count = steps if exact else steps + 1  # one more step tells whether a free answer ends after its last token
    for t in range(count):
        logits, state = session.step(constraint.inputs(token))
        # the choice is made on constrained logits, whose probabilities are reported as well
        logits = constraint(t, logits, tokens[:, :t])
        token = logits.argmax(-1) if streams is None else sample(logits, streams[t], temperature, top_k, top_p)
        states.append(state[:n])
        choices.append((logits, token))
        if len(choices) == BLOCK:
            logp_blocks.append(_log_probs(choices))
        if not exact:
            # rows with a length end there; rows without when they choose the end
            token = torch.where(lengths == t, end, token)
            finished = finished | (token == end)
        tokens[:, t] = token
        if not exact and bool(finished.all()):
            count = t + 1
            break
    if not states:  # answers of no length
        states, logp_blocks = [session.step(constraint.inputs(token))[1][:n]], [torch.zeros(1, n, device=device)]
    if choices:
        logp_blocks.append(_log_probs(choices))
    logp, hidden = torch.cat(logp_blocks).t(), torch.stack(states, 1)
    tokens = tokens[:, :count]
    if exact:
        return tokens, lengths, hidden, logp, torch.zeros(n, device=device), lengths >= 0
    # free answers: what follows the first end does not count
    is_end = tokens == end
    ended = is_end.any(1)
    end_at = torch.where(ended, is_end.int().argmax(1), steps)
    end_logp = logp.gather(1, end_at.clamp(max=count - 1)[:, None])[:, 0]
    end_score = torch.where(ended & (lengths < 0), end_logp, 0.0)
    return tokens, end_at, hidden, logp, end_score, ended


def _log_probs(choices: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(T, N) of steps' logits (N, n) and tokens (N,), which it takes from the list."""
    logits, tokens = (torch.stack(parts) for parts in zip(*choices, strict=True))
    choices.clear()
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


@dataclass
class Answers:
    """(P, c) answers of a beam search: `rank` is the score per token (-inf = none), `end` the end's log-probability.

    `ended`: by an end. `tokens`, `logp`, `origin` (P, c, T): the token of each step, its log-probability and its row.
    """

    rank: Tensor
    end: Tensor
    length: Tensor
    ended: Tensor
    tokens: Tensor
    logp: Tensor
    origin: Tensor

    @classmethod
    def none(cls, prompts: int, count: int, steps: int, device: torch.device) -> Answers:
        """`count` empty places per prompt."""
        flat, deep = (prompts, count), (prompts, count, steps)
        integers = torch.zeros(deep, dtype=torch.long, device=device)
        return cls(
            torch.full(flat, float("-inf"), device=device), torch.zeros(flat, device=device), integers[..., 0].clone(),
            torch.zeros(flat, dtype=torch.bool, device=device), integers, torch.zeros(deep, device=device),
            integers.clone(),
        )  # fmt: skip

    def best(self, new: Answers) -> Answers:
        """The best of both, as many as `self` holds."""
        places = self.rank.shape[1]
        rank, at = torch.cat([self.rank, new.rank], 1).topk(places, dim=1)
        deep = at[..., None].expand(-1, -1, self.tokens.shape[2])

        def choose_rows(name: str) -> Tensor:
            values = torch.cat([getattr(self, name), getattr(new, name)], 1)
            return values.gather(1, deep if values.dim() == 3 else at)

        return Answers(rank, *(choose_rows(n) for n in ("end", "length", "ended", "tokens", "logp", "origin")))


def beam_search(
    session: DecodeSession, constraint: Constraint, prompts: int, beams: int, steps: int
) -> tuple[Tensor, ...]:
    """The best answer of each prompt: tokens (P, T), lengths, hidden (P, T, d), log-probs, the end's, ended.

    A prompt is finished when it has `beams` finished answers and no living beam, were it to end now, would rank
    above the worst of them; ranks are score / length, the end counted.
    """
    engine, device, end = session.engine, session.engine.device, constraint.end
    rows = prompts * beams
    tokens = torch.zeros(rows, steps + 1, dtype=torch.long, device=device)
    origin = torch.zeros_like(tokens)  # beams change rows: the row of each step's token
    token_logp = torch.zeros(rows, steps + 1, device=device)
    hidden = torch.empty(steps + 1, rows, engine.width, device=device)
    scores = torch.full((prompts, beams), float("-inf"), device=device)
    scores[:, 0] = 0  # all beams of a prompt start alike: only the first may branch
    lengths = constraint.lengths.to(device).view(prompts, beams)[:, :1]
    free = lengths < 0
    answers = Answers.none(prompts, beams, steps + 1, device)
    finished = torch.zeros(prompts, 1, dtype=torch.bool, device=device)
    base = (torch.arange(prompts, device=device) * beams)[:, None]
    all_rows = base + torch.arange(beams, device=device)
    token = torch.full((rows,), session.head.start, device=device)

    def offer(score: Tensor, allowed: Tensor, at: Tensor, t: int, end_logp: Tensor, ended: bool) -> None:
        """Offer the answers of rows `at` (P, c), t tokens long, as finished where `allowed`."""
        nonlocal answers
        rank = (score / float(t + 1)).masked_fill(~allowed, float("-inf"))
        answers = answers.best(Answers(
            rank, end_logp, torch.full_like(at, t), torch.full_like(allowed, ended), tokens[at], token_logp[at],
            origin[at],
        ))  # fmt: skip

    for t in range(steps + 1):
        logits, state = session.step(constraint.inputs(token))
        hidden[t] = state[:rows]
        logp = constraint(t, logits, tokens[:, :t]).log_softmax(-1)
        size = logp.shape[1]
        # twice as many candidates as beams, since up to half of them may be ends
        best, flat = (scores.view(rows, 1) + logp).view(prompts, beams * size).topk(min(2 * beams, beams * size))
        parent, picked = base + flat // size, flat % size
        at_end = (picked == end) & free & ~finished & torch.isfinite(best)
        at_end[:, beams:] = False  # only an end among the k best counts
        if bool(at_end.any()):
            offer(best, at_end, parent, t, logp[parent, picked], True)
        forced = (lengths == t) & ~finished  # at its exact length an answer ends at no cost
        if bool(forced.any()):
            offer(scores, forced.expand(-1, beams), all_rows, t, torch.zeros_like(scores), True)
            finished = finished | forced
        if t == steps:
            left = free & ~finished & ~answers.ended[:, :1]
            offer(scores, left.expand(-1, beams), all_rows, t, torch.zeros_like(scores), False)
            break
        # the living beams are the best that do not end here
        scores, keep = best.masked_fill(picked == end, float("-inf")).topk(beams, dim=1)
        parents, token = parent.gather(1, keep).flatten(), picked.gather(1, keep).flatten()
        # a beam takes over the history of the row it continues
        tokens, token_logp, origin = tokens[parents], token_logp[parents], origin[parents]
        tokens[:, t], origin[:, t], token_logp[:, t] = token, parents, logp[parents, token]
        finished = finished | (answers.rank[:, -1:] >= scores[:, :1] / float(t + 2))
        if bool(finished.all()):
            break
        session.reorder(parents if constraint.guidance is None else torch.cat([parents, parents + rows]))
    # states of an answer lie in the rows that its beam went through
    states = hidden[torch.arange(steps + 1, device=device), answers.origin[:, 0]]
    return (answers.tokens[:, 0], answers.length[:, 0], states, answers.logp[:, 0], answers.end[:, 0],
            answers.ended[:, 0])  # fmt: skip


@dataclass(frozen=True)
class EncodedPrompt:
    """Encoded prompts: `states` (P, S, d_model), `mask` (P, S) int64."""

    states: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, rows: Any) -> EncodedPrompt:
        """A selection of the prompts (slice, list or index tensor) without superfluous padding."""
        states, mask = self.states[rows], self.mask[rows]
        used = int(mask.any(0).nonzero().max()) + 1
        return EncodedPrompt(states[:, :used], mask[:, :used])

    def expand(self, count: int) -> EncodedPrompt:
        """A single prompt as `count` equal ones (the empty prompt of guidance)."""
        return EncodedPrompt(self.states.expand(count, -1, -1), self.mask.expand(count, -1)) if len(self) == 1 else self

    def concatenate(self, below: EncodedPrompt) -> EncodedPrompt:
        """The rows of both, padded to the longer."""
        longest = max(self.states.shape[1], below.states.shape[1])
        padded = [(p, longest - p.states.shape[1]) for p in (self, below)]
        states = torch.cat([F.pad(p.states, (0, 0, 0, missing)) for p, missing in padded])
        return EncodedPrompt(states, torch.cat([F.pad(p.mask, (0, missing)) for p, missing in padded]))


@dataclass(frozen=True)
class Decoded:
    """Answers. N rows = prompts x samples (samples of one prompt are neighbours), L the longest answer."""

    ids: Tensor  # (N, L) int64 in the single id space, without start and end, padding id behind an answer
    codes: Tensor  # (N, L) int64 counted from the head's first id (motion codes 0..K-1), -1 behind an answer
    lengths: Tensor  # (N,) tokens of each answer, the end not counted
    hidden: Tensor  # (N, L, d_model) float32; row t is the (conditional) state that token t was chosen from
    # (N, L) natural log of each token's probability, guidance and constraints included, temperature and filters not
    log_probs: Tensor
    scores: Tensor  # (N,) sum of `log_probs`, the end's included where the model chose it
    ended: Tensor  # (N,) bool: by an end or at the exact length, not for want of steps

    @property
    def mask(self) -> Tensor:
        """(N, L) bool, True = a token."""
        return self.codes >= 0


@dataclass(frozen=True)
class Scores:
    """Teacher-forced log-likelihood (nats): `total` (N,), `tokens` (N, L) with 0 at padding, `lengths` (N,)."""

    total: Tensor
    tokens: Tensor
    lengths: Tensor

    @property
    def mean(self) -> Tensor:
        """(N,) per token, the end counted."""
        return self.total / self.lengths.clamp(min=1)


class Generator:
    """Encodes prompts and decodes answers with an `AvatarGPTModel` or a peft model around one, whose weights are
    copied.

    `dtype` of matrix products: float32 is exact, bfloat16 faster (see `Engine`).
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        self.engine = Engine(model, dtype)
        self.model = self.engine.model
        self.config = self.engine.config

    @torch.inference_mode()
    def encode(
        self, ids: Tensor, mask: Tensor | None = None, residual_codes: Tensor | None = None,
        extra_embeddings: Sequence[tuple[Tensor, Tensor, str]] | None = None,
    ) -> EncodedPrompt:
        """Run the encoder once; arguments as in `AvatarGPTModel.inputs`."""
        return EncodedPrompt(*self.engine.encode(*self.model.inputs(ids, mask, residual_codes, extra_embeddings)))

    @torch.inference_mode()
    def decode(
        self, prompt: EncodedPrompt, head: str, *, max_tokens: int = 256, length: Sequence[int] | Tensor | None = None,
        samples: int = 1, uncond: EncodedPrompt | None = None, guidance: float = 1.0, temperature: float = 0.0,
        top_k: int = 0, top_p: float = 1.0, seed: int | Sequence[int] = 0, beams: int = 1, no_repeat: int = 0,
        min_tokens: int = 0,
    ) -> Decoded:  # fmt: skip
        """Answer every prompt.

        Args:
            prompt: P encoded prompts. head: of the answers. max_tokens: steps at most, the end not counted.
            length: (P,) exact number of tokens of each answer, below 0 = free: given to the model as the number of
                remaining tokens, and the end is impossible before and certain then.
            samples: answers per prompt, N = P * samples.
            uncond: the prompts without their text (P, or one for all), for guidance.
            guidance: logits = u + guidance * (c - u); 1 = conditional only.
            temperature: 0 = the likeliest token. top_k, top_p: see `sampling.sample`.
            seed: one number (row i gets seed + i) or one per answer (N,); gives the same answer in any batch.
            beams: width of the beam search (1 = none; excludes temperature and samples).
            no_repeat: no n-gram of this size twice in one answer (0 = off); for text. min_tokens: no end before.
        """
        count = len(prompt)
        guided = uncond is not None and guidance != 1.0
        self._check(head, count, max_tokens, samples, temperature, top_p, beams, guidance, uncond)
        lengths = torch.full((count,), -1) if length is None else torch.as_tensor(length).long().reshape(-1)
        if len(lengths) != count:
            raise ValueError(f"{len(lengths)} lengths for {count} prompts")
        steps = max(max_tokens if bool((lengths < 0).any()) else 0, int(lengths.max()))
        repeat = samples * beams
        rows = count * repeat
        lengths = lengths.repeat_interleave(repeat)
        # the model gets the number of remaining tokens only where a length is set
        remaining: Tensor | None = None
        if bool((lengths >= 0).any()):
            left = (lengths[:, None] - torch.arange(steps + 1)).clamp(min=0)
            remaining = torch.where(lengths[:, None] < 0, -1, left).to(self.engine.device)
        # guidance decodes conditional and unconditional rows side by side
        if guided:
            assert uncond is not None
            prompt = prompt.concatenate(uncond.expand(count))
            remaining = None if remaining is None else remaining.repeat(2, 1)
        tables = self.engine.head(head)
        session = DecodeSession(self.engine, head, prompt.states, prompt.mask, steps + 1, repeat, remaining)
        constraint = Constraint(tables.end, lengths, min_tokens, no_repeat, guidance if guided else None, rows)
        if beams > 1:
            answers = beam_search(session, constraint, count, beams, steps)
        else:
            streams = uniforms(seeds_for(seed, rows), steps + 1).to(self.engine.device) if temperature > 0 else None
            answers = greedy_or_sampled(session, constraint, steps, streams, temperature, top_k, top_p)
        return self._collect_decoded(head, *answers)

    def _check(
        self, head: str, count: int, max_tokens: int, samples: int, temperature: float, top_p: float, beams: int,
        guidance: float, uncond: EncodedPrompt | None,
    ) -> None:
        self.model.head_names(head, 1)
        if not 1 <= max_tokens <= 100_000:
            raise UserError(f"tokens to decode: {max_tokens}; accepted 1 to 100000")
        if temperature < 0 or not 0 < top_p <= 1 or samples < 1 or beams < 1:
            raise UserError("decoding: accepted temperature >= 0, 0 < top_p <= 1, samples >= 1, beams >= 1")
        if beams > 1 and (temperature > 0 or samples > 1):
            raise UserError("decoding: beams go without temperature and without several samples")
        if guidance != 1.0 and uncond is None:
            raise UserError("decoding: guidance needs the prompt without its text as well")
        if uncond is not None and len(uncond) not in (1, count):
            raise ValueError(f"{len(uncond)} unconditional prompts for {count} prompts")

    def _collect_decoded(
        self, head: str, tokens: Tensor, lengths: Tensor, hidden: Tensor, log_probs: Tensor, end_score: Tensor,
        ended: Tensor,
    ) -> Decoded:
        longest = int(lengths.max())
        inside = torch.arange(longest, device=lengths.device) < lengths[:, None]
        local = tokens[:, :longest]
        ids = torch.where(inside, local + self.config.first_id(head), self.config.pad_token_id or 0)
        logp = log_probs[:, :longest].masked_fill(~inside, 0)
        return Decoded(
            ids, torch.where(inside, local, -1), lengths, hidden[:, :longest].float() * inside[..., None], logp,
            logp.sum(1) + end_score, ended,
        )

    @torch.inference_mode()
    def score(self, prompt: EncodedPrompt, targets: Sequence[Sequence[int]] | Tensor, head: str) -> Scores:
        """Log-likelihood of given answers with their end, one batched teacher-forced pass.

        `targets`: N id lists of the single id space, without start and end; P prompts must be 1 or N.
        """
        rows = [[*(int(i) for i in row), self.config.end_id(head)] for row in targets]
        counts = torch.tensor([len(row) for row in rows], device=self.engine.device)
        labels = torch.full((len(rows), max(int(counts.max()), 1)), -100)
        for i, row in enumerate(rows):
            labels[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        prompt = prompt.expand(len(rows))
        loss = self.model.likelihood(prompt.states, prompt.mask, labels.to(self.engine.device), head)
        return Scores(-loss.sum(1), -loss, counts)
