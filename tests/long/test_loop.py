"""The closed loop on a model of random weights: length, seeds, memory of what was done, the manner, the timeline."""

import types
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from avatargpt import planning
from avatargpt.api import AvatarGPT
from avatargpt.body.contact import KEPT, LOOK_AHEAD
from avatargpt.body.judge import SURE, Judgement
from avatargpt.long import loop
from avatargpt.long.loop import Director, likeness, manner_of
from avatargpt.long.outcome import Verifier
from avatargpt.long.pipeline import (
    CHUNK,
    MIN_TOKENS,
    NO_TIME,
    ONSET_TOKENS,
    TRANSITION_SAMPLES,
    TRANSITIONS,
    StepClause,
    StepPipeline,
)
from avatargpt.long.spans import Span, timeline
from avatargpt.long.stream import MotionStream
from avatargpt.options import GenerationConfig
from avatargpt.planning.types import Activity
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.attributes import POSTURES
from tests.long.conftest import ListPlanner, collect
from vqvae.errors import UserError
from vqvae.features import BodyFeatures
from vqvae.motion import Motion

ONE, TWO = GenerationConfig(best_of=1), GenerationConfig(best_of=2)
SCENE = "a gardener tidies up"


@pytest.mark.parametrize("seconds", [1.0, 7.35, 15.0])
def test_long_motion_has_the_length_asked_for(gpt: AvatarGPT, planner: ListPlanner, seconds: float) -> None:
    chunks = list(loop.long(gpt, SCENE, seconds, planner, best_of=2))
    motion, spans = collect(iter(chunks))
    assert len(motion) == round(seconds * 20) and motion.caption == SCENE
    assert [c.start for c in chunks] == list(np.cumsum([0] + [len(c.motion) for c in chunks[:-1]]))
    np.testing.assert_allclose(motion.root[0, [0, 2]], 0, atol=1e-6)
    assert abs(motion.heading[0]) < 0.1
    # every frame belongs to one step, in order
    assert spans[0].start == 0 and spans[-1].end >= len(motion)
    assert all(a.end == b.start for a, b in zip(spans, spans[1:], strict=False))


def test_frames_come_while_it_runs(gpt: AvatarGPT, planner: ListPlanner) -> None:
    stream = loop.long(gpt, SCENE, 600, planner, best_of=1)
    first = next(stream)
    assert len(first.motion) and len(planner.asked) <= 3


def test_the_same_seed_gives_the_same_motion(gpt: AvatarGPT, planner: ListPlanner) -> None:
    def made(seed: int) -> np.ndarray:
        planner.at = 0
        return collect(loop.long(gpt, SCENE, 8, planner, seed, best_of=2))[0].joints

    np.testing.assert_array_equal(made(4), made(4))
    assert np.abs(made(4) - made(5)).max() > 1e-3


def test_the_state_does_not_grow(gpt: AvatarGPT, planner: ListPlanner) -> None:
    running = loop.Loop(
        Director(planner, SCENE), StepPipeline(gpt.body, ONE), loop.MotionStream(gpt.tokenizers["body"], 5.0), 0, 5.0
    )
    for _ in running.chunks(24):
        assert len(running.tail) <= CHUNK
        assert len(running.stream.decoder.codes) <= 2 * running.stream.decoder.context + 2 * CHUNK
        assert len(running.stream.feet.root) <= LOOK_AHEAD + KEPT and len(running.director.past) <= loop.MEMORY


def test_the_planner_is_told_what_was_made(gpt: AvatarGPT) -> None:
    nouns = "floor table window carpet lamp mirror shelf basket kettle curtain chimney garden".split()
    planner = ListPlanner([Activity(f"clean the {n}", (f"he wipes the {n}",)) for n in nouns])
    _, spans = collect(loop.long(gpt, SCENE, 26, planner, best_of=1))
    described = [a["described"] for a in planner.asked]
    assert described[0] == "" and all(described[1:])
    second = [s.described for s in spans if s.activity == 0]
    assert described[1].startswith(second[0])
    assert [len(a["done"]) for a in planner.asked] == [min(i, loop.MEMORY) for i in range(len(planner.asked))]


