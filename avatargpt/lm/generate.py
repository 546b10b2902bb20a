"""The decode loop, for text and motion alike: greedy, sampling, beams, guidance, exact lengths, streaming."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.lm.engine import Engine, Session
from avatargpt.lm.sampling import ban_repeats, sample, seeds_for, uniforms
from vqvae.errors import UserError

OnToken = Callable[[int, Tensor], None]
Rule = Callable[[Tensor, Tensor], Tensor]
"""(logits (rows, n), what was said (rows, t)) -> logits with what an answer's form forbids at -inf."""


class Constraint:
    """What is done to the logits before a choice: guidance, the end's place, the loop guard, a form of the answer."""

    def __init__(
        self, end: int, lengths: Tensor, min_tokens: int, no_repeat: int, guidance: float | None, rows: int,
        rule: Rule | None = None,
    ) -> None:
        self.end, self.lengths, self.rows, self.rule = end, lengths, rows, rule
        self.guidance, self.no_repeat = guidance, no_repeat
        self.exact = bool((lengths >= 0).all())
        # the end is impossible before this step, and certain at `lengths`
        self.earliest = torch.where(lengths < 0, min_tokens, lengths)
        self.last_wait = int(self.earliest.max())

    def fed(self, tokens: Tensor) -> Tensor:
        """Tokens as the session wants them: once more for the unconditional rows."""
        return tokens if self.guidance is None else tokens.repeat(2)

    def __call__(self, t: int, logits: Tensor, said: Tensor) -> Tensor:
        """Logits (rows, n) of step t, given what was said, (rows, t)."""
        if self.guidance is not None:
            logits = torch.lerp(logits[self.rows :], logits[: self.rows], self.guidance)
        if t < self.last_wait:
            if self.exact:
                logits[:, self.end] = float("-inf")
            else:
                early = (self.earliest > t).to(logits.device)
                logits[:, self.end] = logits[:, self.end].masked_fill(early, float("-inf"))
        if self.no_repeat and t:
            logits = ban_repeats(logits, said, self.no_repeat)
        return logits if self.rule is None else self.rule(logits, said)


def run(
    session: Session, constraint: Constraint, steps: int, streams: Tensor | None, temperature: float, top_k: int,
    top_p: float, on_token: OnToken | None,
) -> tuple[Tensor, ...]:
    """Greedy or sampled answers: tokens (N, T), lengths, hidden (N, T, d), log-probs, the end's, ended."""
    engine, n, end, device = session.engine, constraint.rows, constraint.end, session.engine.device
    said = torch.zeros(n, steps + 1, dtype=torch.long, device=device)
    hidden = torch.empty(steps + 1, n, engine.width, device=device)
    spoken_logp = torch.empty(steps + 1, n, device=device)
    lengths = constraint.lengths.to(device)
    exact = constraint.exact
    done = lengths == 0
    token = torch.full((n,), session.head.start, device=device)
    taken = steps if exact else steps + 1  # one more step tells whether a free answer ends after its last token
    for t in range(taken):
        logits, state = session.step(constraint.fed(token))
        logits = constraint(t, logits, said[:, :t])
        token = logits.argmax(-1) if streams is None else sample(logits, streams[t], temperature, top_k, top_p)
        hidden[t] = state[:n]
        spoken_logp[t] = logits.log_softmax(-1).gather(-1, token[:, None])[:, 0]
        if not exact:
            token = torch.where(lengths == t, end, token)
            done = done | (token == end)
        said[:, t] = token
        if on_token is not None:
            on_token(t, token)
        if not exact and bool(done.all()):
            taken = t + 1
            break
    logp = spoken_logp[:taken].t()
    said = said[:, :taken]
    if exact:
        return said, lengths, hidden[:taken].transpose(0, 1), logp, torch.zeros(n, device=device), lengths >= 0
    spoken = said == end
    ended = spoken.any(1)
    found = torch.where(ended, spoken.int().argmax(1), steps)
    at_end = logp.gather(1, found.clamp(max=taken - 1)[:, None])[:, 0]
    end_score = torch.where(ended & (lengths < 0), at_end, 0.0)
    return said, found, hidden[:taken].transpose(0, 1), logp, end_score, ended


