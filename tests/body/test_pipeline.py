"""The public API on a model of random weights: lengths, seeds, seams, floors and refusals do not depend on training."""

import warnings
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avatargpt.api import AvatarGPT
from avatargpt.body import edit, generate, judge
from avatargpt.body import model as candidates
from avatargpt.body.constraints import MotionSpec, motion_specs
from avatargpt.body.edit import ROUNDS, note_unseen
from avatargpt.body.judge import MEASURES, Judgement, StepJudge, Verdict
from avatargpt.body.model import BodyModel, onward, pick, text_prompts
from avatargpt.body.tasks import REFINE_STEPS
from avatargpt.lm.loaded import CHUNK, CONTEXT, LoadedModel
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.options import GenerationConfig, UnheededText, shares
from avatargpt.requests.clause_spec import ClauseSpec, Route, Turn
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.registry import CodesSegment
from instruct_data.requests.spec import Clause
from tests.clips import swaying
from tests.factories import LEVELS, body_model, body_tokenizer
from vqvae.errors import UserError
from vqvae.ground import SUNK, floor_of, ground_motion, raise_motion
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

LINES = ["a person walks forward", "someone waves the right hand", "a man turns left and sits down", "they jump twice"]


@pytest.fixture(scope="module")
def parts() -> tuple[AvatarGPTModel, TextTokenizer, MotionTokenizer]:
    text, tokenizer = TextTokenizer.train(LINES * 5, 300), body_tokenizer(0)
    return body_model(text, tokenizer), text, tokenizer


@pytest.fixture(scope="module")
def gpt(parts: tuple[AvatarGPTModel, TextTokenizer, MotionTokenizer]) -> AvatarGPT:
    model, text, tokenizer = parts
    return AvatarGPT(LoadedModel(model, text, {"body": tokenizer}))


def walk(frames: int, fps: float = 20.0, seed: int = 0) -> Motion:
    return swaying(frames, fps, seed, (1.0, 2.0))


def same(a: Motion, b: Motion) -> bool:
    return len(a) == len(b) and bool(np.abs(a.joints - b.joints).max() < 1e-3)


@pytest.mark.parametrize("seconds", [0.2, 0.33, 1.0, 2.05])
def test_generate_keeps_the_length(gpt: AvatarGPT, seconds: float) -> None:
    (motion,) = gpt.generate("a person walks", seconds, best_of=2)
    assert len(motion) == round(seconds * 20) and motion.fps == 20 and motion.caption == "a person walks"
    np.testing.assert_allclose(motion.root[0, [0, 2]], 0, atol=1e-6)
    assert abs(motion.heading[0]) < 1e-4


def test_generate_without_a_length_ends_by_itself(gpt: AvatarGPT) -> None:
    (motion,) = gpt.generate("a person walks", best_of=1)
    assert len(motion) % 4 == 0 and 8 <= len(motion) <= 4 * (CHUNK + CONTEXT)


def test_generate_longer_than_one_chunk(gpt: AvatarGPT) -> None:
    long, short = (gpt.generate("someone turns", s, seed=5, best_of=1)[0] for s in (20.0, CHUNK / 5))
    assert len(long) == 400
    # the first chunk is the same; its last frames see what follows
    assert same(long.slice(0, 120), short.slice(0, 120))
    assert np.ptp(long.joints[240:], axis=0).max() > 1e-2  # what was added moves


def test_same_seed_alone_and_in_a_batch(gpt: AvatarGPT) -> None:
    texts, seconds = ["a person walks", "someone jumps very high with both legs", "turn"], [1.0, 2.6, None]
    batch = gpt.generate(texts, seconds, seed=3, best_of=2)
    for text, duration, got in zip(texts, seconds, batch, strict=True):
        assert same(gpt.generate(text, duration, seed=3, best_of=2)[0], got)
    reordered = gpt.generate(texts[::-1], seconds[::-1], seeds=[3, 4, 3], best_of=2)
    assert same(reordered[2], batch[0]) and same(reordered[0], batch[2]) and not same(reordered[1], batch[1])


def test_number_of_results(gpt: AvatarGPT) -> None:
    done: list[tuple[int, int]] = []
    got = gpt.generate(["walk", "jump"], 0.6, num=3, best_of=30, progress=lambda *a: done.append(a))
    assert [m.caption for m in got] == ["walk"] * 3 + ["jump"] * 3
    assert not same(got[0], got[1]) and same(got[0], gpt.generate("walk", 0.6, best_of=30)[0])
    assert done == [(2, 6), (4, 6), (6, 6)]


