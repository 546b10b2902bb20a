"""The suites `scenes_fresh` and `next_activity`: plans of what scenes say, and activities after what was shown."""
# An event is in a plan where an activity has nearly its words or its meaning: lemmas in common (Jaccard) and the cosine
# of the sentence encoder, both thresholds below. Order is that of the longest common subsequence.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, folder
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.checks import pattern
from avatargpt.planning.language_planner import CheckedPlanner
from avatargpt.planning.library import actor_of
from avatargpt.planning.types import Activity, Plan, Planner
from avatargpt.requests.english import lemmas
from vqvae.io.data_files import json_rows

if TYPE_CHECKING:
    from avatargpt.evaluation.plans import Encode

MIN_COSINE = 0.8  # from which an activity is an event, whatever its words
MIN_COSINE_SAME_WORDS, MIN_SHARED = 0.6, 0.5  # or if so many of their words are the same


def evaluate(run: Run) -> dict[str, Any]:
    """The suite `scenes_fresh`: plans every scene.

    Options: ``rows``, of ``scene``, ``person`` (he, she, it, or they where the scene leaves it open), ``events`` in
    order.

    Returns:
        ``events``: share of the named events that are in the plan, in order; ``complete``: of the scenes with three
        or more events those with all; ``added``: activities that are none of them, per such scene; ``persons``: plans
        whose pronouns are those of the scene's person; and all plans.
    """
    planner, encode = _planner(run), SentenceGrounder().sentence
    events, complete, added, persons, plans = [], [], [], [], []
    for _, row in json_rows(folder() / str(run.suite.options["rows"])):
        plan = planner.plan(row["scene"], seed=run.suite.seeds[0])
        plans.append(plan.to_json() | {"kind": row["kind"], "named": row["events"]})
        persons.append(person_right(plan, row["person"]))
        if not row["events"]:
            continue
        # Tasks without their actor.
        kept = in_order(row["events"], [a.task.rstrip(".").partition(" ")[2] for a in plan.activities], encode)
        events += [1.0] * kept + [0.0] * (len(row["events"]) - kept)
        if len(row["events"]) >= 3:
            complete.append(float(kept == len(row["events"])))
            added.append(float(len(plan.activities) - kept))
    return {"results": {
        "events": figure(events), "complete": figure(complete), "added": figure(added), "persons": figure(persons),
        "noted": plain(float(np.mean([bool(p.get("notes")) for p in plans]))),
    }, "plans": plans}  # fmt: skip


def in_order(events: Sequence[str], activities: Sequence[str], encode: Encode) -> int:
    """How many events are among activities in their order; verb phrases without their actor."""
    texts = [f"a person {t}" for t in (*events, *activities)]
    vectors = encode(texts)
    n, m = len(events), len(activities)
    cosine = vectors[:n] @ vectors[n:].T
    longest = np.zeros((n + 1, m + 1), int)
    for i in range(n):
        for k in range(m):
            a, b = {*lemmas(events[i])}, {*lemmas(activities[k])}
            shared = len(a & b) / max(len(a | b), 1)
            same = cosine[i, k] >= MIN_COSINE or (shared >= MIN_SHARED and cosine[i, k] >= MIN_COSINE_SAME_WORDS)
            longest[i + 1, k + 1] = max(longest[i, k + 1], longest[i + 1, k], longest[i, k] + same)
    return int(longest[n, m])


def person_right(plan: Plan, person: str) -> float:
    """1 where the pronouns of all activities are those of the person; ``they``: one of them throughout."""
    genders = {g for a in plan.activities if (g := actor_of((a.task, *a.steps)))}
    return float(len(genders) <= 1 and (person == "they" or genders <= {person}))


def _planner(run: Run) -> Planner:
    """The planner under test."""
    from avatargpt import planning

    if isinstance(run.model, CheckedPlanner) or not hasattr(run.model, "body"):
        given: Planner = run.model
        return given
    return planning.load_planner("retrieval", run.model.body.model)


def evaluate_next(run: Run) -> dict[str, Any]:
    """The suite `next_activity`: asks for the next activity after each of two descriptions.

    Options: ``rows``, of ``scene``, ``past`` activities, two texts ``described``, and what ``fits`` after each, in
    words; ``gets_up``, ``puts_down``: patterns.

    Returns:
        ``differs``: share of pairs whose activities are not the same; ``begins``: those whose first one gets up or puts
        down as its ``sort`` wants, and the other does not begin with it; ``both``: of both; all activities.
    """
    suite, planner = run.suite, _planner(run)
    differs, begins, asked = [], [], []
    for _, row in json_rows(folder() / str(suite.options["rows"])):
        past = [Activity.from_json(a) for a in row["past"]]
        first, other = (planner.next_activity(row["scene"], past, d, seed=suite.seeds[0]) for d in row["described"])
        wanted = pattern(str(suite.options["puts_down" if row["sort"] == "holding" else "gets_up"]), "next_activity")
        differs.append(float(first != other))
        begins.append(float(any(map(wanted.search, first.steps)) and not wanted.search(other.steps[0])))
        asked.append(row | {"activities": [first.to_json(), other.to_json()], "fits": row["fits"]})
    both = np.array(differs) * np.array(begins)
    return {"results": {"differs": figure(differs), "begins": figure(begins), "both": figure(both)}, "pairs": asked}
