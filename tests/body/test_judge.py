"""The judge of motions: what it measures, how it is fitted, what it makes of the packaged labels."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt import AvatarGPT
from avatargpt.body.judge import MEASURES, Judgement, Shown, StepJudge, measure
from avatargpt.long.outcome import Verifier
from avatargpt.long.pipeline import StepClause, StepPipeline
from avatargpt.options import GenerationConfig, UnheededText
from avatargpt.requests.clause_spec import Turn
from avatargpt.resources import weights
from avatargpt.train.judge import CLIPS, area, find_threshold, fit_judge
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows


@pytest.fixture(scope="module")
def gpt() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


def test_words_that_a_motion_is_not_made_for_score_lower(gpt: AvatarGPT) -> None:
    model, tokenizer = gpt.body.model, gpt.body.model.tokenizer
    judge, rows = StepJudge.load(weights()), [row for _, row in json_rows(CLIPS)][:400:4]
    assert judge is not None
    scores = np.zeros((2, len(rows)))
    for n, row in enumerate(rows):
        codes = np.array(row["codes"])
        motion = tokenizer.decode(codes)
        captions, actions = zip(*row["clauses"], strict=True)
        for which, words in enumerate((row["text"], rows[n - 1]["text"])):
            values = measure(model, motion, Shown(words, captions, actions, row["known"], row["unshown"]), codes)
            assert values.shape == (len(MEASURES),) and np.isfinite(values).all()
            scores[which, n] = judge.judge(values).score
    assert (scores[0] > scores[1]).mean() > 0.75
    shown = np.array([max(row["labels"].values()) == 2 for row in rows])
    assert area(scores[0], shown) > 0.62


def test_turns_are_measured_and_no_judge_says_nothing(gpt: AvatarGPT) -> None:
    verifier = Verifier(gpt.body.model)
    motion = gpt.generate("a person waves", seconds=2)[0]
    turn = StepClause(0, "a person turns", 10, 0, Turn(90, "left"))
    assert verifier.able and verifier.judge_motion(motion, turn).verdict == "shown"
    wrong = StepClause(0, "a person waves", 10, 0, words="lies down on the belly and sleeps", known=0.05)
    assert verifier.judge_motion(motion, wrong).verdict != "shown"
    verifier.judge = None
    assert not verifier.able and verifier.judge_motion(motion, wrong) == Judgement(1.0, "shown")


def test_who_went_up_comes_down_before_going_on(gpt: AvatarGPT) -> None:
    chunks = list(gpt.long("[0-6s] a man climbs the stairs [6-8s] he waves [8-24s] he walks forward", best_of=2))
    spans = [s for c in chunks for s in c.spans]
    lowest = np.concatenate([c.motion.joints[:, :, 1].min(1) for c in chunks])
    assert lowest[spans[1].end - 1] > 0.4 and lowest[-1] < 0.5
    assert "comes down first" in spans[2].note and "down" in spans[2].caption


def test_who_sits_acts_seated_and_gets_up_for_what_needs_legs(gpt: AvatarGPT) -> None:
    script = "[0-4s] she sits down on a chair [4-9s] she drinks from a cup [9-13s] she does jumping jacks"
    spans = [s for c in gpt.long(script, best_of=3) for s in c.spans]
    assert [s.posture for s in spans[:2]] == ["sitting", "sitting"] and "gets up" not in spans[1].note
    assert spans[2].posture == "standing" and "gets up first" in spans[2].note


def test_a_posture_is_held_only_where_legs_are_free(gpt: AvatarGPT) -> None:
    pipeline = StepPipeline(gpt.body, GenerationConfig(seed=3, best_of=4))
    claps, kicks, walks = (next(iter(pipeline.clauses([text], 5, 60))) for text in ("claps", "kicks high", "walks on"))
    held = pipeline.hold_posture(claps, "sitting")
    assert held is not None and held[0].attributes["through"] == "sitting" and 2 <= len(held[1]) <= 4
    assert pipeline.hold_posture(claps, "standing") is None and pipeline.hold_posture(claps, "lying_face_up") is None
    assert pipeline.hold_posture(kicks, "sitting") is None and pipeline.hold_posture(walks, "sitting") is None


def test_generation_says_what_is_not_seen(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(StepJudge):
        def judge(self, measures: np.ndarray) -> Judgement:
            return Judgement(-1.0, "not")

    judge = StepJudge.load(weights())
    assert judge is not None
    monkeypatch.setitem(gpt.body.generation.__dict__, "judge", Never(judge.weights))
    with pytest.warns(UnheededText, match="may not look as it reads") as told:
        (motion,) = gpt.generate("massage your neck, then turn left 90 degrees", best_of=2)
    assert len(told) == 1 and "massage your neck" in motion.notes[0]  # a turn is measured


def test_of_several_takes_the_one_that_lacks_least_is_taken(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that doubts the first two takes sees three; one that is sure sees one, and so does a single candidate."""
    found: list[Judgement] = []
    rows = [Judgement(-1.0, "not"), Judgement(0.1, "partly"), Judgement(0.3, "shown"), Judgement(0.5, "shown")]

    class Next(StepJudge):
        def judge(self, measures: np.ndarray) -> Judgement:
            found.append(rows[len(found)])
            return found[-1]

    judge = StepJudge.load(weights())
    assert judge is not None
    monkeypatch.setitem(gpt.body.generation.__dict__, "judge", Next(judge.weights))
    (best,) = gpt.body.generation.results(["massage your neck"], seeds=[3], config=GenerationConfig(best_of=2))
    assert len(found) == 3 and best.judged[0][1] == rows[2] and best.lacks == (0.0, -0.3)
    (again,) = gpt.body.generation.results(["massage your neck"], seeds=[3], config=GenerationConfig(best_of=2))
    assert len(found) == 4 and not np.array_equal(again.motion.root, best.motion.root)
    del found[:]
    (single,) = gpt.body.generation.results(["massage your neck"], seeds=[3], config=GenerationConfig(best_of=1))
    assert len(found) == 1 and single.lacks == (1.0, 1.0)


