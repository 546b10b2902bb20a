"""Beam search over the same session and constraints as every other way of decoding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatargpt.lm.decode_loop import Constraint
from avatargpt.lm.engine import Session


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
