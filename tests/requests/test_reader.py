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
    assemble_face,
    make_word_grounder,
    word_states,
)
from avatargpt.train.loop import run
from avatargpt.train.request_reader import RequestRecipe, RequestStage, divide_pairs, exactness
from avatargpt.train.runtime import Runtime
from instruct_data.factory.requests.pairs import Pair, Pairs, inflect_action
from instruct_data.factory.requests.ways import DOMAINS, SlotMaterial, all_ways, material, read_ways
from instruct_data.requests.spec import Clause, FaceRequest, MotionRequest
from instruct_data.text.numerals import value_of, words_of
from vqvae.errors import UserError

CONFIG = f"{Path(__file__).parents[2] / 'configs' / 'requests.yaml'}:debug"


@cache
def shared_grounder() -> SentenceGrounder:
    """One for all runs: it remembers the states of texts."""
    return make_word_grounder(RequestRecipe(**resolve(CONFIG)).model)


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
    assert reader.read_face("smile, then blink twice") == again.read_face("smile, then blink twice")
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
            reader.read_face(text)
    vocabulary = reader.vocabulary
    # a face's requests have no pose at the end
    assert not vocabulary.mask_allowed([vocabulary.number["whole"]], ["a"], "face")[vocabulary.number["end="]]
    # untrained, but under the grammar
    assert reader.read_face("don't ??? 3").clauses


def test_words_have_the_mean_of_their_pieces() -> None:
    grounder = make_word_grounder(RequestRecipe().model)
    (states,) = word_states([["unhurriedly", "walk"]], grounder)
    whole = grounder.states(["unhurriedly walk"])[0].astype(np.float32)
    count = grounder.pieces("unhurriedly")
    assert count > 1 and states.shape == (2, 2 * 384)
    np.testing.assert_allclose(states[0], whole[1 : 1 + count].mean(0), atol=2e-3)
    np.testing.assert_allclose(states[1], whole[1 + count], atol=2e-3)


def test_held_out_templates_and_actions_are_learnt_nowhere() -> None:
    pairs, apart = divide_pairs(all_ways(), material(), 12)
    assert not {w.text for w in pairs.ways} & {w.text for w in apart.ways}
    assert apart.words.actions and not {*pairs.words.actions} & {*apart.words.actions}


def test_exactness_counts_every_sort_of_token() -> None:
    class Says:
        def targets(self, texts: object, domain: str) -> list[tuple[list[str | int], list[float]]]:
            return [(["new", 0, "times=", "#2", "end"], []), (["new", 0, "side=left", "end"], [])]

    right: list[str | int] = ["new", 0, "times=", "#2", "end"]
    found = exactness(Says(), [Pair(["walk", "twice"], right)] * 2, "face")  # type: ignore[arg-type]
    assert found == {"face/exact": 0.5, "face/clause": 1.0, "face/times": 0.5, "face/side": 0.0}


WORDS = SlotMaterial(["raise the {side} brow"], [("a man", "he")], ["in the rain"], ["ball"], sided=False)


def meaning(way: str, words: SlotMaterial = WORDS, seed: int = 0) -> FaceRequest:
    pair = Pairs([], words).fill_way(read_ways(way)[0], np.random.default_rng(seed))
    found = assemble_face(pair.target, pair.words)
    assert found is not None
    return found


def told(request: FaceRequest) -> list[dict[str, object]]:
    return [c.model_dump(exclude_defaults=True) for c in request.clauses]


@pytest.mark.parametrize(("way", "clauses"), [
    ("(smile) [course=rising: little by little] for [s=3: three seconds]",
     [{"action": "smile", "course": "rising", "seconds": 3.0}]),
    ("don't (B!: blink), just (look up)", [{"action": "look up"}, {"action": "blink", "denied": True}]),
    ("(B: nod) after (A: smiling)", [{"action": "smiling"}, {"action": "nod"}]),
    ("(smile) while (B+: nodding) [B.tempo=fast: fast]",
     [{"action": "smile"}, {"action": "nodding", "together": True, "tempo": "fast"}]),
    ("(A,B: raise) the left (A: brow), then the right (B: one)",
     [{"action": "raise brow"}, {"action": "raise one"}]),
    ("(wink) on [word: never]", [{"action": "wink", "word": "never"}]),
])  # fmt: skip
def test_marks_say_what_is_meant(way: str, clauses: list[dict[str, object]]) -> None:
    assert told(meaning(way)) == clauses


def test_slots_are_filled() -> None:
    clause = meaning("{who} {does} {n} times {place}").clauses[0]
    assert clause.action in ("raises the left brow", "raises the right brow") and clause.times
    assert meaning("{do}, all in all [total_s=5: five seconds]").seconds == 5
    assert meaning("{do} for {min} minutes").clauses[0].seconds % 30 == 0  # type: ignore[operator]


def test_how_sure_a_clause_is() -> None:
    found = assemble_face(["new", 0, "tempo=fast", "end"], ["blink"], [0.9, 0.8, 0.7, 1.0])
    assert found is not None and found.clauses[0].sure == 0.7


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
    drawn = [pairs.fill_way(w, rng) for w in all_ways(domain)] + [pairs.draw(rng) for _ in range(300)]
    for pair in drawn:
        numbers = vocabulary.encode(pair.target)
        assert len(numbers) < MAX_TARGET
        for k, number in enumerate(numbers):
            assert vocabulary.mask_allowed(numbers[:k], pair.words, domain)[number], (pair, k)
        assert vocabulary.decode(numbers) == pair.target


def test_the_grammar_ends_what_would_go_on() -> None:
    vocabulary, words = Vocabulary(), ["walk", "3", "times"]
    rng = np.random.default_rng(2)
    for _ in range(50):
        before: list[int] = []
        while not before or before[-1] != 0:
            before.append(int(rng.choice(np.flatnonzero(vocabulary.mask_allowed(before, words)))))
        assert assemble_face(vocabulary.decode(before), words) is not None


def test_numbers_and_forms() -> None:
    assert value_of(["twenty", "five"]) == 25 and value_of(["2,5"]) == 2.5 and value_of(["1:30"]) == 90
    assert value_of(["two", "hundred"]) == 200 and value_of(["often"]) is None
    assert [inflect_action("run off", f) for f in ("do", "does", "doing", "did")] == [
        "run off", "runs off", "running off", "ran off",
    ]  # fmt: skip
    assert words_of("Don’t walk 3x,\n1.5s!") == ["don't", "walk", "3", "x", ",", ";", "1.5", "s", "!"]


def test_nothing_before_the_first_is_together() -> None:
    with pytest.raises(ValueError, match="together"):
        MotionRequest(clauses=[Clause(action="walk", together=True)])