def test_given_activities_come_first(gpt: AvatarGPT, planner: ListPlanner) -> None:
    mine = Activity("dance", ("she spins", "she bows"))
    _, spans = collect(loop.long(gpt, SCENE, 14, planner, activities=[mine], best_of=1))
    assert [(s.task, s.text) for s in spans[:2]] == [("dance", "she spins"), ("dance", "she bows")]
    assert spans[2].task == "sweep the floor"


@pytest.mark.parametrize(("scene", "seconds", "radius", "said"), [
    ("  ", 10, None, "empty"), ("word " * 5000, 10, None, "2000"), (SCENE, 0, None, "seconds"),
    (SCENE, float("nan"), None, "seconds"), (SCENE, 1e9, None, "14400"), (SCENE, 10, 0.5, "radius"),
])  # fmt: skip
def test_bad_requests_are_refused_at_the_call(
    gpt: AvatarGPT, planner: ListPlanner, scene: str, seconds: float, radius: float | None, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        loop.long(gpt, scene, seconds, planner, radius=radius)


def test_the_planner_may_be_named(
    gpt: AvatarGPT, planner: ListPlanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = []
    monkeypatch.setattr(planning, "load_planner", lambda spec, model: named.append(spec) or planner)
    next(loop.long(gpt, SCENE, 5, best_of=1))
    next(loop.long(gpt, SCENE, 5, "model", best_of=1))
    assert named == [None, "model"]


def test_a_plan_is_not_repeated_over_and_over() -> None:
    same = Activity("sweep the floor", ("he sweeps the floor", "he wipes"))
    other = Activity("drink tea", ("he lifts a cup", "he sits"))
    stuck = ListPlanner([same, same, same, other])
    director = Director(stuck, SCENE)
    assert director.next() is same and director.next() is other
    assert director.refused == 2
    warmth = [a["temperature"] for a in stuck.asked]
    assert warmth[1] < warmth[2] < warmth[3] and len({a["seed"] for a in stuck.asked}) == 4


def test_a_planner_that_only_repeats_does_not_stop_the_loop() -> None:
    same = Activity("sweep", ("he sweeps",))
    director = Director(ListPlanner([same]), SCENE)
    assert [director.next() for _ in range(20)] == [same] * 20
    assert len(director.planner.asked) == 1 + 19 * loop.MAX_TRIES


def test_a_planner_with_nothing_new_is_told_of_less() -> None:
    class Poor(ListPlanner):
        def next_activity(self, scene, done, described="", temperature=0.7, seed=0, posture=""):
            if len(done) > 2:
                raise UserError("nothing new is left")
            return super().next_activity(scene, done, described, temperature, seed)

    names = "sweep dig paint sing read cook swim draw".split()
    poor = Poor([Activity(n, (f"she {n}s",)) for n in names])
    director = Director(poor, SCENE)
    assert [director.next().task for _ in names] == names
    assert max(len(a["done"]) for a in poor.asked) <= 2


def test_what_a_planner_cannot_answer_at_all_is_an_error() -> None:
    class Broken(ListPlanner):
        def next_activity(self, *args, **more):
            raise UserError("no endpoint")

    with pytest.raises(UserError, match="no endpoint"):
        Director(Broken([]), SCENE).next()


def test_likeness() -> None:
    a, b = Activity("sweep the floor", ("he sweeps",)), Activity("Sweeping floors", ("she jumps",))
    assert likeness(a, b) == 1 and likeness(a, Activity("eat", ("she eats",))) == 0


def test_the_manner_of_the_scene_goes_into_steps_without_one() -> None:
    def style(text: str) -> str:
        return next((s for w, s in (("tired", "tired"), ("happ", "happy")) if w in text), "")

    def read(text: str) -> types.SimpleNamespace:  # nobody knows how to grab tiredly
        name = "walk" if "grab" in text and "tiredly" in text else text.split()[1].rstrip(".")
        return types.SimpleNamespace(done=[types.SimpleNamespace(name=name)])

    styles = {"with heavy limbs": "tired", "tiredly": "tired"}
    phrase_index = types.SimpleNamespace(style=style, styles=styles, read=read)
    assert manner_of("a tired man", phrase_index) == "tiredly" and manner_of("a man", phrase_index) == ""
    director = Director(ListPlanner([]), "a tired man", manner="tiredly", phrase_index=phrase_index)
    assert director.in_manner("he walks.") == "he walks tiredly"
    assert director.in_manner("he jumps happily") == "he jumps happily"
    assert director.in_manner("he grabs a bag") == "he grabs a bag"


def test_beats_fit_into_the_room(gpt: AvatarGPT) -> None:
    pipeline = StepPipeline(gpt.body, ONE)
    for room in (3, 8, 20, 55, 200):
        beats = list(pipeline.clauses(["he walks", "he sits", "he eats"], 1, room))
        made = sum(b.tokens for b in beats) + TRANSITIONS[0] * (len(beats) - 1)
        assert beats and (made <= room or len(beats) == 1)


def test_steps_last_as_long_as_the_plan_says(gpt: AvatarGPT) -> None:
    pipeline = StepPipeline(gpt.body, ONE)
    beats = list(pipeline.clauses(["he walks", "he sits"], 1, 500, [1.5, 6.0]))
    assert [b.tokens for b in beats] == [round(s * pipeline.rate) for s in (1.5, 6.0)]
    assert [b.seed for b in beats] == [b.seed for b in pipeline.clauses(["he walks", "he sits"], 1, 500)]


def test_a_script_keeps_its_times(gpt: AvatarGPT, planner: ListPlanner) -> None:
    script = "[0-3s] he walks [3-13s] he sits down [13-16s] he waves"
    spans = [s for c in gpt.long(script, planner=planner) for s in c.spans]
    assert [s.text for s in spans] == ["he walks", "he sits down", "he waves"] and not planner.asked
    ends = [s.end / 20 for s in spans]
    assert ends[:2] == pytest.approx([3, 13], abs=1) and ends[-1] >= 16  # the motion is cut there


def test_the_transition_that_shows_least_is_taken(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = StepPipeline(gpt.body, ONE)
    rng = np.random.default_rng(0)
    levels, entries = gpt.tokenizers["body"].config.levels, gpt.tokenizers["body"].config.codebook_size
    tail, head = rng.integers(entries, size=(2, 12, levels))
    way = pipeline.transition(tail, head, 4)
    assert len(way) in TRANSITIONS and np.array_equal(way, pipeline.transition(tail, head, 4))
    asked = []

    def shown(features: np.ndarray, start: int, stop: int) -> float:
        asked.append((len(features), start, stop))
        return abs(stop - start - TRANSITIONS[2]) + 0.01 * len(asked)

    monkeypatch.setattr(pipeline, "_visibility", shown)
    assert len(pipeline.transition(tail, head, 4)) == TRANSITIONS[2]
    per = gpt.tokenizers["body"].downsample
    assert {(n // per - (stop - start), start) for n, start, stop in asked} == {(16, 8)}
    assert len(asked) == TRANSITION_SAMPLES * len(TRANSITIONS)


def test_a_detour_shows(gpt: AvatarGPT) -> None:
    pipeline, spec = StepPipeline(gpt.body, ONE), gpt.tokenizers["body"].spec
    per = gpt.tokenizers["body"].downsample
    rest = Motion(np.tile([1.0, 0, 0, 0], (20 * per, 22, 1)), np.tile([0, 0.95, 0], (20 * per, 1)))
    still = spec.encode(rest)
    away = still.copy()
    hand = spec.slices()["positions"].start + 3 * 19
    away[9 * per : 11 * per, hand : hand + 3] += 0.5
    assert pipeline._visibility(away, 8, 12) > pipeline._visibility(still, 8, 12) + 0.001
    assert pipeline._visibility(still, 8, 12) < pipeline._visibility(still, 6, 12)


def test_a_clip_that_begins_in_the_midst_of_a_movement_loses_its_leap(gpt: AvatarGPT) -> None:
    pipeline, spec = StepPipeline(gpt.body, ONE), gpt.tokenizers["body"].spec
    per = gpt.tokenizers["body"].downsample
    codes = np.random.default_rng(0).integers(4, size=(12, gpt.tokenizers["body"].config.levels))
    features = np.zeros((12 * per, spec.dim), np.float32)
    hand = spec.slices()["joint_velocity"].start + 3 * 20
    assert len(pipeline.trim_rests(codes, features, after_transition=True)) == 12  # at rest
    features[per:, hand] = 0.2  # metres per frame, but for the first token
    assert np.array_equal(pipeline.trim_rests(codes, features, after_transition=True), codes[ONSET_TOKENS:])
    assert np.array_equal(pipeline.trim_rests(codes, features), codes)  # nothing before it
    short = codes[:MIN_TOKENS], features[: MIN_TOKENS * per]
    assert np.array_equal(pipeline.trim_rests(*short, after_transition=True), short[0])
    features[per : 3 * per, hand] = 0  # begins at rest, and the waiting is cut off
    assert np.array_equal(pipeline.trim_rests(codes, features, after_transition=True), codes[2:])


def test_the_ground_stays_level_unless_words_say_so(gpt: AvatarGPT) -> None:
    pipeline, spec = StepPipeline(gpt.body, ONE), BodyFeatures()
    pipeline.tokenizer = types.SimpleNamespace(spec=spec)  # type: ignore[assignment]
    features = np.zeros((40, spec.dim), np.float32)
    features[:, spec.slices()["rise"]] = 0.01
    plain = StepClause(0, "he waves", 10, 0)
    up, down = (replace(plain, attributes={"rise": way}) for way in ("up", "down"))
    risen = [pipeline.measure_rise(features, clause) for clause in (plain, up, down)]
    np.testing.assert_allclose(risen, [0.4, 0.0, 0.4], atol=1e-5)
    np.testing.assert_allclose(
        [pipeline.measure_rise(-features, c) for c in (plain, up, down)], [0.4, 0.4, 0.0], atol=1e-5
    )


def test_what_the_end_cuts_off_a_step_is_said(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = tuple(ClauseSpec(f"a person {w}", 1.0, (10,)) for w in ("bows", "waves"))
    monkeypatch.setattr(gpt.body.model, "resolve", lambda text: ResolvedRequest(text, None, specs))
    pipeline = StepPipeline(gpt.body, ONE)
    (cut,) = pipeline.clauses(["he bows and waves"], 0, 12)
    assert cut.caption == "a person bows" and NO_TIME in cut.note
    assert [c.note for c in pipeline.clauses(["he bows and waves"], 0, 100)] == ["", ""]


def test_the_timeline_is_cut_where_the_motion_ends() -> None:
    spans = [
        Span(0, 40, 0, "walk", 0, "he walks", "a person walks"), Span(40, 100, 0, "walk", 1, "he stops", "x", 16),
        Span(100, 180, 1, "sit", 0, "he sits", "y", 16), Span(180, 220, 1, "sit", 1, "he rests", "z", 16),
    ]  # fmt: skip
    made = timeline("a scene", 20.0, 110, spans, {"seed": 3})
    assert made["seed"] == 3 and [(a["start"], a["end"]) for a in made["activities"]] == [(0, 100), (100, 110)]
    assert made["activities"][1]["steps"] == [
        {"text": "he sits", "caption": "y", "described": "", "start": 100, "end": 110, "transition": 10}
    ]


def test_it_begins_with_the_plan_of_the_scene(gpt: AvatarGPT, planner: ListPlanner) -> None:
    """Word by word what `avatargpt plan` says for the scene and the seed; then what comes next."""
    planner.planned = [Activity("open the shed", ("he pulls", "he steps in")), Activity("take a rake", ("he bends",))]
    director = Director(planner, "A gardener.", seed=4)
    assert [director.next() for _ in range(3)] == [*planner.planned, planner.activities[0]]
    assert planner.asked[0]["done"] == planner.planned
    own = Director(planner, "A gardener.", first=planner.activities[:1])
    assert [own.next().task for _ in range(2)] == ["sweep the floor", "water flowers"]  # one's own plan first


class Strict:
    """Says of captions how badly they are shown: from 5 on, not at all."""

    def __init__(self, found: dict[str, list[int]], near: Sequence[str] = ()) -> None:
        self.found, self.instead, self.asked, self.lengths = found, list(near), [], []
        self.last: dict[str, Judgement] = {}  # of each caption
        self.reworded_captions = {c.removesuffix(" again") for c in found if c.endswith(" again")}

    tries, able = Verifier.tries, True

    def judge_step(
        self, motion: Motion, step: str, clauses: Sequence[StepClause], codes: np.ndarray
    ) -> Judgement:
        assert len(motion) == 4 * len(codes)
        return Judgement.of([self.last[c.caption] for c in clauses])

    def judge_motion(self, motion: Motion, clause: StepClause, codes: np.ndarray) -> Judgement:
        caption = clause.caption
        self.asked.append(caption)
        self.lengths.append(len(motion))
        left = self.found.get(caption, [0])
        missed = left.pop(0) if len(left) > 1 else left[0]
        self.last[caption] = Judgement(-missed, "not" if missed > 4 else "shown")
        return self.last[caption]

    def near_clauses(self, clause: StepClause, same: bool) -> list[StepClause]:
        if same:
            return [replace(clause, caption=f"{clause.caption} again")] * (clause.caption in self.reworded_captions)
        return [replace(clause, caption=c, action="other") for c in self.instead]


def judged_spans(gpt: AvatarGPT, planner: ListPlanner, strict: Strict) -> list[Span]:
    """The steps of one activity, of whose clauses that judge says how well they show."""
    run = loop.Loop(Director(planner, "A man."), StepPipeline(gpt.body, TWO), MotionStream(gpt.body.model.tokenizer), 0)
    run.verifier = strict  # type: ignore[assignment]
    return collect(run.act_out(1))[1]


@pytest.mark.parametrize(("found", "near", "tries", "said"), [
    ({"he sweeps": [9, 1]}, (), 2, ""),
    ({"he sweeps": [9], "he sweeps again": [1]}, (), 4, "in other words: 'he sweeps again'"),
    ({"he sweeps": [9]}, ("he wipes",), 4, "could not be shown; shown instead: 'he wipes'"),
    ({"he sweeps": [9], "he wipes": [9]}, ("he wipes",), 4, "may not look as it reads"),
])  # fmt: skip
def test_what_does_not_show_is_made_again_or_replaced(
    gpt: AvatarGPT, planner: ListPlanner, found: dict[str, list[int]], near: Sequence[str], tries: int, said: str
) -> None:
    planner.activities = [Activity("sweep", ("he walks", "he waits", "he sweeps"))]
    strict = Strict(found, near)
    spans = judged_spans(gpt, planner, strict)
    assert len(strict.asked) == 2 + tries and (said in spans[2].note if said else spans[2].note == "")
    assert spans[2].text == "he sweeps" and spans[2].takes == tries
    assert spans[2].verdict == ("not" if "may not" in said else "shown")
    outcome = timeline("a scene", 20.0, 999, spans, {})["activities"][0]["steps"][2]["outcome"]
    assert outcome["posture"] in POSTURES and outcome["takes"] == tries and len(outcome["place"]) == 2


def test_motions_are_as_good_as_the_worst_of_them() -> None:
    bad = Judgement(-1.0, "not")
    assert Judgement.of([SURE, bad, Judgement(0.0, "partly")]) == bad and Judgement.of([]) == SURE


def test_what_plays_first_is_not_made_again(gpt: AvatarGPT, planner: ListPlanner) -> None:
    planner.activities = [Activity("sweep", ("he sweeps",))]
    strict = Strict({"he sweeps": [9, 1]}, ("he wipes",))
    spans = judged_spans(gpt, planner, strict)
    assert len(strict.asked) == 1 and spans[0].verdict == "not" and "may not look as it reads" in spans[0].note


def test_where_the_body_is(gpt: AvatarGPT, planner: ListPlanner) -> None:
    motion, spans = collect(loop.long(gpt, SCENE, 8, planner, best_of=1))
    inside = [s for s in spans if s.end <= len(motion)]
    for span in inside:
        at = motion.root[span.end - 1, [0, 2]]
        assert np.linalg.norm(at - (span.x, span.z)) < 0.5  # its last frames change with what follows


def test_a_transition_is_no_part_of_what_is_judged(gpt: AvatarGPT, planner: ListPlanner) -> None:
    planner.activities = [Activity("sweep", ("he sweeps", "he bows"))]
    strict = Strict({})
    spans = judged_spans(gpt, planner, strict)
    assert spans[1].transition and sum(strict.lengths) == sum(s.end - s.start - s.transition for s in spans)
