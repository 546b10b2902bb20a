"""The suite `degradations`: its rows, what counts as punished, and what is said of the rest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avatargpt import evaluation
from avatargpt.evaluation.body import synthetic
from avatargpt.evaluation.degradations import bodies, cases, faces, table
from avatargpt.evaluation.degradations.cases import Case, Settings, Sources, Worse
from avatargpt.evaluation.degradations.shown import Pool
from avatargpt.evaluation.suites import Entry
from avatargpt.metrics.degraded import AS_IT_IS, DEGRADATIONS, fitting
from avatargpt.metrics.geometry import predicates
from instruct_data.face.render import render
from instruct_data.face.score import Event, Score
from vqvae.errors import UserError

SUITE = evaluation.load("degradations")


def value(mean: float | None, about: float | None = 0.01) -> dict[str, Any]:
    if mean is None or about is None:
        return {"mean": mean}
    return {"mean": mean, "low": mean - about, "high": mean + about, "n": 5}


def test_the_suite_names_figures_as_their_own_suites_do() -> None:
    """A figure is `SUITE FIGURE`, better in the same direction and in the same unit; reasons belong to pairs."""
    figures = {k: v for k, v in SUITE.metrics.items() if k not in ("punished", "unexplained")}
    for name, about in figures.items():
        suite, head = name.split()[:2]
        own = evaluation.load(suite).metrics[head]
        if own["higher_is_better"] is not None and "overlap" not in name:
            assert own["higher_is_better"] == about["higher_is_better"], name
            assert own.get("unit", "") == about.get("unit", ""), name
    for name, reasons in SUITE.options["blind"].items():
        assert name in figures and set(reasons) <= set(DEGRADATIONS) and all(reasons.values()), name


@pytest.mark.parametrize(
    ("found", "usual", "higher", "expected"),
    [
        (value(0.5), value(0.9), True, True),
        (value(0.895), value(0.9), True, False),  # within the interval
        (value(0.5, 0.5), value(0.9), True, False),  # its own interval reaches that far
        (value(0.95), value(0.9), True, False),
        (value(0.95), value(0.9), False, True),
        (value(None), value(0.9), True, True),
        (value(0.82, None), value(0.9, None), True, False),  # by less than a tenth
        (value(0.8, None), value(0.9, None), True, True),
        (value(0.1, None), value(0.0, None), False, True),
    ],
)
def test_worse(found: dict[str, Any], usual: dict[str, Any], higher: bool, expected: bool) -> None:
    assert table.worse(found, usual, higher) is expected


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(worse: Worse) -> dict[str, Any]:
        if worse.name == "half length":
            raise UserError("too short")
        return {"own": value(0.9 if worse.name in (AS_IT_IS, "mirrored", "noise") else 0.3)}

    def nothing(sources: Sources) -> Case:
        raise UserError("not given")

    made = {"families": lambda s: Case("families", ("own",), judge), "gesture": nothing, "seams": nothing}
    monkeypatch.setattr(table, "CASES", made)
    suite = replace(SUITE, options={"blind": {"families own": {"mirrored": "sides are open"}}})
    got = table.score(suite, None, None, None)
    rows = [f"families own/{name}" for name in (AS_IT_IS, *DEGRADATIONS)]
    assert list(got["results"]) == ["punished", "unexplained", *rows]
    assert got["results"]["punished"]["mean"] == pytest.approx(5 / 7, abs=1e-4)
    assert got["results"]["unexplained"] == {"mean": 1, "n": 7}
    assert got["not_punished"] == [
        {"figure": "families own", "degradation": "noise", "reason": ""},
        {"figure": "families own", "degradation": "mirrored", "reason": "sides are open"},
    ]
    assert got["refused"] == [{"item": "families/half length", "reason": "too short"}]
    assert got["absent"] == [{"item": "gesture", "reason": "not given"}, {"item": "seams", "reason": "not given"}]
    assert got["warnings"] == ["the table is partial, without gesture, seams: not given"]


def sources(**given: Any) -> Sources:
    out = Sources(None, None, None, Settings(), 0)
    out.__dict__.update(given)  # in place of what is read when it is first asked for
    return out


def test_families_and_faces_by_their_own_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claps and squats fall in every way that they can; so do a wink and a smile after it."""
    clips = list(synthetic.made(2, only=["clap", "squat"]))
    case = bodies.of_families(sources(keyframed=clips))
    rate = {name: case.judge(Worse(name, 0))["own"]["mean"] for name in (AS_IT_IS, *DEGRADATIONS)}
    assert rate[AS_IT_IS] == rate["mirrored"] == 1
    assert max(rate["shuffled time"], rate["constant pose"], rate["half length"]) < 1
    scores = [Score(4.0, (Event("wink_left", 0.5, 0.5), Event("smile", 2.0, 1.5)))]
    monkeypatch.setattr(faces.given, "sources", lambda suite, data: {"own": scores})
    facial = faces.of_instructions("face_instructions", "own", ("events",))(sources())
    done = {name: facial.judge(Worse(name, 0))["events/own"]["mean"] for name in (AS_IT_IS, *DEGRADATIONS)}
    assert done[AS_IT_IS] == 1
    assert all(done[name] < 1 for name in ("mirrored", "half speed", "double speed", "half length", "constant pose"))