@dataclass
class Answers:
    """(P, c) answers: rank (score / length**penalty; -inf = none), the end's log-probability, token count, whether
    they ended, and per step (P, c, T) the tokens, their log-probabilities and the row that spoke them."""

    rank: Tensor
    end: Tensor
    length: Tensor
    ended: Tensor
    said: Tensor
    logp: Tensor
    origin: Tensor

    @classmethod
    def none(cls, prompts: int, count: int, steps: int, device: torch.device) -> Answers:
        """`count` empty places per prompt."""
        flat, deep = (prompts, count), (prompts, count, steps)
        whole = torch.zeros(deep, dtype=torch.long, device=device)
        return cls(
            torch.full(flat, float("-inf"), device=device), torch.zeros(flat, device=device), whole[..., 0].clone(),
            torch.zeros(flat, dtype=torch.bool, device=device), whole, torch.zeros(deep, device=device), whole.clone(),
        )

    def best(self, others: Answers) -> Answers:
        """The best of both, as many as `self` holds."""
        places = self.rank.shape[1]
        rank, at = torch.cat([self.rank, others.rank], 1).topk(places, dim=1)
        deep = at[..., None].expand(-1, -1, self.said.shape[2])

        def both(name: str) -> Tensor:
            joined = torch.cat([getattr(self, name), getattr(others, name)], 1)
            return joined.gather(1, deep if joined.dim() == 3 else at)

        return Answers(rank, *(both(n) for n in ("end", "length", "ended", "said", "logp", "origin")))


def beam_search(
    session: Session, constraint: Constraint, prompts: int, beams: int, steps: int, length_penalty: float
) -> tuple[Tensor, ...]:
    """The best answer of each prompt: tokens (P, T), lengths, hidden (P, T, d), log-probs, the end's, ended.

    Ranks are score / length**length_penalty, the end counted. A prompt is finished when it has `beams` finished
    answers and no living beam, were it to end now, would rank above the worst of them.
    """
    engine, device, end = session.engine, session.engine.device, constraint.end
    rows = prompts * beams
    said = torch.zeros(rows, steps + 1, dtype=torch.long, device=device)
    origin = torch.zeros_like(said)  # beams change rows: which row spoke the token of each step
    spoken = torch.zeros(rows, steps + 1, device=device)
    hidden = torch.empty(steps + 1, rows, engine.width, device=device)
    scores = torch.full((prompts, beams), float("-inf"), device=device)
    scores[:, 0] = 0  # all beams of a prompt start alike: only the first may branch
    lengths = constraint.lengths.to(device).view(prompts, beams)[:, :1]
    free = lengths < 0
    finished = Answers.none(prompts, beams, steps + 1, device)
    done = torch.zeros(prompts, 1, dtype=torch.bool, device=device)
    base = (torch.arange(prompts, device=device) * beams)[:, None]
    own = base + torch.arange(beams, device=device)
    token = torch.full((rows,), session.head.start, device=device)

    def finish(score: Tensor, allowed: Tensor, at: Tensor, t: int, end_logp: Tensor, ended: bool) -> None:
        """Offer the answers of rows `at` (P, c), t tokens long, as finished where `allowed`."""
        nonlocal finished
        rank = (score / float(t + 1) ** length_penalty).masked_fill(~allowed, float("-inf"))
        finished = finished.best(Answers(
            rank, end_logp, torch.full_like(at, t), torch.full_like(allowed, ended), said[at], spoken[at], origin[at],
        ))

    for t in range(steps + 1):
        logits, state = session.step(constraint.fed(token))
        hidden[t] = state[:rows]
        logp = constraint(t, logits, said[:, :t]).log_softmax(-1)
        size = logp.shape[1]
        best, flat = (scores.view(rows, 1) + logp).view(prompts, beams * size).topk(min(2 * beams, beams * size))
        parent, picked = base + flat // size, flat % size
        at_end = (picked == end) & free & ~done & torch.isfinite(best)
        at_end[:, beams:] = False  # only an end among the k best counts
        if bool(at_end.any()):
            finish(best, at_end, parent, t, logp[parent, picked], True)
        forced = (lengths == t) & ~done  # as long as asked: it ends here, at no cost
        if bool(forced.any()):
            finish(scores, forced.expand(-1, beams), own, t, torch.zeros_like(scores), True)
            done = done | forced
        if t == steps:
            left = free & ~done & ~finished.ended[:, :1]
            finish(scores, left.expand(-1, beams), own, t, torch.zeros_like(scores), False)
            break
        scores, keep = best.masked_fill(picked == end, float("-inf")).topk(beams, dim=1)
        parents, token = parent.gather(1, keep).flatten(), picked.gather(1, keep).flatten()
        said, spoken, origin = said[parents], spoken[parents], origin[parents]
        said[:, t], origin[:, t], spoken[:, t] = token, parents, logp[parents, token]
        done = done | (finished.rank[:, -1:] >= scores[:, :1] / float(t + 2) ** length_penalty)
        if bool(done.all()):
            break
        session.reorder(parents if constraint.guidance is None else torch.cat([parents, parents + rows]))
    spoke = hidden[torch.arange(steps + 1, device=device), finished.origin[:, 0]]
    return finished.said[:, 0], finished.length[:, 0], spoke, finished.logp[:, 0], finished.end[:, 0], \
        finished.ended[:, 0]


