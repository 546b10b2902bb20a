"""One step after the other: what is done to the logits, the choice of tokens, and when it is over."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from avatargpt.lm.engine import Session
from avatargpt.lm.sampling import ban_repeats, sample

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
