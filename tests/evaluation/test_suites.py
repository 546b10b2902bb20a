"""The suites as shipped, and the harness on stand-ins for models; baselines of transitions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import corpus, describe, prompts, seams, tokenizer
from avatargpt.evaluation.describe import action_of, find_stated_side
from avatargpt.evaluation.suites import Run
from avatargpt.metrics.geometry import predicates
from instruct_data.clip import Clip
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def stroll(frames: int = 60, speed: float = 1.0) -> Motion:
    """A gliding stand-in for a walk with swaying arms, deterministic."""
    q = rot.identity((frames, 22))
    sway = 0.3 * np.sin(np.arange(frames) / 3)
    for name, sign in (("l_shoulder", -1), ("r_shoulder", 1)):
        down = rot.from_axis_angle(np.array([0, 0, 1.4 * sign]))
        q[:, SMPL22.index(name)] = rot.multiply(rot.from_axis_angle(np.outer(sway * sign, [1.0, 0, 0])), down)
    z = np.arange(frames) * speed / 20
    return Motion(q, np.stack([0 * z, 0 * z + 0.96, z], -1))


def clips(n: int = 4) -> list[Clip]:
    return [
        Clip(f"c{i}", stroll(60 + 4 * i, 0.8 + 0.1 * i), ["a person walks forward."], "made", "", "val", "walk")
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("name", evaluation.list_suites())
def test_suite_files_are_valid(name: str) -> None:
    suite = evaluation.load(name)
    assert suite.name == name and suite.version >= 1 and suite.metrics
    assert len({e.prompt for e in suite.entries}) == len(suite.entries)


def test_prompt_suites_are_as_large_as_promised() -> None:
    known, unseen = evaluation.load("prompts_known"), evaluation.load("prompts_unseen")
    assert len(known.entries) >= 60 and len(unseen.entries) >= 60
    assert sum(e.kind == "two" for e in known.entries) >= 15
    assert len(known.seeds) == len(unseen.seeds) == 5
    assert all(e.unseen and e.seen_in for e in unseen.entries)


def test_unseen_words_are_in_no_training_caption(shared: Path) -> None:
    import re

    from avatargpt.requests.english import lemma

    rows = map(json.loads, (shared / "data/body/captions.jsonl").read_text(encoding="utf-8").splitlines())
    captions = [c.lower() for r in rows if r["split"] == "train" for c in r["captions"]]
    words = {w for c in captions for w in re.findall(r"[a-z']+", c)}
    words |= {lemma(w) for w in words}
    for entry in evaluation.load("prompts_unseen").entries:
        in_prompt = re.findall(r"[a-z']+", entry.prompt.lower())
        for word in entry.unseen:
            assert word in in_prompt and word not in words and lemma(word) not in words, (word, entry.prompt)
    sentences = {c.strip(" .") for c in captions}
    assert not [e.prompt for e in evaluation.load("prompts_known").entries if e.prompt.lower() in sentences]


def test_where_words_are_known_from_is_as_stated(shared: Path) -> None:
    """`seen_in` of every prompt, and no prompt is a request of the training texts."""
    import re

    from avatargpt.requests.english import lemma

    def words(text: str) -> set[str]:
        found = set(re.findall(r"[a-z']+", text.lower()))
        return found | {lemma(w) for w in found}

    def read(*names: str) -> str:
        return "\n".join((shared / "data" / name).read_text(encoding="utf-8") for name in names)

    package = Path(__file__).resolve().parents[2] / "instruct_data"
    captions = map(json.loads, read("body/captions.jsonl").splitlines())
    asked = words(read("text/rewrites_train.jsonl", "text/body_captions.json"))
    asked |= words((package / "factory" / "text" / "lexicon.yaml").read_text(encoding="utf-8"))
    asked |= words(" ".join(c for r in captions if r["split"] == "train" for c in r["captions"]))
    wider = asked | words(read("planning/train.jsonl", "planning/virtualhome.jsonl"))
    wider |= words("\n".join(p.read_text(encoding="utf-8") for p in sorted((package / "tasks").glob("*.yaml"))))
    for entry in evaluation.load("prompts_unseen").entries:
        new = [{w for w in re.findall(r"[a-z']+", entry.prompt) if not {w, lemma(w)} & s} for s in (asked, wider)]
        found = "nowhere" if new[1] else "texts" if new[0] else "requests"
        assert entry.seen_in == found, (entry.prompt, found, new)
    requests = {json.loads(line)["prompt"].lower() for line in read("text/rewrites_train.jsonl").splitlines()}
    for name in ("prompts_known", "prompts_unseen"):
        assert not requests & {e.prompt.lower() for e in evaluation.load(name).entries}


def test_unknown_suite_suggests() -> None:
    with pytest.raises(UserError, match="did you mean prompts_known"):
        evaluation.run("prompt_known", None)
    with pytest.raises(UserError, match="--data"):
        evaluation.run("describe", None)


def test_bad_suite_files(tmp_path: Path) -> None:
    head = "name: x\nversion: 1\nkind: prompts\ndescription: d\nmetrics: {pass_rate: {higher_is_better: true}}\n"
    for text, message in (
        (head, "needs prompts"),
        (head + "prompts:\n- {prompt: a, kind: single, checks: [wlks]}\n", "did you mean 'walks'"),
        (head + "prompts:\n- {prompt: a, kind: odd, checks: [walks]}\n", "accepted single"),
        (head + "prompts:\n- {prompt: a, kind: style, checks: [slower]}\n", "neutral"),
        (head + "prompts:\n- {prompt: a, kind: single, checks: [walks], seen_in: dreams}\n", "accepted requests"),
        (head + "targets: {speed: 3}\n", "no such metric"),
        (head + "targets: {pass_rate/two: true}\n", "accepted a number"),
        (head.replace("true", "null") + "targets: {pass_rate/two: 0.5}\n", "neither higher nor lower is better"),
        (head.replace("true", "up"), "needs higher_is_better: true, false, or null"),
        (head + "colour: red\n", "unknown keys"),
        ("- 1\n", "mapping"),
    ):
        path = tmp_path / "x.yaml"
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            evaluation.read(path)


def test_a_prompt_suite_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = ("name: mine\nversion: 1\nkind: prompts\ndescription: d\nmetrics: {pass_rate: {higher_is_better: true}}\n"
            "prompts:\n- {prompt: go, kind: single, checks: [walks]}\n")  # fmt: skip
    path.write_text(text)
    assert [e.prompt for e in evaluation.load(str(path)).entries] == ["go"]
    for wrong, message in (
        (text.replace("kind: prompts", "kind: tokenizer"), "accepted a file of kind 'prompts'"),
        (text + "seeds: [first]\n", "not a prompt suite"),
        (text.replace("[walks]", "[{turns: {side: up}}]"), "prompt 1: check turns: side 'up'; accepted left, right"),
    ):
        path.write_text(wrong)
        with pytest.raises(UserError, match=message):
            evaluation.load(str(path))
    with pytest.raises(UserError, match="nowhere.yaml"):
        evaluation.load(str(tmp_path / "nowhere.yaml"))


def test_checks_of_the_classes_are_valid() -> None:
    for row in evaluation.load("predicates").classes:
        predicates.validate(row["check"])


def test_files_that_are_no_lists_of_prompts() -> None:
    for name in ("prompts.txt", "some/where.xlsx"):
        with pytest.raises(UserError, match=r"accepted a name from `eval ls`, a prompt suite as \.yaml, or a list as"):
            evaluation.load(name)


def test_prompt_run_counts_and_is_repeatable(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "name: tiny\nversion: 1\nkind: prompts\ndescription: d\nseeds: [0, 1]\n"
        "metrics: {pass_rate: {higher_is_better: true, unit: share}}\nprompts:\n"
        "- {prompt: ahead, kind: single, checks: [{travels_forward: {}}], seen_in: requests}\n"
        "- {prompt: back, kind: single, checks: [walks_backward], seen_in: nowhere}\n"
        "- {prompt: slowly, kind: style, checks: [slower], neutral: ahead}\n"
        "- {prompt: both, kind: two, checks: [{then: [travels_forward, travels_forward]}]}\n"
    )

    def generate(texts: list[str], seeds: list[int]) -> list[Motion]:
        return [stroll(speed=0.5 if t == "slowly" else 1.0 + 0.1 * s) for t, s in zip(texts, seeds, strict=True)]

    suite = evaluation.read(path)
    first = evaluation.run_suite(suite, generate, None, tmp_path / "a.json")
    evaluation.run_suite(suite, generate, None, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert [p["passed"] for p in first["prompts"]] == [[1, 1], [0, 0], [1, 1], [1, 1]]
    assert first["results"]["pass_rate"]["mean"] == pytest.approx(3 / 4, abs=1e-4)
    assert first["results"]["pass_rate"]["n"] == len(suite.entries) == 4
    assert first["results"]["pass_rate/style"]["mean"] == 1 and first["results"]["pass_rate/two"]["mean"] == 1
    words = {k: first["results"][f"pass_rate/{k}"] for k in ("a word in no request", "a word in no training text")}
    assert all(w["mean"] == 0 and w["n"] == 1 for w in words.values())
    assert first["results"]["pass_rate/all words in requests"]["mean"] == 1
    with pytest.raises(UserError, match="gave 1 motions"):
        prompts.evaluate(Run(suite, lambda texts, seeds: [stroll()]))


def test_tokenizer_suite_is_exact_for_a_copy_and_sees_errors(tmp_path: Path) -> None:
    suite = evaluation.load("tokenizer")
    suite.options.update(drift_seconds=2, long_clips=2, long_seconds=12)
    perfect = tokenizer.score(suite, clips(), lambda m: m, chart=tmp_path / "c.png")
    assert perfect["results"]["mpjpe_heading"]["mean"] == pytest.approx(0, abs=1e-3)
    assert perfect["results"]["drift"]["mean"] == pytest.approx(0, abs=1e-3)
    assert (tmp_path / "c.png").stat().st_size > 5000

    def short(m: Motion) -> Motion:
        """Goes only nine tenths of the way."""
        return Motion(m.rotations, m.root * np.array([0.9, 1, 0.9], np.float32))

    worse = tokenizer.score(suite, clips(), short)
    assert 100 < worse["results"]["drift"]["mean"] < 250
    usage = tokenizer.score(suite, clips(), lambda m: m, lambda m: np.array([[0, 1], [1, 1]]), 4)["results"]
    assert usage["code_usage"]["mean"] == 0.5 and usage["code_usage/level 1"]["mean"] == 0.25


def test_joined_clips_continue() -> None:
    whole = tokenizer.join([stroll(20).moved(1.0, np.array([3.0, 0, 1])), stroll(20), stroll(20)])
    steps = np.linalg.norm(np.diff(whole.root[:, [0, 2]], axis=0), axis=1)
    assert steps.max() < 0.06 and np.ptp(whole.heading) < 0.05
    assert [len(m) for m in tokenizer.long_clips(clips(2), 2, 17)] == [340, 340]


def test_describe_suite_scores_action_and_side() -> None:
    suite = evaluation.load("describe")
    data = [
        Clip("a", stroll(), ["a person waves the left hand."], "m", "", "val", "wave-left-hand"),
        Clip("b", stroll(), ["someone walks."], "m", "", "val", "walk"),
        Clip("c", stroll(), ["somebody jumps up.", "a person leaps."], "m", "", "val"),
    ]
    said = ["a person waves with the right hand.", "a person runs.", "someone jumps."]
    result = describe.score(suite, data, lambda motions: said[: len(motions)])
    assert result["results"]["action"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert result["results"]["side"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 1}
    assert result["confusion"]["walk"] == {"run": 1}
    assert "| c | someone jumps. |" in describe.markdown(result) and "baselines" not in result

    known = [Clip("d", stroll(), ["a person walks."], "m", "", "train", "walk")]
    beside = describe.score(suite, data, lambda motions: said[: len(motions)], known)
    assert beside["baselines"] == ["own caption", "nearest clip", "random caption"]
    assert {k: beside["results"][k] for k in result["results"]} == result["results"]
    assert beside["results"]["action/nearest clip"]["mean"] == pytest.approx(1 / 3, abs=1e-4)
    assert beside["results"]["action/own caption"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 1}  # c alone has two


def test_the_nearest_clip_is_the_one_that_moves_alike() -> None:
    known = [Clip(str(i), stroll(20, x), [f"a {i}"], "m", "", "train") for i, x in enumerate((0.2, 1.0, 4.0))]
    some = [Clip("x", stroll(20, x), [], "m", "", "val") for x in (3.8, 0.25)]
    assert corpus.nearest_clips(some, known).tolist() == [2, 0]
    told = corpus.baseline_sentences(some, [*known, Clip("mute", stroll(20, 3.8), [], "m", "", "train")], 0)
    assert told["nearest clip"] == ["a 2", "a 0"] and set(told["random caption"]) <= {"a 0", "a 1", "a 2"}


@pytest.mark.parametrize(
    ("sentence", "action", "side"),
    [
        ("a person keeps the right arm down and lifts the left one", "raise", "left"),
        ("someone steps back without turning around", "walk back", ""),
        ("the figure walks forward and turns right with no strength left", "turn", "right"),
        ("someone waves goodbye with two hands", "wave", "both"),
        ("a person goes ahead and to the left without turning", "walk sideways", "left"),
        ("a man sprints off", "run", ""),
        ("nothing known", "", ""),
    ],
)
def test_action_words(sentence: str, action: str, side: str) -> None:
    assert action_of(sentence) == action
    assert find_stated_side(sentence) == side


class Oracle:
    """Knows the clips by their beginning: gives back the real one."""

    def __init__(self, data: list[Clip]) -> None:
        self.data = [c.load() for c in data]

    def _whole(self, start: Motion) -> Motion:
        return min(self.data, key=lambda m: float(np.abs(m.root[: len(start)] - start.root).sum()))

    def in_between(self, start: Motion, end: Motion, seconds: float, seed: int, keep_place: bool) -> Motion:
        assert keep_place  # the end is compared where it stands
        whole = self._whole(start)
        return whole.slice(0, len(start) + round(seconds * 20) + len(end))

    def extend(self, motion: Motion, seconds: float, seed: int) -> Motion:
        return self._whole(motion).slice(0, len(motion) + round(seconds * 20))


@pytest.mark.parametrize("name", ["inbetween", "continuation"])
def test_transition_suites(name: str) -> None:
    result = seams.score_transitions(evaluation.load(name), clips(6), Oracle(clips(6)))["results"]
    assert result["ade"]["mean"] == pytest.approx(0, abs=1e-4) and result["length_exact"]["mean"] == 1
    other = "interpolation" if name == "inbetween" else "hold"
    assert result[f"ade/{other}"]["mean"] > 0.05
    assert result["ade"]["n"] == result[f"ade/{other}"]["n"] == 6  # a clip counts once, whatever the seeds
    assert result["seam_jerk_ratio"]["mean"] == pytest.approx(result["seam_jerk_ratio/real"]["mean"], rel=1e-3)
    if name == "inbetween":
        real, straight = (result[f"seam_pops/{k}"]["mean"] for k in ("real", "interpolation"))
        assert result["seam_pops"]["mean"] == real == 0 < straight, "interpolation arrives without speed"


def test_corpus_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no body corpus"):
        corpus.load_clips(tmp_path, "val")
    row = {"id": "a", "split": "val", "shard": "m.npz", "index": 0, "captions": ["walk"], "source": "x"}
    (tmp_path / "captions.jsonl").write_text(json.dumps(row) + "\n")
    skeleton = {"joint_names": SMPL22.names, "offsets": SMPL22.offsets.tolist()}
    (tmp_path / "skeleton.json").write_text(json.dumps(skeleton))
    np.savez(tmp_path / "m.npz", rot=np.zeros((9, 22, 4), np.int16), root=np.zeros((9, 3)), offsets=np.array([0, 9]))
    whole = (tmp_path / "m.npz").read_bytes()
    (tmp_path / "m.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="m.npz: not a readable"):
        corpus.load_clips(tmp_path, "val")


def test_known_single_action_prompts_can_be_met(shared: Path) -> None:
    """Real waves with the left hand satisfy the check of their prompt, and not that of the other hand."""
    real = [c for c in corpus.load_clips(shared / "data", "val") if c.action == "wave-left-hand"]
    from avatargpt.metrics.geometry import predicates

    passed = [predicates.judge({"waves": {"side": "left"}}, c.load()).passed for c in real]
    wrong = [predicates.judge({"waves": {"side": "right"}}, c.load()).passed for c in real]
    assert np.mean(passed) >= 0.9 and np.mean(wrong) <= 0.1


def turning(frames: int, rate: float, speed: float) -> Motion:
    q = rot.identity((frames, 22))
    t = np.arange(frames)
    q[:, 18] = rot.from_axis_angle(t[:, None] * [0, rate, 0])
    return Motion(q, t[:, None] * [0.0, 0, speed] + [0, 0.9, 0])


def test_interpolation_fills_the_gap_evenly() -> None:
    whole = turning(10, 0.1, 0.05)
    middle = seams.interpolate(whole.slice(0, 3), whole.slice(7, 10), 4)
    assert len(middle) == 4
    np.testing.assert_allclose(middle.joints, whole.joints[3:7], atol=1e-5)


def test_interpolation_takes_the_shorter_arc() -> None:
    a, b = turning(1, 0, 0), turning(1, 0, 0)
    flipped = Motion(-b.rotations, b.root)
    np.testing.assert_allclose(seams.interpolate(a, flipped, 3).joints, np.repeat(a.joints, 3, 0), atol=1e-6)


def test_hold_repeats_the_last_frame() -> None:
    clip = turning(5, 0.1, 0.05)
    np.testing.assert_array_equal(seams.hold(clip, 3).joints, np.repeat(clip.joints[-1:], 3, 0))


def test_extrapolation_goes_on_as_before() -> None:
    whole = turning(12, 0.1, 0.05)
    np.testing.assert_allclose(seams.extrapolate(whole.slice(0, 6), 6).joints, whole.joints[6:], atol=1e-5)
    assert len(seams.extrapolate(whole.slice(0, 1), 4)) == 4


def test_bad_arguments() -> None:
    with pytest.raises(UserError, match="at least 1"):
        seams.hold(turning(2, 0, 0), 0)
    other = Motion(turning(2, 0, 0).rotations, turning(2, 0, 0).root, fps=30)
    with pytest.raises(UserError, match="same rate"):
        seams.interpolate(turning(2, 0, 0), other, 3)


def test_extrapolation_turns_about_the_joints_own_axis() -> None:
    base = rot.from_axis_angle(np.array([0.4, -0.9, 0.3]))
    spins = rot.from_axis_angle(np.outer(0.1 * np.arange(20), [1.0, 0, 0]))
    turned = rot.identity((20, 22))
    turned[:, 16] = rot.multiply(np.tile(base, (20, 1)), spins)
    goes_on = seams.extrapolate(Motion(turned[:10], np.zeros((10, 3))), 10)
    assert rot.angle_between(goes_on.rotations, turned[10:]).max() < 5e-3


def test_clips_of_exactly_the_shortest_length_are_cut() -> None:
    data = clips(2)  # of 60 and of 64 frames
    suite = evaluation.load("continuation")
    for shortest, left in ((60, 2), (61, 1)):
        some = replace(suite, options={"kept": 0.5, "shortest": shortest})
        if left < 2:
            with pytest.raises(UserError, match=f"{left} clips of at least {shortest} frames; needs 2"):
                seams.tasks_of(some, data)
        else:
            assert len(seams.tasks_of(some, data)) == left