def test_the_true_middle_is_right_and_worse_ones_are_not() -> None:
    clips = [c for c in synthetic.made(2, only=["clap", "walk_on_the_spot"]) if len(c.load()) >= 24]
    case = bodies.of_transitions("inbetween")(sources(held=clips))
    assert case.judge(Worse(AS_IT_IS, 0))["ade"]["mean"] < 1e-3
    for name in DEGRADATIONS:
        assert case.judge(Worse(name, 0))["ade"]["mean"] > 0.01, name
    case = faces.of_language(sources())
    assert case.judge(Worse(AS_IT_IS, 0))["between_error"]["mean"] == 0
    assert case.judge(Worse("noise", 0))["between_error"]["mean"] > 0.05


def test_clips_that_show_prompts() -> None:
    """One clip, two joined and one cut, each passing its check; nothing for what no clip shows."""
    pool = Pool(list(synthetic.made(3, only=["clap", "squat"])), 6)
    then, lasting = {"then": ["claps", "squats"]}, {"lasting": {"seconds": 1.5, "check": "claps"}}
    wanted = {"clap": ["claps"], "clap, then squat": [then], "clap for 1.5 seconds": [lasting], "crawl": ["crawls"]}
    shown, neutral = pool.shown([Entry(text, "single", checks) for text, checks in wanted.items()])
    assert set(shown) == set(wanted) - {"crawl"} and not neutral
    assert all(predicates.judge_all(wanted[text], motion).passed for text, motion in shown.items())
    assert shown["clap for 1.5 seconds"].seconds == pytest.approx(1.5)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data"):
        bodies.of_seams(sources())
    (tmp_path / "body").mkdir()
    (tmp_path / "body" / "captions.jsonl").write_text("")
    (tmp_path / "gesture").mkdir()
    assert replace(sources(), data=tmp_path).beside("gesture") == tmp_path / "gesture"
    with pytest.raises(UserError, match="no folder face here"):
        replace(sources(), data=tmp_path / "body").beside("face")
    with pytest.raises(UserError, match="no model"):
        bodies.of_describe(sources())


def test_fitting() -> None:
    face = render(Score(1.0, (Event("smile", 0.2, 0.6),)), 1)
    assert len(fitting(face, 10)) == 10 and len(fitting(face, 50)) == 50
    assert (fitting(face, 50).curves[-1] == face.curves[-1]).all()
    assert cases.Case("a", ("x/y",), lambda worse: {}).name("x/y") == "a x y"
