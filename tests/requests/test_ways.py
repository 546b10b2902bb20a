"""Ways to say requests: the mark-up, what templates mean when filled in, and that the reader can write all of it."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.requests.reader import MAX_TARGET, Vocabulary, assembled
from instruct_data.requests.pairs import Pairs, words_of
from instruct_data.requests.spec import Clause, MotionRequest
from instruct_data.requests.ways import DOMAINS, Material, all_ways, material, read_ways
from instruct_data.requests.wording import inflected, value_of
from vqvae.errors import UserError

WORDS = Material(["wave the {side} hand"], [("a man", "he")], ["in the rain"], ["ball"])


def meaning(way: str, words: Material = WORDS, seed: int = 0) -> MotionRequest:
    pair = Pairs([], words).filled(read_ways(way)[0], np.random.default_rng(seed))
    found = assembled(pair.target, pair.words)
    assert found is not None
    return found


@pytest.mark.parametrize(("way", "compact"), [
    ("(walk) [path=circle: in a circle] for [s=3: three seconds]", "walk path=circle seconds=3"),
    ("don't (B!: jump), just (sit down)", "sit down; !jump"),
    ("(B: bow) after (A: sitting down)", "sitting down; bow"),
    ("(walk) while (B+: waving) [B.tempo=fast: fast]", "walk + waving tempo=fast"),
    ("(A,B: raise) the [side=left: left] (A,B: arm), then the [B.side=right: right] one",
     "raise arm side=left; raise arm side=right"),
    ("(turn) [turn=180: around] [style: like a cat]", 'turn turn=180 style="like a cat"'),
    ("(walk), all in all [total_s=5: five seconds]", "walk | seconds=5"),
])  # fmt: skip
def test_marks_say_what_is_meant(way: str, compact: str) -> None:
    assert meaning(way).compact == compact


def test_slots_are_filled() -> None:
    found = meaning("{who} {does} {n} times {place}")
    clause = found.clauses[0]
    assert clause.action == "waves the hand" and clause.side in ("left", "right") and clause.times
    assert meaning("{do} for {min} minutes").clauses[0].seconds % 30 == 0  # type: ignore[operator]


@pytest.mark.parametrize("way", [
    "{do} [tempo=quick: fast]", "{dont}", "{B.n} times {do}", "[n: often] {do}", "{do} [loud: loudly]", "{B+.do}",
    "{do",
])  # fmt: skip
def test_marks_that_cannot_be_read(way: str) -> None:
    with pytest.raises(UserError):
        read_ways(way)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_way_can_be_written_under_the_grammar(domain: str) -> None:
    vocabulary, pairs = Vocabulary(), Pairs(all_ways(domain), material(domain))
    rng = np.random.default_rng(1)
    drawn = [pairs.filled(w, rng) for w in all_ways(domain)] + [pairs.draw(rng) for _ in range(300)]
    for pair in drawn:
        numbers = vocabulary.encode(pair.target)
        assert len(numbers) < MAX_TARGET
        for k, number in enumerate(numbers):
            assert vocabulary.allowed(numbers[:k], pair.words, domain)[number], (pair, k)
        assert vocabulary.decode(numbers) == pair.target


def test_the_grammar_ends_what_would_go_on() -> None:
    vocabulary, words = Vocabulary(), ["walk", "3", "times"]
    rng = np.random.default_rng(2)
    for _ in range(50):
        before: list[int] = []
        while not before or before[-1] != 0:
            before.append(int(rng.choice(np.flatnonzero(vocabulary.allowed(before, words)))))
        assert assembled(vocabulary.decode(before), words) is not None


def test_numbers_and_forms() -> None:
    assert value_of(["twenty", "five"]) == 25 and value_of(["2,5"]) == 2.5 and value_of(["1:30"]) == 90
    assert value_of(["two", "hundred"]) == 200 and value_of(["often"]) is None
    assert [inflected("run off", f) for f in ("do", "does", "doing", "did")] == [
        "run off", "runs off", "running off", "ran off",
    ]  # fmt: skip
    assert words_of("Don’t walk 3x,\n1.5s!") == ["don't", "walk", "3", "x", ",", ";", "1.5", "s", "!"]


def test_nothing_before_the_first_is_together() -> None:
    with pytest.raises(ValueError, match="together"):
        MotionRequest(clauses=[Clause(action="walk", together=True)])