def test_best_of_takes_the_likeliest_description(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "foot_skate", lambda joints, fps: 0.0)
    prompts = [gpt.loaded.prompt("text_to_motion", {"caption": "walk", "seconds": 1.0})]
    (found,) = gpt.loaded.sample(prompts, [5], [0], 6, 1.0, 1.0)
    assert [c.shape for c in found] == [(5, LEVELS)] * 6
    each = [float(gpt.likelihood([c], ["walk"])[0]) for c in found]
    np.testing.assert_allclose(gpt.likelihood(found, ["walk"] * 6), each, atol=1e-4)
    assert max(each) < 0 and np.ptp(each) > 0
    best = int(np.argmax(each))
    assert pick(gpt.body.model, [found], ["walk"])[0] is found[best]
    slides = iter(100.0 * (i == best) for i in range(6))  # so much that nothing makes up for it
    monkeypatch.setattr(candidates, "foot_skate", lambda joints, fps: next(slides))
    assert pick(gpt.body.model, [found], ["walk"])[0] is not found[best]


@pytest.mark.parametrize(("arguments", "says"), [
    ({"prompt": ""}, "empty"), ({"prompt": ["walk", " \n"]}, "empty"), ({"prompt": "x" * 2001}, "2001 characters"),
    ({"prompt": "walk", "seconds": 0}, "accepted 0.2 to 600"), ({"prompt": "walk", "seconds": -1.0}, "-1.0"),
    ({"prompt": "walk", "seconds": 1000}, "1000"), ({"prompt": "walk", "seconds": float("nan")}, "nan"),
    ({"prompt": ["a", "b"], "seconds": [1.0]}, "as many"), ({"prompt": ["a", "b"], "seeds": [1]}, "as many"),
    ({"prompt": "walk", "num": 0}, "num: 0"), ({"prompt": "walk", "best_of": 0}, "best_of: 0"),
    ({"prompt": "walk", "num": 1.5}, "num: 1.5"), ({"prompt": "walk", "best_of": "4"}, "best_of: '4'"),
    ({"prompt": "!!!"}, "signs alone"), ({"prompt": "walk \ud83d"}, "surrogate"), ({"prompt": 5}, "a text that is 5"),
    ({"prompt": ["walk", None]}, "a text that is None"), ({"prompt": "walk", "seconds": "2"}, "seconds: '2'"),
    ({"prompt": ["a", "b"], "seconds": ["a", 3]}, "seconds: ['a', 3]; accepted"),
    ({"prompt": "walk", "seconds": True}, "True"),
    ({"prompt": "walk", "guidance": 0}, "guidance: 0; accepted 1 to 20"),
    ({"prompt": "walk", "guidance": float("nan")}, "guidance: nan"),
    ({"prompt": "walk", "temperature": 0}, "temperature: 0; accepted 0.05 to 2"),
    ({"prompt": "walk", "temperature": "hot"}, "temperature: 'hot'"), ({"prompt": "walk", "seed": 1.5}, "seed: 1.5"),
    ({"prompt": "walk", "seeds": [None]}, "seed: None"), ({"prompt": "walk", "num": True}, "num: True"),
])  # fmt: skip
def test_generate_refuses(gpt: AvatarGPT, arguments: dict, says: str) -> None:
    with pytest.raises(UserError) as e:
        gpt.generate(**arguments)
    assert says in str(e.value) and "\n" not in str(e.value)


def test_one_length_or_one_for_each_text(gpt: AvatarGPT) -> None:
    for seconds in (np.array([0.4, 0.8]), (np.float32(0.4), 0.8)):
        assert [len(m) for m in gpt.generate(["walk", "turn"], seconds, np.int64(3), best_of=1)] == [8, 16]
    assert len(gpt.generate("walk", np.array(0.4), best_of=1)[0]) == 8
    assert gpt.generate([]) == gpt.describe([]) == []


def test_every_clause_gets_room() -> None:
    assert shares(16, [56, 2, 70], 5) == [5, 5, 6]
    assert shares(40, [20, 60], 5) == [10, 30], "in proportion where that leaves enough"
    assert shares(15, [9, 1, 1], 5) == [5, 5, 5] and shares(7, [3], 5) == [7]
    clauses = ClauseSpec("walk", 1.0, (56,)), ClauseSpec("jump", 1.0, (2,)), ClauseSpec("turn", 1.0, (70,))
    request = ResolvedRequest("walk, then jump, then turn", clauses=clauses)
    specs = motion_specs(request, 3.2, 0, 5.0)
    assert [(s.caption, s.tokens, s.frames) for s in specs] == [("walk", 5, 20), ("jump", 5, 20), ("turn", 6, 24)]
    (spec,) = motion_specs(request, 2.8, 0, 5.0)
    assert (spec.caption, spec.tokens) == (request.text, 14) and "too short for" in spec.notes[0]


def sunk(motion: Motion) -> float:
    return float(-motion.joints[..., 1].min())


