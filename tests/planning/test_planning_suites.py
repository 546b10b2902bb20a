"""The suites about plans, on a small planner and a stand-in for the motion side."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import plans
from avatargpt.evaluation.plans import Corruptor, JudgeTraining, measure, tabulate, train_scorer
from avatargpt.evaluation.suites import Suite
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from instruct_data.planning import PlannedActivity, PlannedScene, read_scenes
from vqvae.errors import UserError


def _suite(name: str, **options: Any) -> Suite:
    full = evaluation.load(name)
    given = {**full.options, **options}
    return Suite(full.name, full.version, full.kind, full.description, full.metrics, options=given)


def _rows() -> list[PlannedScene]:
    jobs = {"gardener": "rakes the leaves", "cook": "stirs the soup", "boxer": "skips rope"}
    return [
        PlannedScene(f"The {job} starts early.", (
            PlannedActivity(f"She {work}.", (f"she {work} with both hands", "she turns around")),
            PlannedActivity("She rests.", ("she wipes the forehead", f"she {work} again")),
            PlannedActivity("She goes home.", ("she walks to the left", "she waves with the left hand")),
        )) for job, work in jobs.items()
    ]  # fmt: skip


def test_own_scenes_are_sixty_and_in_no_corpus(shared: Path) -> None:
    own = {str(s) for s in evaluation.load("plans").options["scenes"]}
    folder = shared / "data/planning"
    known = {p.scene for name in ("train", "val") for p in read_scenes(folder / f"{name}.jsonl")}
    assert len(own) == 60 and not own & known


def test_plans_are_scored(planner: RetrievalPlanner) -> None:
    scenes = ["A clown walks home in the rain.", "The nurse has a long night."]
    result = plans.score_plans(_suite("plans", scenes=scenes), planner, _rows())
    figures = {k: v["mean"] for k, v in result["results"].items()}
    assert len(result["plans"]) == 5
    assert figures["well_formed"] == figures["distinct"] == 1 and figures["loops"] == figures["order_violations"] == 0
    assert all(0 <= figures[f"{k}/{n}"] <= 100 for k in ("bleu1", "bleu4", "rouge_l") for n in ("plan", "shuffled"))
    assert 0 < figures["coherence/plan"] < 1 and 0 <= figures["same_activity"] <= 1
    assert {k.split("/")[0] for k in figures} == set(evaluation.load("plans").metrics)
    json.dumps(result, allow_nan=False)


def test_a_plan_is_most_like_itself(planner: RetrievalPlanner) -> None:
    references = [plans.reference_plan(r) for r in _rows()]
    same = plans.likeness(references, references, planner)
    other = plans.likeness(references, references[1:] + references[:1], planner)
    assert np.allclose(same["bleu1"], 100) and np.allclose(same["rouge_l"], 100) and np.allclose(same["cosine"], 1)
    assert (other["rouge_l"] < 100).all() and (other["cosine"] < 0.999).all()


def test_the_nearest_scene_is_copied_as_it_stands(planner: RetrievalPlanner) -> None:
    plan = plans.nearest_plan(planner, planner.library.scenes[4], 3)
    assert [a.task for a in plan.activities] and len(plan.activities) == 3
    known = {t.replace("{^he}", "") for t in planner.library.tasks}
    assert all(any(a.task.endswith(k) for k in known) for a in plan.activities)


def test_corrupted_activities_differ_and_are_told_apart(planner: RetrievalPlanner) -> None:
    library, rng = planner.library, np.random.default_rng(0)
    corruptor = Corruptor(library)
    for task in range(0, len(library.tasks), 7):
        true = corruptor.true(task)
        for kind in ("shuffled", "foreign", "repeated", "one_foreign", "other_task", "same_plan"):
            wrong = corruptor.wrong(task, kind, rng)
            assert wrong != true and wrong.scene == true.scene
            assert (wrong.task == true.task) == (kind != "other_task")
        assert sorted(corruptor.wrong(task, "shuffled", rng).steps) == sorted(true.steps)
    kept, mixed = corruptor.continuation(3, "true", rng), corruptor.continuation(3, "shuffled", rng)
    assert sorted(i for r in kept for i in r.steps) == sorted(i for r in mixed for i in r.steps)
    assert kept != mixed
    scorer = train_scorer(library, JudgeTraining(dim=16, layers=1, epochs=12, batch=32, dropout=0.0), 0)
    assert measure(scorer, library)["auc_activity/foreign"] > 0.75


def test_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="planning"):
        plans.validation_plans(tmp_path)


def test_tables_leave_the_actor_out(planner: RetrievalPlanner, encoder: Any) -> None:
    held = tabulate(_rows(), encoder.sentence, planner.library)
    assert held.genders == ["she"] * 3
    assert held.steps[1] == "{he} turns around" and held.tasks[1] == "{^he} rests."
    assert [len(held.tasks_of(s)) for s in range(3)] == [3, 3, 3] and len(held.steps_of(0)) == 2