@dataclass(frozen=True)
class Prompt:
    """Encoded prompts: `states` (P, S, d_model), `mask` (P, S) int64."""

    states: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, rows: Any) -> Prompt:
        """Some of the prompts (slice, list or index tensor), padding they no longer need cut off."""
        states, mask = self.states[rows], self.mask[rows]
        used = int(mask.any(0).nonzero().max()) + 1
        return Prompt(states[:, :used], mask[:, :used])

    def expanded(self, count: int) -> Prompt:
        """A single prompt as `count` equal ones (the empty prompt of guidance)."""
        return Prompt(self.states.expand(count, -1, -1), self.mask.expand(count, -1)) if len(self) == 1 else self


@dataclass(frozen=True)
class Decoded:
    """Answers. N rows = prompts x samples (samples of one prompt are neighbours), L the longest answer.

    Attributes:
        ids: (N, L) int64 in the one id space, without start and end, behind an answer the padding id.
        codes: (N, L) int64 counted from the head's first id (motion codes 0..K-1), behind an answer -1.
        lengths: (N,) tokens of each answer, the end not counted.
        hidden: (N, L, d_model) float32; row t is the (conditional) state that spoke token t.
        log_probs: (N, L) natural log of each token's probability, guidance and constraints included, temperature and
            filters not.
        scores: (N,) sum of `log_probs`, the end's included where the model spoke it.
        ended: (N,) bool: the answer ended by itself or at its asked length, not for want of steps.
    """

    ids: Tensor
    codes: Tensor
    lengths: Tensor
    hidden: Tensor
    log_probs: Tensor
    scores: Tensor
    ended: Tensor

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
    """Encodes prompts and decodes answers with one model.

    Args:
        model: `AvatarGPTModel` or a peft model around one; its decoder's weights are copied.
        dtype: of matrix products, encoder included: float32 is exact, bfloat16 faster (see `Engine`).
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        self.engine = Engine(model, dtype)
        self.model = self.engine.model
        self.config = self.engine.config

    @torch.inference_mode()
    def encode(
        self, ids: Tensor, mask: Tensor | None = None, residual_codes: Tensor | None = None,
        extra_embeddings: Sequence[tuple[Tensor, Tensor, str]] | None = None,
    ) -> Prompt:
        """Run the encoder once; arguments as in `AvatarGPTModel.inputs`."""
        return Prompt(*self.engine.encode(*self.model.inputs(ids, mask, residual_codes, extra_embeddings)))

    @torch.inference_mode()
    def decode(
        self, prompt: Prompt, head: str, *, max_tokens: int = 256, length: Sequence[int] | Tensor | None = None,
        samples: int = 1, uncond: Prompt | None = None, guidance: float = 1.0, temperature: float = 0.0,
        top_k: int = 0, top_p: float = 1.0, seed: int | Sequence[int] = 0, beams: int = 1,
        length_penalty: float = 1.0, no_repeat: int = 0, min_tokens: int = 0, on_token: OnToken | None = None,
        rule: Rule | None = None,
    ) -> Decoded:
        """Answer every prompt.

        Args:
            prompt: P encoded prompts. head: what to speak.
            max_tokens: steps at most, the end not counted.
            length: (P,) exact number of tokens of each answer, told to the model through the count-down and
                enforced: the end is impossible before and certain then. Below 0: free.
            samples: answers per prompt, N = P * samples.
            uncond: the prompts without their text (P, or one for all), for guidance.
            guidance: logits = u + guidance * (c - u); 1 = conditional only.
            temperature: 0 = the likeliest token. top_k, top_p: see `sampling.sample`.
            seed: one number (row i gets seed + i) or one per answer (N,). The same seed gives the same answer
                whatever else is in the batch.
            beams: width of the beam search (1 = none; excludes temperature and samples).
            length_penalty: beams are ranked by score / length**length_penalty.
            no_repeat: no n-gram of this size twice in one answer (0 = off); for text.
            min_tokens: no end before.
            on_token: called after every step with (step, head-local tokens (N,), meaningless in rows that have
                ended); not with beams.
            rule: a form that the answers must have (see `avatargpt.planning.listing`); not with exact lengths.

        Raises:
            UserError: impossible settings.
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
        known = bool((lengths >= 0).any())
        countdown: Tensor | None = None
        if known:
            left = (lengths[:, None] - torch.arange(steps + 1)).clamp(min=0)
            countdown = torch.where(lengths[:, None] < 0, -1, left).to(self.engine.device)
        if guided:
            assert uncond is not None
            prompt = _joined(prompt, uncond.expanded(count))
            countdown = None if countdown is None else countdown.repeat(2, 1)
        tables = self.engine.head(head)
        session = Session(self.engine, head, prompt.states, prompt.mask, steps + 1, repeat, countdown)
        constraint = Constraint(tables.end, lengths, min_tokens, no_repeat, guidance if guided else None, rows, rule)
        if beams > 1:
            found = beam_search(session, constraint, count, beams, steps, length_penalty)
        else:
            streams = uniforms(seeds_for(seed, rows), steps + 1).to(self.engine.device) if temperature > 0 else None
            found = run(session, constraint, steps, streams, temperature, top_k, top_p, on_token)
        return self._decoded(head, *found)

    def _check(
        self, head: str, count: int, max_tokens: int, samples: int, temperature: float, top_p: float, beams: int,
        guidance: float, uncond: Prompt | None,
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

    def _decoded(
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
    def score(
        self, prompt: Prompt, targets: Sequence[Sequence[int]] | Tensor, head: str, *, told_length: bool = False,
        add_end: bool = True,
    ) -> Scores:
        """Log-likelihood of given answers, one batched teacher-forced pass.

        Args:
            prompt: P prompts (or one for all answers). targets: N id lists of the one id space, without start and
                end; P must be 1 or N.
            told_length: feed the count-down with each answer's own length (motion answers decoded with `length`).
            add_end: count the end id as well.
        """
        rows = [[int(i) for i in row] for row in targets]
        rows = [[*row, self.config.end_id(head)] if add_end else row for row in rows]
        counts = torch.tensor([len(row) for row in rows], device=self.engine.device)
        labels = torch.full((len(rows), max(int(counts.max()), 1)), -100)
        for i, row in enumerate(rows):
            labels[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        prompt = prompt.expanded(len(rows))
        length = counts - int(add_end) if told_length else None
        loss = self.model.likelihood(prompt.states, prompt.mask, labels.to(self.engine.device), head, length)
        return Scores(-loss.sum(1), -loss, counts)


def _joined(first: Prompt, second: Prompt) -> Prompt:
    """Both sets of prompts one below the other, padded to the longer."""
    longest = max(first.states.shape[1], second.states.shape[1])

    def padded(p: Prompt) -> tuple[Tensor, Tensor]:
        more = longest - p.states.shape[1]
        return F.pad(p.states, (0, 0, 0, more)), F.pad(p.mask, (0, more))

    (a, am), (b, bm) = padded(first), padded(second)
    return Prompt(torch.cat([a, b]), torch.cat([am, bm]))
