"""A small planning corpus, stand-ins for sentence encoders, a planner, and an index of phrasings."""

import zlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avatargpt.evaluation.plans import JudgeTraining, measure, tabulate, train_scorer
from avatargpt.planning.library import Basis, KindTable, PlanLibrary, StoryPart, word_for_encoder
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.retriever import bag
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.planning import PlannedActivity, PlannedScene
from tests.factories import CountingGrounder

WORK = {
    "gardener": ("rakes the leaves", "digs a hole", "waters the roses", "plants a tree"),
    "cook": ("stirs the soup", "chops the onions", "tastes the sauce", "carries the plates"),
    "boxer": ("punches the bag", "skips rope", "ducks and weaves", "bandages the fists"),
    "nurse": ("makes the bed", "pushes the wheelchair", "checks the charts", "washes the floor"),
    "sailor": ("hoists the sail", "scrubs the deck", "coils the lines", "rows the boat"),
    "clown": ("juggles three balls", "slips on a peel", "rides a tiny bike", "blows up balloons"),
}
MOVES = (
    "walks to the left", "bends down and picks something up", "lifts both arms", "sits down and rests", "jumps twice",
    "stands up slowly", "kneels on the right knee", "wipes the forehead", "shakes the head", "runs forward",
    "turns around", "waves with the left hand", "claps twice", "lies down on the back", "gets up and stretches",
)  # fmt: skip


class Encoder:
    """Vectors of bags of words: texts that share words are near."""

    def sentence(self, texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), 384), np.float32)
        for row, text in zip(out, texts, strict=True):
            for word in text.lower().replace(".", "").replace(",", "").split():
                row += np.random.default_rng(zlib.crc32(word.encode())).normal(size=384)
        return out / np.linalg.norm(out, axis=1, keepdims=True)


def corpus(seed: int, repeat: int = 3) -> list[PlannedScene]:
    """Plans of every profession, half of them hers."""
    rng = np.random.default_rng(seed)
    plans = []
    for n in range(repeat):
        for job, works in WORK.items():
            he = "he" if (n + len(job)) % 2 else "she"
            activities = []
            for k in rng.permutation(len(works))[:3]:
                moves = [MOVES[int(i)] for i in rng.permutation(len(MOVES))[:2]]
                steps = [f"{he} {works[k]} with both hands", *(f"{he} {m}" for m in moves)]
                activities.append(PlannedActivity(f"{he.capitalize()} {works[k]}.", tuple(steps)))
            plans.append(PlannedScene(f"A {job} is at work, day {n}.", tuple(activities)))
    return plans


LIFE = {  # kind -> task, steps, where it may stand
    "baker": (
        ("lights the oven", "squats and blows hard", 1), ("puts on an apron", "ties something behind {his} back", 1),
        ("kneads the dough", "pushes with both palms", 2), ("sits on a flour sack", "sits down and yawns", 2),
        ("rolls the dough", "rolls both hands forward", 2), ("shapes loaves", "circles both palms", 2),
        ("sweeps the flour", "walks and sweeps to the door", 3), ("eats the first slice", "bites and chews slowly", 3),
    ),
    "pilot": (
        ("climbs aboard", "climbs five steps", 1), ("checks the wings", "strokes along a wing", 1),
        ("grips the stick", "grips with the right fist", 2), ("waves to the tower", "waves with the left hand", 2),
        ("lands softly", "leans back with bent knees", 3), ("walks off the airfield", "walks off with long strides", 3),
    ),
}


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder()


RELATIONS = ("scene_task", "scene_steps", "task_steps", "task_next", "steps_task", "step_next")


def kind_table(encode: Any) -> KindTable:
    """The kinds of a baker and of a pilot as a library holds them, with four wordings of each scene."""
    moments = [(place, when) for place in ("here", "there") for when in ("at dawn", "in the sun")]
    scenes = [
        f"A young {job} is a {job} at work {place} {when}." if k % 2 else f"Again a young {job}, the {job}, works on."
        for job in LIFE for k, (place, when) in enumerate(moments)
    ]  # fmt: skip
    parts = [
        tuple(StoryPart(f"{{^he}} {t}.", (f"{{he}} {s}", f"{{he}} nods, for {{he}} {t}"), frozenset((at,)))
              for t, s, at in rows) for rows in LIFE.values()
    ]  # fmt: skip
    common = "here there at dawn in the sun"
    words = [" ".join(sorted(bag((f"is a {job} at work", f"Again, the {job}, works on.", common)))) for job in LIFE]
    tasks = [word_for_encoder(p.task) for row in parts for p in row]
    return KindTable([*LIFE], parts, sorted((f"a young {job}", "she") for job in LIFE), encode(scenes),
                     np.repeat(np.arange(len(LIFE)), len(moments)), encode(tasks), words)  # fmt: skip


@pytest.fixture(scope="session")
def library(encoder: Encoder) -> PlanLibrary:
    plans = corpus(0)
    texts = [t for p in plans for t in (p.scene, *(x for a in p.activities for x in (a.task, *a.steps)))]
    widths: Any = SimpleNamespace(
        basis=Basis.fit(encoder.sentence(texts), 16), scene_vectors=np.zeros((1, 16)), task_vectors=np.zeros((1, 12))
    )
    library = tabulate(plans, encoder.sentence, widths)
    projection = np.eye(12, 8, dtype=np.float32)
    library.projections = {f"{name}/{side}": projection for name in RELATIONS for side in ("from", "to")}
    scorer = train_scorer(library, JudgeTraining(dim=16, layers=1, epochs=1, batch=32), 0)
    library.scorer = {k: v.detach().numpy() for k, v in scorer.state_dict().items()}
    library.figures = measure(scorer, tabulate(corpus(1, 1), encoder.sentence, library))
    library.kinds = kind_table(encoder.sentence)
    return library


@pytest.fixture(scope="session")
def planner(library: PlanLibrary, encoder: Encoder) -> RetrievalPlanner:
    return RetrievalPlanner(library, encoder)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def grounder() -> CountingGrounder:
    return CountingGrounder("walk wave bow sit kneel hand left right raise arm", 0.3)


@pytest.fixture(scope="session")
def phrases(grounder: CountingGrounder) -> PhraseIndex:
    keys = ["a person walks", "raise the left arm", "a person raises their left arm", "a person bows", "sit down"]
    captions = ["a person walks", "a person raises their left arm", "a person raises their left arm", "a person bows",
            "someone sits down"]  # fmt: skip
    classes = ["walk", "raise", "raise", "bow", "sit"]
    sides = ["", "left", "left", "", ""]
    return PhraseIndex(keys, [{"": s} for s in captions], classes, sides, {}, {}, grounder.sentence(keys))
