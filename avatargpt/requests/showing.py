"""A typed request -> what is shown one after another, or at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from avatargpt.requests.asked import bent, expanded, measured
from avatargpt.requests.concurrent import UPRIGHT, is_above, is_rest, which_is_below
from avatargpt.requests.motion_spec import ClauseSpec
from instruct_data.requests.spec import Clause, MotionRequest

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

WEAK, SAID = 0.9, 0.02  # a caption of the whole, so much nearer, stands for clauses of which one is not near
VERY = 1.0  # and so near where its clauses have other sides or directions
BOTH = 0.05  # one caption for two things at once may be so much further away than either


class Book(Protocol):
    """Where actions are looked up: `avatargpt.requests.phrases.PhraseIndex`."""

    def style(self, text: str) -> str: ...

    def clause(self, text: str, grounder: SentenceGrounder, style: str = "", least: float = 0.4) -> ClauseSpec: ...

    def looked_up(
        self, some: Sequence[Clause], grounder: SentenceGrounder, least: float = 0.4, whole: str = ""
    ) -> list[ClauseSpec]: ...


def shown(
    book: Book, request: MotionRequest, grounder: SentenceGrounder, least: float = 0.4
) -> list[ClauseSpec]:  # fmt: skip
    """What is shown for a request; see `PhraseIndex.plain`."""
    done = [one for c in bent(request.done) for one in expanded(c)] or [Clause(action="stand still")]
    whole = book.style(request.text) if len(done) == 1 else ""  # of a subject: "an old man"
    found = book.looked_up(done, grounder, least, whole)
    if len(done) == 1 and request.text and found[0].turn is None and found[0].route is None:
        (plain,) = book.looked_up([done[0].model_copy(update={"action": request.text})], grounder, least, whole)
        if plain.similarity > found[0].similarity + SAID:  # what was left out of the action says what is meant
            found = [replace(plain, asked=done[0])]
    if len(done) > 1 and request.text and not any(c.denied or measured(c) for c in request.clauses):
        # two actions, or one that the book knows by these very words ("raise one hand and let the other hang")
        unknown = all(c.known is False for c in done)
        side = next((c.side for c in done if c.side), None)
        joint = Clause(action=request.text, side=side, known=False if unknown else None)
        (plain,) = book.looked_up([joint], grounder, least)
        differ = len({c.side for c in done if c.side}) > 1 or len({c.direction for c in done if c.direction}) > 1
        weakest = min(p.similarity for p in found)
        if weakest < WEAK and plain.similarity > max(weakest + SAID, VERY if differ else 0.0):
            return [plain]
    denials = [c for c in request.clauses if c.denied]
    denied = book.looked_up(denials, grounder, least) if denials else []
    avoid = tuple((one.action, one.text) for one in denied if one.action)
    found = [replace(one, avoid=avoid) for one in found] if avoid else found
    out: list[ClauseSpec] = []
    for clause, one in zip(done, found, strict=True):
        before = out[-1] if out else None
        if clause.together and before is not None and before.besides is None:
            below = which_is_below(before.action, one.action)
            if below is not None:
                out[-1] = replace((before, one)[below], besides=(one, before)[below])
                continue
            if is_rest(one.action) and is_above(before.action):
                out[-1:] = [one, before]
                continue
        if clause.together and before is not None and before.asked is not None and not is_rest(before.action):
            both = Clause(action=f"{before.asked.action} while {clause.action}")
            (plain,) = book.looked_up([both], grounder, least)
            if plain.similarity > min(before.similarity, one.similarity) - BOTH:
                out[-1] = replace(plain, asked=before.asked)
                continue
            one = replace(one, apart=True)
        out.append(one)
    for i, one in enumerate(out):
        before = next((p for p in out[:i][::-1] if not is_above(p.action)), None)
        if before is not None and is_rest(before.action) and one.action in UPRIGHT:
            up = book.clause("a person stands up", grounder, least=least)
            out[i] = replace(up, asked=one.asked)  # who sits stands when he has stood up
    return out
