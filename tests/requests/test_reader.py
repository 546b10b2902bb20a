"""The reader of requests: trained, saved and asked; the ways of saying that it learns from."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.reader import (
    MAX_TARGET,
    MAX_WORDS,
    RequestNetwork,
    RequestReader,
    Vocabulary,
    assembled,
    reading_grounder,
    word_states,
)
from avatargpt.train.loop import run
from avatargpt.train.request_reader import RequestRecipe, RequestStage, divided, exactness
from avatargpt.train.runtime import Runtime
from instruct_data.requests.pairs import Pair, Pairs, inflected, value_of, words_of
from instruct_data.requests.spec import STATE_WORDS, Clause, MotionRequest, TurnState
from instruct_data.requests.ways import DOMAINS, Material, all_ways, material, read_ways
from vqvae.errors import UserError

CONFIG = f"{Path(__file__).parents[2] / 'configs' / 'requests.yaml'}:debug"


@cache
def shared_grounder() -> SentenceGrounder:
    """One for all runs: it remembers the states of texts."""
    return reading_grounder(RequestRecipe(**resolve(CONFIG)).model)


def trained(out: Path, until: int | None = None, start: Path | None = None, kept: float = 0.0) -> RequestStage:
    recipe = RequestRecipe(**resolve(CONFIG))
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"kept": kept})})
    runtime = Runtime.start(1, "cpu")
    sources = {domain: (all_ways(domain), material(domain)) for domain in DOMAINS}
    stage = RequestStage(recipe, sources, runtime, shared_grounder(), start)
    run(stage, out, runtime, until)
    return stage


def test_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole").mean
    trained(tmp_path / "parts", until=3)
    parts = trained(tmp_path / "parts").mean
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    reader = RequestReader.load(tmp_path / "whole")
    again = RequestReader.load(tmp_path / "parts")
    assert reader.read("walk, then wave twice").compact == again.read("walk, then wave twice").compact
    # of a reader that it goes on from it keeps the share that it shall
    half = trained(tmp_path / "half", start=tmp_path / "whole", kept=0.5).mean
    mixed = RequestReader.load(tmp_path / "half").network.state_dict()
    before = reader.network.state_dict()
    assert all(torch.allclose(mixed[k], (before[k] + half[k]) / 2, atol=1e-5) for k in half)
    assert not all(torch.equal(before[k], half[k]) for k in half)
    with pytest.raises(UserError, match="accepted with --start"):
        trained(tmp_path / "none", kept=0.5)


def test_what_cannot_be_read() -> None:
    recipe = RequestRecipe(**resolve(CONFIG))
    reader = RequestReader(RequestNetwork(recipe.model))
    for text in ("  ", "go " * (MAX_WORDS + 1)):
        with pytest.raises(UserError, match="accepted: 1 to 96"):
            reader.read(text)
    vocabulary = reader.vocabulary
    for domain in ("face", "chat"):  # whose requests have no pose at the end
        assert not vocabulary.allowed([vocabulary.number["whole"]], ["a"], domain)[vocabulary.number["end="]]
    # untrained, but under the grammar
    assert reader.read("don't ??? 3").clauses and reader.read_face("don't ??? 3").clauses
    assert all(p.act for p in reader.read_turn("don't ??? 3"))


def test_words_have_the_mean_of_their_pieces() -> None:
    grounder = reading_grounder(RequestRecipe().model)
    (states,) = word_states([["unhurriedly", "walk"]], grounder)
    whole = grounder.states(["unhurriedly walk"])[0].astype(np.float32)
    count = grounder.pieces("unhurriedly")
    assert count > 1 and states.shape == (2, 2 * 384)
    np.testing.assert_allclose(states[0], whole[1 : 1 + count].mean(0), atol=2e-3)
    np.testing.assert_allclose(states[1], whole[1 + count], atol=2e-3)


def test_held_out_templates_and_actions_are_learnt_nowhere() -> None:
    pairs, apart = divided(all_ways(), material(), 12)
    assert not {w.text for w in pairs.ways} & {w.text for w in apart.ways}
    for name in ("actions", "impossible", "being_actions", "contacts", "beings"):
        assert getattr(apart.words, name) and not {*getattr(pairs.words, name)} & {*getattr(apart.words, name)}


def test_exactness_counts_every_sort_of_token() -> None:
    class Says:
        def targets(self, texts: object, domain: str) -> list[tuple[list[str | int], list[float]]]:
            return [(["new", 0, "times=", "#2", "end"], []), (["new", 0, "side=left", "end"], [])]

    right: list[str | int] = ["new", 0, "times=", "#2", "end"]
    found = exactness(Says(), [Pair(["walk", "twice"], right)] * 2, "body")  # type: ignore[arg-type]
    assert found == {"body/exact": 0.5, "body/clause": 1.0, "body/times": 0.5, "body/side": 0.0}


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
    ("(kneel) and [B.hold=yes] (B: stay) there for [B.s=5: five seconds]", "kneel; stay seconds=5 hold=yes"),
    ("(punch) [other: <his|his> friend]", 'punch other="his friend"'),
])  # fmt: skip
def test_marks_say_what_is_meant(way: str, compact: str) -> None:
    assert meaning(way).compact == compact


def test_slots_are_filled() -> None:
    found = meaning("{who} {does} {n} times {place}")
    clause = found.clauses[0]
    assert clause.action == "waves the hand" and clause.side in ("left", "right") and clause.times
    assert meaning("{do} for {min} minutes").clauses[0].seconds % 30 == 0  # type: ignore[operator]


def test_what_is_not_shown_has_words_of_its_own() -> None:
    words = Material(
        WORDS.actions, WORDS.who, WORDS.places, WORDS.objects, impossible=["turn into <a bat|a bat>"],
        being_actions=["bark"], contacts=["hug"], beings=["the dog"], others=["their friend"],
    )  # fmt: skip
    melted, barked = meaning("{who} [unknown=yes] {xdoes}", words), meaning("[unknown=yes] ({being} {ydoes})", words)
    assert (melted.clauses[0].action, melted.clauses[0].known) == ("turns into a bat", False)
    assert (barked.clauses[0].action, barked.clauses[0].known) == ("the dog barks", False)
    assert meaning("{who} {zdoes} [other: {other}]", words).compact == 'hugs other="his friend"'


def test_how_sure_an_action_is_unknown() -> None:
    found = assembled(["new", 0, "unknown=yes", "end"], ["melt"], [0.3, 0.3, 0.7, 1.0])
    assert found is not None and (found.clauses[0].known, found.clauses[0].sure) == (False, 0.7)


@pytest.mark.parametrize("way", [
    "{do} [tempo=quick: fast]", "{dont}", "{B.n} times {do}", "[n: often] {do}", "{do} [loud: loudly]", "{B+.do}",
    "{do",
])  # fmt: skip
def test_marks_that_cannot_be_read(way: str) -> None:
    with pytest.raises(UserError):
        read_ways(way)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_way_can_be_written_under_the_grammar(domain: str) -> None:
    vocabulary, pairs = Vocabulary(), Pairs(all_ways(domain), material(domain), states=domain == "chat")
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


def test_turns_are_learnt_behind_the_state_of_the_conversation() -> None:
    rng, words = np.random.default_rng(3), material("chat")
    ways = [*read_ways("<<asked=times>> [act=loop] {n}"), *read_ways("[act=then] {do}")]
    pairs = Pairs(ways, words, states=True)
    for way in ways * 20:
        pair = pairs.filled(way, rng)
        assert pair.words[STATE_WORDS - 1] == "|" and pair.words[0] in ("asked", "faces")
        assert all(t >= STATE_WORDS for t in pair.target if isinstance(t, int))
        assert way.state.get("asked", ("none",))[0] == pair.words[1] or len(pair.words) >= STATE_WORDS + 3
    (way,) = read_ways("<<faces=yes>> [act=face] {fdo}")
    assert pairs.filled(way, rng).words[0] == "faces" == TurnState(faces=True).words[0]
    assert Pairs(ways, words).ways == ways[1:], "an answer means nothing without its question"
    for wrong in ("<<asked=maybe>> {do}", "<<mood=good>> {do}"):
        with pytest.raises(UserError, match="accepted: asked=none,take"):
            read_ways(wrong)


def test_weights_from_before_the_states_read_as_they_did() -> None:
    recipe = RequestRecipe(**resolve(CONFIG))
    words = ["walk", "2", "m"]
    former, present = Vocabulary(states=False), Vocabulary()
    assert len(former) == len(present) and "act=rename" not in former.tokens
    assert former.allowed([former.number["act=then"]], words, "chat")[len(former) :].all()
    config = recipe.model.model_copy(update={"state": False})
    assert RequestReader(RequestNetwork(config)).read_turn("2", TurnState(asked="take"))
    behind = [*TurnState(asked="times", last="loop", timeline="one").words, *words]
    open_ = present.allowed([present.number["act=loop"], present.number["times="]], behind, "chat")
    assert [behind[i] for i in np.flatnonzero(open_[len(present) :])] == ["2"]