def test_what_is_made_stays_on_the_floor(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    low = replace(walk(43), root=walk(43).root - [0, 0.06, 0])  # in the floor, not on another one
    made: dict[bool, list[Motion]] = {}
    for rule in (False, True):
        with monkeypatch.context() as patched:
            if not rule:
                for user in ("generate", "edit"):
                    patched.setattr(f"avatargpt.body.{user}.on_the_floor", lambda motion, *_, **__: motion)
            made[rule] = [
                *gpt.generate(["walk", "turn", "jump"], 2.0, best_of=1),
                gpt.extend(low, 3.0, best_of=1).slice(43 + 12, 103), gpt.in_between(low, low, 3.0, best_of=1),
            ]  # fmt: skip
    above = [j for j in range(22) if j not in (1, 2, 4, 5, 7, 8, 10, 11)]
    for before, after in zip(made[False], made[True], strict=True):
        np.testing.assert_allclose(before.rotations[:, above], after.rotations[:, above], atol=1e-6)
    assert sunk(low) > 2 * SUNK < max(map(sunk, made[False][:3]))
    assert max(map(sunk, made[True][:4])) < SUNK + 1e-4
    np.testing.assert_array_equal(made[True][4].slice(0, 43).root, low.root)
    assert sunk(made[True][4].slice(43 + 12, 43 + 48)) < SUNK + 1e-4


def test_another_tokenizer_is_refused(parts: tuple[AvatarGPTModel, TextTokenizer, MotionTokenizer]) -> None:
    model, text, _ = parts
    with pytest.raises(UserError, match="tokenizer of 'body': fingerprint"):
        LoadedModel(model, text, {"body": body_tokenizer(9)})


def test_descriptions_are_ranked_beside_captions_of_the_book(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matcher hears a sentence as the direction its stub gives it; every motion looks along the first axis."""

    class Heard:
        own, book = 0.5, 0.61

        def sentences(self, vectors: np.ndarray) -> np.ndarray:
            return np.array([[0.1, 0.0], [self.book, 0.0]])

        def motions(self, joints: list[np.ndarray], fps: float) -> np.ndarray:
            return np.array([[1.0, 0.0]] * len(joints))

        def texts(self, texts: list[str], grounder: object, attributes: object = ()) -> np.ndarray:
            return np.array([[self.own if k == 2 else 0.2, 0.0] for k in range(len(texts))])

    book = PhraseIndex(
        ["a person walks", "a person sits", "have a seat"],
        [{"": "a person walks"}, {"": "a person sits"}, {"": "a person sits"}], ["walk", "sit", "sit"], ["", "", ""],
        {}, {}, np.eye(3, 384, dtype=np.float32),
    )  # fmt: skip
    clip = gpt.generate("a person walks", literal=True, seconds=2.0)[0]
    several = gpt.describe(clip, num=3)[0]
    monkeypatch.setattr(gpt, "motion_scorer", Heard())
    monkeypatch.setattr(gpt, "grounder", object())
    monkeypatch.setattr(gpt.loaded, "encode", partial(gpt.loaded.encode, ground=False))
    monkeypatch.setattr(gpt, "phrase_index", book)
    gpt.body.description.__dict__.pop("_captions", None)
    try:
        assert gpt.describe(clip, best_of=4) == several[1:2]  # the third of them: the likeliest, then sampled ones
        monkeypatch.setattr(Heard, "book", 0.63)
        gpt.body.description.__dict__.pop("_captions", None)
        assert gpt.describe(clip, best_of=4) == ["a person sits"]
        assert gpt.describe(clip, best_of=1)[0] not in ("a person sits", several[1])
    finally:
        gpt.body.description.__dict__.pop("_captions", None)
    with pytest.raises(UserError, match="best_of"):
        gpt.describe(clip, best_of=0)


def test_clips_that_miss_their_action_are_sampled_together(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = MotionSpec("a person walks", 5, action="walk", alternatives=(MotionSpec("they jump", 4, action="jump"),))
    parts, config = [generate._ClausePart(spec, seed) for seed in (1, 2)], GenerationConfig(best_of=2)
    codes = [gpt.sample_candidates([spec.caption], [5], [p.seed], samples=1)[0][0] for p in parts]
    rounds: list[list[str]] = []

    def sample(model: BodyModel, captions: list[str], *args: Any) -> Any:
        rounds.append(captions)
        return candidates.sample_candidates(model, captions, *args)

    monkeypatch.setattr(generate, "violates", lambda motion, spec: True)
    monkeypatch.setattr(BodyModel, "motion_fit", lambda self, motions, texts, _: [float("jump" in t) for t in texts])
    monkeypatch.setattr(generate, "sample_candidates", sample)
    clips = gpt.body.generation._clips(parts, codes, config)
    assert rounds == [["a person walks"] * 2, ["they jump"] * 2] and [len(c.motion) for c in clips] == [16, 16]
    for part, own, clip in zip(parts, codes, clips, strict=True):
        assert same(gpt.body.generation._clips([part], [own], config)[0].motion, clip.motion)


@pytest.mark.parametrize("together", [True, False])
def test_what_does_not_go_together_is_done_in_turn(
    gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    monkeypatch.setattr(generate, "lay_beside", lambda first, second: first if together else None)
    beside = ClauseSpec("they jump", 1.0, (4,), clause=Clause(action="jump"), tentative=True)
    request = ResolvedRequest("walk and jump", None, (ClauseSpec("a person walks", 1.0, (5,), concurrent=beside),))
    (free,), (timed,) = (gpt.body.generation.results(request, s, GenerationConfig(best_of=1)) for s in (None, 3.0))
    assert timed.motion.seconds == 3.0 and len(free.spans) == 1
    said = "'jump': shown after the other, for they do not go together"
    assert [said in r.notes for r in (free, timed)] == [not together] * 2


@pytest.mark.parametrize(("fit", "better", "again"), [(0.25, 0.4, True), (0.25, 0.3, False), (0.35, 0.9, False)])
def test_a_clip_that_fits_badly_gives_way_to_a_clearly_better_one(
    gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch, fit: float, better: float, again: bool
) -> None:
    """Below a fit of 0.3 another round is made, whose clip has to fit better by 0.1."""
    spec = MotionSpec("walk", 5, action="walk", alternatives=(MotionSpec("jump", 4, action="jump"),))
    codes = gpt.sample_candidates(["walk"], [5], [1], samples=1)[0][0]
    fits = iter([fit, better])
    monkeypatch.setattr(generate, "violates", lambda motion, spec: False)
    monkeypatch.setattr(generate, "constraint_cost", lambda motion, spec: 0.0)
    monkeypatch.setattr(BodyModel, "motion_fit", lambda self, motions, *_: [next(fits) for _ in motions])
    first = gpt.loaded.tokenizer("body").decode(codes)
    clip = generate._SampledClip(first, spec, {})
    gpt.body.generation._retry([generate._ClausePart(spec, 1)], [clip], GenerationConfig(best_of=1))
    assert (clip.motion is not first) is again


def test_prompts_of_captions_and_of_what_goes_on(gpt: AvatarGPT) -> None:
    attributes = {"action": "kick", "side": "left", "support": "right", "start": "standing", "end": "standing"}
    codes = np.arange(20 * LEVELS).reshape(20, LEVELS) % 24
    first, second, plain = text_prompts(
        gpt.body.model, ["kick"] * 3, [5, -1, 80], [attributes, attributes, {}], [None, codes, None]
    )
    assert first.task == "text_to_motion" and " ".join(f"{k}={attributes[k]}" for k in (
        "action", "side", "support", "start", "end")) in first.text  # fmt: skip
    assert "1.0 seconds" in first.text and "6.4 seconds" not in first.text and f"{CHUNK / 5:.1f} seconds" in plain.text
    # of what goes on, the last tokens
    assert second.task == "continuation" and "support=right start=standing end=standing [Response]" in second.text
    (motion,) = [s for s in second.segments if isinstance(s, CodesSegment)]
    assert np.array_equal(motion.codes, codes[-CONTEXT:]) and "seconds" not in second.text
    assert "=" not in plain.text


@pytest.mark.parametrize(
    ("posture", "keeps", "expected"),
    [("sitting", True, {"end": "sitting", "through": "sitting"}), ("standing", True, {"end": "standing"}),
     ("sitting", False, {"end": "standing"})],
)  # fmt: skip
def test_what_arms_do_leaves_the_posture(posture: str, keeps: bool, expected: dict[str, str]) -> None:
    drink = {"action": "drink", "rise": "up", "start": "standing", "end": "standing"}
    assert onward(drink, posture, keeps) == {"action": "drink", "rise": "up"} | expected
    sit = {"start": "standing", "through": "sitting", "end": "sitting"}
    assert onward(sit, "kneeling", True) == {"through": "sitting", "end": "sitting"} and not onward({}, posture, keeps)


def test_rounds_of_what_goes_on_continue_it_too(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    standing = {"start": "standing", "end": "standing"}
    other = MotionSpec("sip", 4, action="sip", attributes=standing)
    spec = MotionSpec("drink", 5, action="drink", upper_body=True, attributes=standing, alternatives=(other,))
    context = np.arange(6 * LEVELS).reshape(6, LEVELS) % 24
    part, config, calls = generate._ClausePart(spec, 1, context, "sitting"), GenerationConfig(best_of=2), list[Any]()

    def sample(model: BodyModel, captions: list[str], *args: Any) -> Any:
        calls.append((captions, *args[3:]))
        return candidates.sample_candidates(model, captions, *args)

    monkeypatch.setattr(generate, "violates", lambda motion, spec: True)
    monkeypatch.setattr(generate, "sample_candidates", sample)
    gpt.body.generation._clips([part], [context[:5]], config)
    assert [(words, typed[0]["end"]) for words, typed, *_ in calls] == [(["drink"], "sitting"), (["sip"], "standing")]
    assert all(before is context and weight == config.guidance + 1 for *_, (before,), (weight,) in calls)


def test_each_clause_goes_on_from_the_end_of_the_motion_before(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, sample = [], generate.sample_candidates
    monkeypatch.setattr(generate, "sample_candidates", lambda *a: calls.append(a[1:]) or sample(*a))
    monkeypatch.setattr(generate, "on_the_floor", lambda motion: motion)
    monkeypatch.setattr(BodyModel, "continues_clauses", True)
    walk = ClauseSpec("walk", 1.0, (8,), measured={"side": "left", "start": "standing"})
    clauses = walk, ClauseSpec("jump", 1.0, (8,))
    requests = [ResolvedRequest("walk, then jump", clauses=clauses), ResolvedRequest("turn", clauses=clauses[:1])]
    both, single = gpt.body.generation.results(requests, config=GenerationConfig(best_of=1))
    first, second = calls
    assert first[0] == ["walk", "walk"] and second[0] == ["jump"] and first[2][0] != second[2][0]
    assert first[4] == [{"side": "left", "start": "standing", "quality": "good"}] * 2 and second[4] == [{}]
    assert first[5] == [None, None]
    (context,), seam = second[5], both.spans[1][0]
    expected = gpt.loaded.tokenizer("body").encode(single.motion.slice(0, seam))
    assert len(context) == min(CONTEXT, seam // 4) and np.array_equal(context, expected[-CONTEXT:])
    assert both.spans == ((0, seam), (seam, len(both.motion))) and len(both.motion) > len(single.motion) == seam


def test_candidates_are_ranked_by_their_side_too(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one fits its text a little better than the first, but that of the other side much better."""

    class Sided:
        def motions(self, joints: list[np.ndarray], fps: float) -> np.ndarray:
            return np.array([[0.6, 0.3, 0.5], [0.7, 0.9, 0.6]])[: len(joints)]

        def texts(self, texts: list[str], grounder: object, attributes: object = ()) -> np.ndarray:
            kinds = [0 if "left" in t else 1 if "right" in t else 2 for t in texts]
            return np.eye(3)[kinds]

    monkeypatch.setattr(gpt, "motion_scorer", Sided())
    monkeypatch.setattr(gpt, "grounder", object())
    found = [np.zeros((4, 1), int), np.ones((4, 1), int)]
    assert pick(gpt.body.model, [found], ["wave the left hand"])[0] is found[0]
    assert pick(gpt.body.model, [found], ["wave the right hand"])[0] is found[1]
    assert pick(gpt.body.model, [found], ["wave"])[0] is found[1]


def test_describe(gpt: AvatarGPT) -> None:
    clips = [walk(30), walk(50, 30.0, 1), walk(4 * (CHUNK + CONTEXT) + 40, seed=2)]
    said = gpt.describe(clips)
    assert len(said) == 3 and all(isinstance(s, str) and s for s in said)
    assert gpt.describe(clips[1]) == said[1:2]
    (several,) = gpt.describe(clips[0], num=3, seed=2)
    assert len(several) == 3 and len(set(several)) > 1
    assert gpt.describe(clips[:2], num=3, seed=2)[0] == several != gpt.describe(clips[0], num=3, seed=3)[0]
    with pytest.raises(UserError, match="num: 0"):
        gpt.describe(clips[0], num=0)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, ""), (0.85, "turn"), (13.0, "")])
