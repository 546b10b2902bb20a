"""Which known action is meant, and what is not known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt import AvatarGPT
from avatargpt.__main__ import main
from avatargpt.requests.clause_spec import MIN_KNOWN, ClauseSpec
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.phrase_scoring import COMPARED_ACTIONS, FEATURES, KnownActionClassifier, PhraseScores, features
from avatargpt.requests.resolver import RequestResolver, ResolvedRequest
from avatargpt.resources import weights
from avatargpt.train.phrase_index import _Network, strangers
from instruct_data.requests.spec import Clause, MotionRequest


@pytest.fixture(scope="module")
def book() -> PhraseIndex:
    found = AvatarGPT.from_pretrained().phrase_index
    assert found is not None and found.classifier is not None
    return found


def sight(scores: list[float]) -> PhraseScores:
    n = len(scores)
    no = np.zeros(n, bool)
    return PhraseScores(np.array(scores), np.array(scores), np.zeros(n), no, no, False, 2)


def test_features_of_the_nearest_actions() -> None:
    group = np.array([0, 1, 1, 2])
    members = [np.array([0]), np.array([1, 2]), np.array([3])]
    actions, told = features(sight([0.5, 0.2, 0.9, 0.1]), group, members)
    assert actions.tolist() == [1, 0, 2]
    assert told.shape == (3, FEATURES) and told[0, 0] == np.float32(0.9) and np.isfinite(told).all()


def test_the_network_is_the_one_that_was_trained() -> None:
    torch.manual_seed(0)
    network = _Network()
    told = np.random.default_rng(0).normal(size=(COMPARED_ACTIONS, FEATURES)).astype(np.float32)
    arrays = {k: v.detach().numpy() for k, v in network.named_parameters()}
    chooser = KnownActionClassifier({"mean": np.zeros(FEATURES), "scale": np.ones(FEATURES), **arrays})
    with torch.no_grad():
        wanted = network(torch.from_numpy(told)[None])[0].numpy()
    np.testing.assert_allclose(chooser.logits(told), wanted, atol=1e-5)
    assert len(chooser.logits(told[:2])) == 3  # fewer actions than are looked at for "none"


def test_a_saved_index_chooses_alike(book: PhraseIndex, tmp_path: Path) -> None:
    book.save(tmp_path)
    again = PhraseIndex.load(tmp_path)
    assert again is not None and again.classifier is not None and book.classifier is not None
    for name, array in book.classifier.arrays.items():
        np.testing.assert_array_equal(again.classifier.arrays[name], array)


def test_strangers_are_no_actions_of_the_book(book: PhraseIndex) -> None:
    said = strangers(book)
    assert not {s.lower() for s in said} & {k.lower() for k in book.keys}


def test_what_is_not_known_is_told_with_what_is_shown() -> None:
    clauses = (
        ClauseSpec("a person waves", 0.6, words="plays the lute", known=MIN_KNOWN - 0.1),
        ClauseSpec("a person walks", 0.9, words="walk", concurrent=ClauseSpec("he nods", 0.5, words="hums", known=0.0)),
    )
    assert ResolvedRequest("", clauses=clauses).warnings == (
        "not known: 'plays the lute'; nearest: 'a person waves'", "not known: 'hums'; nearest: 'he nods'",
    )  # fmt: skip


def test_another_person_is_named_and_the_action_is_known() -> None:
    typed = MotionRequest(clauses=[Clause(action="hug", other="his friend")])
    request = ResolvedRequest(typed, typed, (ClauseSpec("a person hugs", 0.9, words="hug"),))
    assert request.known and request.warnings == ("not shown: 'his friend', for only one person is",)


def test_a_number_that_is_not_read_is_named(book: PhraseIndex) -> None:
    assert book.reader is not None
    request = book.reader.read("waves 1000000 times")
    (clause,) = request.clauses
    assert ResolvedRequest(request, request).warnings == (f"not followed: 1000000; 'waves': {clause.times} times",)
    assert not book.reader.read("walks 3 m, then waves 2 times").unread


def test_commands_say_and_refuse_what_is_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "photosynthesize"
    assert main(["generate", text, "-o", str(tmp_path / "a.npz"), "--strict", "-q"]) == 2
    err = capsys.readouterr().err
    assert "not known: 'photosynthesize'" in err and not list(tmp_path.iterdir())
    assert main(["generate", text, "--best-of", "1", "-o", str(tmp_path / "a.npz"), "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert '"known": false' in out and "not known: 'photosynthesize'; " in err


@pytest.fixture(scope="module")
def resolver() -> RequestResolver:
    return RequestResolver.load(weights())


@pytest.mark.parametrize(("actions", "together", "captions", "after"), [
    (("throw a ball", "catch a ball"), False, ["throws a ball", "catches a ball"], False),
    (("jump over an obstacle", "running"), True, ["runs and jumps over something"], False),  # its caption names both
    (("balance foot", "arms out"), True, ["holds both arms out and balances on one foot"], False),
    (("limp", "holding the belly"), True, ["limps and holds the belly"], False),
    (("crawl", "doing squats"), True, ["crawl", "squat"], True),  # no caption does
])  # fmt: skip
def test_one_caption_for_two_actions_names_both(
    resolver: RequestResolver, actions: tuple[str, str], together: bool, captions: list[str], after: bool
) -> None:
    clauses = [Clause(action=actions[0]), Clause(action=actions[1], together=together)]
    request = MotionRequest(clauses=clauses, text=" ".join(actions))
    specs = resolver.phrase_index.resolve(request, resolver.grounder)
    assert len(specs) == len(captions)
    assert all(words in spec.caption for words, spec in zip(captions, specs, strict=True))
    assert specs[-1].in_sequence == after


def test_what_two_concurrent_actions_have_in_common_keeps_its_direction(resolver: RequestResolver) -> None:
    clauses = [Clause(action="walk", direction="backward"), Clause(action="looking ahead", together=True)]
    (spec,) = resolver.phrase_index.resolve(MotionRequest(clauses=clauses), resolver.grounder)
    assert spec.action == "walk_back" and spec.known >= MIN_KNOWN and spec.attributes["direction"] == "backward"


def test_a_concurrent_action_that_is_not_known_is_left_out(resolver: RequestResolver) -> None:
    clauses = [Clause(action="walk"), Clause(action="photosynthesize", together=True)]
    specs = resolver.phrase_index.resolve(MotionRequest(clauses=clauses), resolver.grounder)
    assert [s.action for s in specs] == ["walk"]
    lines = ResolvedRequest("", clauses=tuple(specs)).warnings
    assert lines == ("not known: 'photosynthesize'; left out",)


def test_clauses_of_the_same_words_keep_their_own_captions(resolver: RequestResolver) -> None:
    request = resolver.read("turn left 90 degrees and turn right 180 degrees")
    assert ["left" in c.nearest for c in request.clauses] == [True, False]
