"""Which known action is meant, and what is not known."""

from pathlib import Path

import pytest

from avatargpt.__main__ import main
from avatargpt.reading.reader import MIN_KNOWN
from avatargpt.requests.clause_spec import ClauseSpec, one_by_one
from avatargpt.requests.resolver import RequestResolver, ResolvedRequest
from avatargpt.resources import weights
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError


def test_what_is_not_known_is_told_with_what_is_shown() -> None:
    clauses = (
        ClauseSpec("a person waves", 0.6, words="plays the lute", known=MIN_KNOWN - 0.1),
        ClauseSpec("a person walks", 0.9, words="walk", concurrent=ClauseSpec("he nods", 0.5, words="hums", known=0.0)),
    )
    assert ResolvedRequest("", clauses=clauses).warnings == (
        "not known: 'plays the lute'; near: 'a person waves'", "not known: 'hums'; near: 'he nods'",
    )  # fmt: skip


def test_another_person_is_named_and_the_action_is_known() -> None:
    typed = MotionRequest(clauses=[Clause(action="hug", other="his friend")])
    request = ResolvedRequest(typed, typed, (ClauseSpec("a person hugs", 0.9, words="hug"),))
    assert request.known and request.warnings == ("not shown: 'his friend', for only one person is",)


def test_words_that_nothing_shows_and_numbers_that_are_not_read_are_named() -> None:
    clauses = [Clause(action="wave", times=3), Clause(action="hum", known=False)]
    typed = MotionRequest(clauses=clauses, unshown=["in the rain", "in the rain"], unread=["7", "45", "7"])
    specs = (ClauseSpec("he waves", 0.9, words="wave"), ClauseSpec("hum", 0.0, words="hum", known=0.0))
    assert ResolvedRequest(typed, typed, specs).warnings == (
        "not known: 'hum'; no caption is near", "not shown: 'in the rain'", "not followed: 7, 45; 'wave': 3 times",
    )  # fmt: skip


def test_a_count_that_nothing_reaches_is_refused_or_said(resolver: RequestResolver) -> None:
    try:
        unread = resolver.read("waves 1000000 times").unread
    except UserError as e:
        assert "1000000 times; accepted 1 to 100" in str(e)
    else:
        assert unread == ["1000000"]  # which a line says
    read = resolver.read("walks 3 m, then waves 2 times")
    assert [(c.distance, c.times) for c in read.clauses] == [(3.0, None), (None, 2)] and not read.unread


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


@pytest.mark.parametrize(("actions", "together", "captions", "beside"), [
    (("throw a ball", "catch a ball"), False, ["throws a ball", "catches a ball"], ""),
    (("jump over an obstacle", "running"), True, ["runs and jumps over something"], ""),  # its caption names both
    (("limp", "holding the belly"), True, ["limps and holds the belly"], ""),
    (("crawl", "doing squats"), True, ["crawl"], "squat"),  # no caption does
])  # fmt: skip
def test_one_caption_for_two_actions_names_both(
    resolver: RequestResolver, actions: tuple[str, str], together: bool, captions: list[str], beside: str
) -> None:
    clauses = [Clause(action=actions[0]), Clause(action=actions[1], together=together)]
    request = MotionRequest(clauses=clauses, text=" ".join(actions))
    specs = resolver.phrase_index.resolve(request, resolver.grounder)
    assert len(specs) == len(captions)
    assert all(words in spec.caption for words, spec in zip(captions, specs, strict=True))
    other = specs[-1].concurrent
    assert other.tentative and beside in other.caption if beside and other else not beside and other is None
    in_turn = [s.in_sequence for s in one_by_one(specs)]
    assert in_turn == [False] * len(specs) + [True] * bool(beside)


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