def test_extend(gpt: AvatarGPT, seconds: float, text: str) -> None:
    clip = walk(43)
    got = gpt.extend(clip, seconds, text, seed=1, best_of=3)
    assert len(got) == 43 + round(20 * seconds) and got.caption == text
    np.testing.assert_array_equal(got.root[:43], clip.root)
    np.testing.assert_allclose(got.rotations[:43], clip.rotations, atol=1e-6)
    assert same(got, gpt.extend(clip, seconds, text, seed=1, best_of=3))
    jump = np.linalg.norm(np.diff(got.joints, axis=0), axis=-1).max(1)
    assert jump[42] <= 1.05 * jump[36:60].max()


def test_a_continuation_with_words_has_more_to_pick_from(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    sample = LoadedModel.sample

    def counted(self: LoadedModel, prompts: Any, lengths: Any, seeds: Any, best_of: int, *more: Any, **by: Any) -> Any:
        asked.append(best_of)
        return sample(self, prompts, lengths, seeds, best_of, *more, **by)

    monkeypatch.setattr(LoadedModel, "sample", counted)
    for text, best_of in (("a person jumps", None), ("", None), ("a person jumps", 2)):
        gpt.extend(walk(40), 0.5, text, best_of=best_of)
    assert asked == [16, 16, 4, 2, 2]  # a continuation, and what is made of the words alone


@pytest.mark.parametrize("keep_place", [False, True])
@pytest.mark.parametrize(("seconds", "text"), [(0.2, ""), (1.15, "a person walks"), (12.5, "")])
def test_in_between(gpt: AvatarGPT, seconds: float, text: str, keep_place: bool) -> None:
    start, end = walk(43), walk(30, seed=4).moved(2.0, np.array([4.0, 0.1, -1.0]))
    got = gpt.in_between(start, end, seconds, text, best_of=3, keep_place=keep_place)
    middle = round(20 * seconds)
    assert len(got) == 43 + middle + 30
    np.testing.assert_array_equal(got.root[:43], start.root)
    np.testing.assert_allclose(got.rotations[:43], start.rotations, atol=1e-6)
    last = got.slice(43 + middle, len(got))
    if keep_place:
        np.testing.assert_allclose(last.joints, end.joints, atol=1e-5)
    else:
        np.testing.assert_allclose(last.canonical().joints, end.canonical().joints, atol=1e-4)
    assert same(got, gpt.in_between(start, end, seconds, text, best_of=3, keep_place=keep_place))


def test_words_without_effect_are_noted(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, seen = walk(30), []

    def missing(model: BodyModel, judge: StepJudge | None, part: Motion, request: ResolvedRequest) -> str:
        seen.append(part)
        return "'jump' jump" * (request.text == "jump")

    monkeypatch.setattr(edit, "note_unseen", missing)
    for made in (partial(gpt.extend, clip), partial(gpt.in_between, clip, clip)):
        with pytest.warns(UnheededText, match="^'jump' jump$"):
            assert "'jump' jump" in made(2.0, text="jump", best_of=2).notes
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*jump")
            for text in ("walk", ""):
                assert all(n.startswith("in-between: ") for n in made(2.0, text=text, best_of=2).notes)
    assert [len(part) for part in seen] == [40] * 4


ASKED, CIRCLE = Clause(action="turn"), Route("circle", "left", 1, 1.0, "walk")


@pytest.mark.parametrize(("clauses", "verdict", "frames", "said"), [
    ([ClauseSpec("jump", 1.0)], "shown", 60, ""),
    ([ClauseSpec("jump", 1.0)], "not", 60, "'turn by 90 degrees' may not look as it reads"),
    ([ClauseSpec("jump", 1.0)], "not", 11, "'turn by 90 degrees': 0.55 s have hardly room for a movement"),
    ([ClauseSpec("jump", 1.0), ClauseSpec("wave", 1.0)], "partly", 60, "it asks for 2 movements, give each a part"),
    ([ClauseSpec("jump", 1.0), ClauseSpec("wave", 1.0)], "shown", 60, ""),
    ([ClauseSpec("turn", 1.0, turn=Turn(90, "left"), clause=ASKED)], "shown", 60, "misses a turn of 90 degrees by"),
    ([ClauseSpec("walk", 1.0, route=CIRCLE, clause=ASKED)], "shown", 60, "misses a turn of 360 degrees by"),
])  # fmt: skip
def test_what_is_not_heeded(
    clauses: list[ClauseSpec], verdict: Verdict, frames: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "measure", lambda *_: np.zeros(len(MEASURES)))
    judging = SimpleNamespace(judge=lambda _: Judgement(0.0, verdict))
    model = SimpleNamespace(tokenizer=SimpleNamespace(tokens_per_second=5.0))

    def noted(text: str, judging: Any = judging) -> str:
        return note_unseen(model, judging, walk(frames), ResolvedRequest(text, None, tuple(clauses)))  # type: ignore[arg-type]

    got = noted("turn by 90 degrees")
    assert said in got and bool(said) == bool(got)
    assert "does not look like English but like Russian" in noted("человек прыгает")
    assert "has no word in it" in noted("12345")
    assert bool(noted("jump", None)) == ("misses" in said)


def test_poses_to_begin_and_end_in_leave_the_way_as_long(gpt: AvatarGPT) -> None:
    motion = walk(60)
    made = gpt.body.editing.pose_ends(motion, motion.slice(5, 6), motion.slice(9, 10), best_of=2)
    before, after = ((m.root[-1] - m.root[0])[[0, 2]] for m in (motion, made))
    np.testing.assert_allclose(after, before, atol=1e-3)


def test_clauses_whose_postures_do_not_meet_are_told() -> None:
    motion, spec = walk(40), MotionSpec("a person jumps", 20)
    low = motion.root * [1, 0, 1] + [0, 0.1, 0]
    jumps = replace(motion, root=np.concatenate([low[:20], motion.root[20:]]))
    assert generate._pops(jumps, spec, 20).startswith("'a person jumps': from ")
    assert generate._pops(motion, spec, 20) == generate._pops(jumps, spec, 30) == ""


def test_kept_place_is_reached_without_a_jump(gpt: AvatarGPT) -> None:
    """The middle is bent all the way: unbent, its last frame would be metres away from END."""
    start, end = walk(40), walk(30, seed=4).moved(2.5, np.array([3.0, 0.0, 1.0]))
    got = gpt.in_between(start, end, 2.0, best_of=1, keep_place=True)
    way = np.linalg.norm(np.diff(got.root[:, [0, 2]], axis=0), axis=-1)
    assert way[79] <= 1.25 * way[60:79].max()


def test_a_place_out_of_reach_is_told(gpt: AvatarGPT) -> None:
    start, end = walk(40), walk(30)

    def notes(*shift: float) -> tuple[str, ...]:
        there = end.moved(0.0, (start.root[-1] - end.root[0]) * [1, 0, 1] + np.array(shift))
        return gpt.in_between(start, there, 2.0, best_of=1, keep_place=True).notes

    assert [n for n in notes(0, 0, 2) if "END" in n] == []
    assert "END stands 5.0 m higher" in notes(0, 5, 2)[0] and "END stands 1.0 m lower" in notes(0, -1, 2)[0]
    assert "END begins 40.0 m away, 19.5 m/s in 2 s" in notes(0, 0, 40)[0]
    away = end.moved(0.0, np.array([0.0, 5.0, 40.0]))
    assert [n for n in gpt.in_between(start, away, 2.0, best_of=1).notes if "END" in n] == []  # it is brought nearer


def test_middles_that_pop_are_made_again_then_interpolated(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = walk(40), walk(30, seed=4)
    judged: list[Motion] = []

    def judge(passes: int) -> Motion:
        """Only the middle judged as number `passes` does."""
        judged.clear()

        def roughness(_: Motion, middle: Motion, __: Motion) -> float:
            judged.append(middle)
            return 0.5 if len(judged) == passes else 2.0

        monkeypatch.setattr("avatargpt.body.edit.roughness", roughness)
        return gpt.in_between(start, end, 1.0, best_of=3, keep_place=True)

    got = judge(2)
    assert len(judged) == 3 and same(got.slice(40, 60), judged[1]) and got.notes == ()
    got = judge(4)
    assert len(judged) == 6 and same(got.slice(40, 60), judged[3]) and got.notes == ()
    assert not same(judged[0], judged[3]), "made anew"
    got = judge(3 * ROUNDS + 1)
    assert len(judged) == 3 * ROUNDS + 1 and same(got.slice(40, 60), judged[-1])
    assert len(got.notes) == 1 and "the middle is interpolated" in got.notes[0]
    got = judge(0)
    assert "2.0 times" in got.notes[-1], "what pops all the same says so"


@pytest.mark.parametrize(("arguments", "says"), [
    ({"seconds": 0}, "accepted 0.2"), ({"seconds": 1000}, "1000"), ({"seconds": 1, "text": "  "}, "empty"),
    ({"seconds": 1, "best_of": 0}, "best_of: 0"),
])  # fmt: skip
def test_editing_refuses(gpt: AvatarGPT, arguments: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        gpt.extend(walk(20), **arguments)
    with pytest.raises(UserError, match=says):
        gpt.in_between(walk(20), walk(20), **arguments)


def test_clips_shorter_than_a_token(gpt: AvatarGPT) -> None:
    assert len(gpt.extend(walk(2), 0.5, best_of=1)) == 12
    assert len(gpt.in_between(walk(1), walk(3), 0.5, best_of=1)) == 14


def test_other_frame_rates_are_brought_to_ours(gpt: AvatarGPT) -> None:
    got = gpt.extend(walk(60, fps=30.0), 0.5, best_of=1)
    assert got.fps == 20 and len(got) == 40 + 10


@pytest.mark.parametrize("frames", [1, 41])
def test_reconstruct(gpt: AvatarGPT, frames: int) -> None:
    clip = walk(frames)
    got, figures = gpt.reconstruct(clip)
    assert len(got) == frames and figures["tokens"] == -(-frames // 4) and figures["seconds"] == frames / 20
    assert figures["mpjpe_mm"] > 1  # a random tokenizer rebuilds nothing
    source = clip.canonical()
    drift = np.linalg.norm((got.root[-1] - source.root[-1])[[0, 2]]) * 1000
    assert figures["drift_mm"] == pytest.approx(drift, rel=1e-4, abs=1e-3)
    codes = gpt.tokenizers["body"].encode(clip.canonical(), REFINE_STEPS)
    assert same(got, gpt.tokenizers["body"].decode(codes).slice(0, frames))


def test_info(gpt: AvatarGPT) -> None:
    info = gpt.info()
    assert info["heads"] == ["text", "body"] and info["sentence encoder"] == "none"
    assert info["fingerprints"] == {"body": gpt.tokenizers["body"].fingerprint}
    with pytest.raises(UserError, match="modality 'face': this model has body"):
        gpt.loaded.tokenizer("face")


HEIGHTS = [-0.95, 2.5]


@pytest.fixture
def low() -> Motion:
    """A clip on y = 0."""
    clip = walk(48)
    return raise_motion(clip, -float(np.percentile(clip.joints[..., 1].min(1), 2)))


def test_floor_of_a_clip(low: Motion) -> None:
    for height in (-0.09, 0.0, 0.19):
        clip = raise_motion(low, height)
        assert floor_of(clip) == 0 and ground_motion(clip) is clip
    for height in HEIGHTS:
        assert floor_of(raise_motion(low, height)) == pytest.approx(height, abs=1e-4)
        assert np.abs(ground_motion(raise_motion(low, height)).joints - low.joints).max() < 1e-4
    jump = replace(low, root=low.root + np.outer(np.sin(np.linspace(0, np.pi, 48)), [0, 0.6, 0]))
    assert floor_of(jump) == 0


@pytest.mark.parametrize("height", HEIGHTS)
def test_what_is_made_of_a_clip_keeps_its_floor(gpt: AvatarGPT, low: Motion, height: float) -> None:
    high, up = raise_motion(low, height), np.array([0, height, 0])
    assert gpt.describe(high, best_of=1) == gpt.describe(low, best_of=1)
    longer, usual = gpt.extend(high, 1.0, best_of=1), gpt.extend(low, 1.0, best_of=1)
    np.testing.assert_allclose(longer.joints - up, usual.joints, atol=1e-3)
    np.testing.assert_array_equal(longer.root[:48], high.root)
    between = gpt.in_between(high, low, 1.0, best_of=1)
    np.testing.assert_allclose(between.joints - up, gpt.in_between(low, low, 1.0, best_of=1).joints, atol=1e-3)
    kept = gpt.in_between(high, high, 1.0, best_of=1, keep_place=True)
    np.testing.assert_allclose(kept.joints[-1], high.joints[-1], atol=1e-3)
    rebuilt, figures = gpt.reconstruct(high)
    truth, told = gpt.reconstruct(low)
    np.testing.assert_allclose(rebuilt.joints - up, truth.joints, atol=2e-2)
    assert figures["mpjpe_mm"] == pytest.approx(told["mpjpe_mm"], rel=0.05)


def test_a_result_goes_on_from_a_motion(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyModel, "continues_clauses", True)
    contexts: list[Any] = []
    sample = candidates.sample_candidates

    def sampled(*args: Any, **more: Any) -> Any:
        contexts.append(args[6])
        return sample(*args, **more)

    monkeypatch.setattr(generate, "sample_candidates", sampled)
    before = walk(60)
    (alone,), (onward_,) = (gpt.generate(LINES[0], seconds=2, best_of=2, after=m) for m in (None, before))
    assert len(alone) == len(onward_) == 40 and np.allclose(onward_.root[0, [0, 2]], 0)
    tail = before.slice(len(before) - generate.BEFORE * gpt.body.model.tokenizer.downsample, len(before)).canonical()
    assert contexts[0] == [None] and np.array_equal(contexts[-1][0], gpt.body.model.tokenizer.encode(tail))


def test_a_result_begins_near_the_pose_that_it_goes_on_from(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    poses: list[Any] = []
    cost = generate._cost

    def costs(motion: Motion, spec: MotionSpec, before: Any) -> float:
        poses.append(before)
        return cost(motion, spec, before)

    monkeypatch.setattr(generate, "_cost", costs)
    after = walk(60)
    gpt.generate(LINES[0], seconds=2, best_of=2, after=after)
    assert len(poses) == 2 and all(np.allclose(p, generate._pose(after, -1)) for p in poses)
    del poses[:]
    gpt.generate(LINES[0], seconds=2, best_of=2)
    assert poses == [None, None]


def test_a_rest_holds_the_posture_that_it_finds(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyModel, "continues_clauses", True)
    monkeypatch.setattr(generate, "motion_specs", lambda *_: [MotionSpec("rest", 10, action="hold_still")])
    monkeypatch.setattr(generate.Measures, "posture", lambda *_: "lying_on_side")
    before = walk(60)
    (held,) = gpt.generate("lies still", seconds=2, best_of=1, after=before)
    assert len(held) == 40 and np.ptp(held.root, 0).max() < 0.05
    assert np.abs(held.joints[:, :, 1].mean(0) - before.joints[-1, :, 1]).max() < 0.2