def test_thresholds_are_by_precision() -> None:
    scores, missed = np.arange(10.0), np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0], bool)
    assert find_threshold(scores, missed, 0.8) == 5 and find_threshold(scores, missed, 1.0) == 2
    assert find_threshold(scores, ~missed, 0.9) == 0
    assert area(np.array([0.0, 1.0, 1.0, 2.0]), np.array([False, False, True, True])) == 0.875


def test_a_fit_finds_what_tells_clips_apart() -> None:
    rng = np.random.default_rng(0)
    measures = rng.normal(size=(300, len(MEASURES)))
    labels = np.clip(np.round(1 + measures[:, 2]), 0, 2)
    held = np.arange(300) >= 200
    fitted, figures = fit_judge(measures, labels, [f"{n % 4}" for n in range(300)], held)
    assert int(np.argmax(np.abs(fitted.weights))) == 2 and figures["held"]["auc_at_all"] > 0.95
    assert figures["learnt"]["clips"] == 200 and fitted.not_below <= fitted.partly_below
    judge = StepJudge(fitted)
    best, worst = (judge.judge(measures[f(measures[:, 2])]) for f in (np.argmax, np.argmin))
    assert best.verdict == "shown" and worst.verdict == "not" and best.score > worst.score


def test_a_judge_of_other_measures_is_refused(tmp_path: Path) -> None:
    judge = StepJudge.load(weights())
    assert judge is not None and StepJudge.load(tmp_path) is None
    path = judge.save(tmp_path)
    assert StepJudge.load(tmp_path).weights == judge.weights  # type: ignore[union-attr]
    path.write_text(path.read_text().replace("known", "famous"))
    with pytest.raises(UserError, match=r"judge\.json"):
        StepJudge.load(tmp_path)
