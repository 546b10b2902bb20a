"""Tasks, and the mixture that draws from them."""

from collections.abc import Iterable

import numpy as np
import pytest
import yaml

from avatargpt.lm.encoder import pad
from instruct_data import registry
from instruct_data.clip import Clip
from instruct_data.factory.mixture import ExampleStream, Mixture, balance_weights, clip_class
from instruct_data.registry import (
    MIN_TEMPLATES,
    AttributesSegment,
    CodesSegment,
    TextSegment,
    add_folder,
    get_task,
    list_tasks,
    load_task,
)
from vqvae.errors import UserError

OURS = {"text_to_motion", "motion_to_text", "in_between", "continuation", "rewrite"}


@pytest.fixture
def clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_folders", [])


def test_our_tasks_are_there_and_have_enough_wording():
    assert set(list_tasks()) >= OURS
    for name in OURS:
        task = get_task(name)
        assert len({t.lower() for t in task.templates}) >= MIN_TEMPLATES
        assert task.description


def test_caption_is_ground_text_and_wording_is_not():
    prompt = get_task("text_to_motion").render({"caption": "  a person   walks. "}, template=0)
    assert prompt.head == "body"
    assert [s.text for s in prompt.segments if isinstance(s, TextSegment) and s.ground] == ["a person walks."]
    assert prompt.text == "[Instruction] Generate a motion for this description. [Input] a person walks. [Response]"


def test_seconds_are_said_if_and_only_if_given():
    task = get_task("text_to_motion")
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert "4.0 seconds" in task.render({"caption": "x", "seconds": 4}, rng=rng).text
        assert "seconds" not in task.render({"caption": "x"}, rng=rng).text
        assert "seconds" not in task.render({"caption": "x", "seconds": None}, rng=rng).text


def test_every_template_renders_every_slot_once():
    codes = np.arange(6).reshape(3, 2)
    for name in OURS:
        task = get_task(name)
        typed = {"turn": "left_90", "side": "left"}
        values = {"text": "some words", "motion": codes, "seconds": 2.5, "attributes": typed}
        slots = {s.name: values[s.kind] for s in task.inputs}
        required = {s.name: values[s.kind] for s in task.inputs if s.required}
        reached = set()
        for chosen in (slots, required, *({**required, k: v} for k, v in slots.items())):
            for number in task.eligible(set(chosen)):
                reached.add(number)
                prompt = task.render(chosen, template=number)
                motions = sum(s.kind == "motion" for s in task.inputs if s.name in chosen)
                assert sum(isinstance(s, CodesSegment) for s in prompt.segments) == motions
                words = [v for v in chosen.values() if isinstance(v, str)]
                assert prompt.text.count("some words") == len(words)
                assert ("2.5 seconds" in prompt.text) == ("seconds" in chosen)
                written = [s.symbols for s in prompt.segments if isinstance(s, AttributesSegment)]
                assert written == [("side=left", "turn=left_90")] * ("attributes" in chosen)
                assert prompt.text.count("attributes: side=left turn=left_90 [Response]") == len(written)
                assert prompt.text.startswith("[Instruction] ") and prompt.text.endswith("[Response]")
                assert "[Input]" in prompt.text and "{" not in prompt.text
        assert reached == set(range(len(task.templates)))


def test_rendering_is_a_function_of_the_generator():
    task = get_task("in_between")
    slots = {"start": np.zeros((4, 2), int), "end": np.ones((4, 2), int)}
    texts = [[task.render(slots, rng=np.random.default_rng(s)).text for s in range(30)] for _ in range(2)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 5


def test_order_of_motions_is_kept_and_labelled():
    prompt = get_task("in_between").render({"end": np.ones((2, 1), int), "start": np.zeros((3, 1), int)}, template=0)
    assert [len(s.codes) for s in prompt.segments if isinstance(s, CodesSegment)] == [3, 2]
    assert "start: <body x 3> end: <body x 2>" in prompt.text


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        ({}, "caption is needed"),
        ({"caption": " "}, "empty text"),
        ({"caption": "x", "seconds": 0}, "above 0"),
        ({"caption": "x", "seconds": float("nan")}, "finite"),
        ({"caption": "x", "tempo": 3}, "no slot tempo"),
    ],
)
def test_bad_slots(slots, message):
    with pytest.raises(UserError, match=message):
        get_task("text_to_motion").render(slots)


def test_bad_codes_and_template():
    with pytest.raises(UserError, match="integers"):
        get_task("motion_to_text").render({"motion": np.zeros((3, 2))})
    with pytest.raises(UserError, match="face codes"):
        get_task("motion_to_text").render({"motion": CodesSegment("face", np.zeros((3, 2), int))})
    with pytest.raises(UserError, match="template 1 does not take"):
        get_task("text_to_motion").render({"caption": "x"}, template=1)


def test_unknown_task_suggests():
    with pytest.raises(UserError, match="did you mean 'text_to_motion'.*available: .*rewrite"):
        get_task("text2motion")


def _valid(name="hello"):
    return {
        "name": name, "version": 1, "description": "a test", "inputs": [{"name": "caption", "kind": "text"}],
        "output": "text", "templates": [f"Wording number {i}." for i in range(20)],
        "decoding": {"temperature": 0.5},
    }  # fmt: skip


def test_a_new_task_is_one_file(tmp_path, clean_registry):
    before = set(list_tasks())
    (tmp_path / "hello.yaml").write_text(yaml.safe_dump(_valid()))
    assert "hello" not in before and add_folder(tmp_path) == ["hello"]
    assert add_folder(tmp_path) == ["hello"]
    assert "Wording number 0." in get_task("hello").render({"caption": "hi"}).text
    assert set(list_tasks()) == before | {"hello"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "fce"}, "output: 'fce'; accepted text, body"),
        ({"templates": ["one"]}, "at least 20"),
        ({"templates": [f"{{what}} {i}" for i in range(20)]}, "unknown slot what"),
        ({"decoding": {"temperature": "hot"}}, "decoding: temperature"),
        ({"decoding": {"heat": 1}}, "heat"),
        ({"version": 0}, "version"),
        ({"output": "body"}, "examples: pairs of words for output 'body'"),
        ({"inputs": [{"name": "caption", "kind": "text"}, {"name": "seconds", "kind": "seconds"}]}, "none can say"),
        ({"inputs": [{"name": "m", "kind": "motion"}]}, "modality"),
        ({"name": "other"}, "called as its file"),
    ],
)
def test_bad_files_are_named(tmp_path, change, message):
    path = tmp_path / "hello.yaml"
    path.write_text(yaml.safe_dump(_valid() | change))
    with pytest.raises(UserError, match=message) as e:
        load_task(path)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


MOTION = {"name": "m", "kind": "motion", "modality": "body"}
SAID, LONG = {"name": "message", "kind": "text"}, {"name": "long", "kind": "seconds"}


@pytest.mark.parametrize(
    ("examples", "output", "inputs", "message"),
    [
        ("text_to_motion", "text", [SAID], "examples: text_to_motion for output 'text'; accepted motion_to_text"),
        ("motion_to_text", "body", [MOTION], "for output 'body'; accepted text_to_motion, in_between, continuation"),
        ("text_to_motion", "body", [{**SAID, "kind": "number"}], "needs 1 of kind text; inputs has 0"),
        ("in_between", "body", [MOTION, SAID], "in_between needs 2 of kind motion; inputs has 1"),
        ("continuation", "body", [{**MOTION, "modality": "face"}], "m: modality 'face'; accepted 'body'"),
        ("in_between", "face", [MOTION, {**MOTION, "name": "n", "modality": "face"}], "m: modality 'body'"),
        ("text_to_motion", "body", [SAID, MOTION], "leaves slot m empty; it fills the first 1 of kind text, 1 of kind"),
        ("motion_to_text", "text", [MOTION, SAID], "leaves slot message empty.*say required: false"),
        ("text_to_motion", "body", [SAID, {**LONG, "kind": "number"}], "leaves slot long empty"),
        ("continuation", "body", [MOTION, SAID, {**SAID, "name": "more"}], "leaves slot more empty"),
    ],
)
def test_examples_that_cannot_be_filled(tmp_path, examples, output, inputs, message):
    timed = "".join(f" for {{{s['name']}}}" for s in inputs if s["kind"] in ("seconds", "number"))
    path, templates = tmp_path / "hello.yaml", [f"Wording number {i}{timed}." for i in range(20)]
    task = {"examples": examples, "output": output, "inputs": inputs, "templates": templates}
    path.write_text(yaml.safe_dump(_valid() | task))
    with pytest.raises(UserError, match=message) as e:
        load_task(path)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


def test_not_yaml(tmp_path, clean_registry):
    (tmp_path / "x.yaml").write_text("a: [1\n")
    with pytest.raises(UserError, match=r"x.yaml, line \d+: not YAML"):
        add_folder(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        add_folder(tmp_path / "none")


def clip(action: str, captions: tuple[str, ...] = ()) -> Clip:
    return Clip("x", lambda: None, list(captions), "lab", "MIT", action=action)


def test_weights():
    classes = ["a"] * 90 + ["b"] * 10
    assert balance_weights(classes, 0)[:90].sum() == pytest.approx(0.9)
    assert balance_weights(classes, 1)[:90].sum() == pytest.approx(0.5)
    assert balance_weights(classes, 0.5)[:90].sum() == pytest.approx(np.sqrt(90) / (np.sqrt(90) + np.sqrt(10)))
    with pytest.raises(UserError, match="alpha 2"):
        balance_weights(classes, 2)
    with pytest.raises(UserError, match="no clips"):
        balance_weights([], 0.5)


def test_shares_are_met():
    items = [clip("walk")] * 80 + [clip("bow")] * 20
    classes = [clip_class(item) for item in items]
    mixture = Mixture(
        [ExampleStream("text_to_motion", 3, classes, 1.0), ExampleStream("motion_to_text", 1, classes, 0.0)]
    )
    streams, entries = np.concatenate([mixture.draw(step, 250) for step in range(40)], axis=1)
    assert np.mean(streams == 0) == pytest.approx(0.75, abs=0.02)
    bows = [np.mean(entries[streams == n] >= 80) for n in (0, 1)]
    assert bows == pytest.approx([0.5, 0.2], abs=0.03)
    assert set(entries) == set(range(100))


def test_a_step_depends_on_nothing_but_its_number():
    streams = [ExampleStream("a", 1, ["x"] * 50), ExampleStream("b", 2, ["x", "y"] * 20)]

    def draws(seed: int, steps: Iterable[int]) -> list[list[list[int]]]:
        mixture = Mixture(streams, seed)
        return [[part.tolist() for part in mixture.draw(step, 16)] for step in steps]

    straight = draws(7, range(6))
    assert draws(7, (4, 5)) == straight[4:] and len({str(d) for d in straight}) == 6
    assert draws(8, [0]) != straight[:1]


def test_bad_mixtures():
    stream = ExampleStream("a", 1, ["x"])
    for streams, message in (
        ([], "no tasks"),
        ([ExampleStream("a", 0, ["x"])], "weight 0"),
        ([stream, stream], "twice"),
    ):
        with pytest.raises(UserError, match=message):
            Mixture(streams)


def test_classes():
    assert clip_class(clip("walk-turn-left")) == "walk_turn_left"
    assert clip_class(clip("", ("a person dances salsa.",))) == "salsa_dance"
    assert clip_class(clip("", ("a person twists the upper body.",))) == "twist"
    assert clip_class(clip("")) == "lab"


def test_pad():
    out, mask = pad([np.array([1, 2, 3]), np.array([4])], 0, multiple=4)
    assert out.tolist() == [[1, 2, 3, 0], [4, 0, 0, 0]] and mask.sum(1).tolist() == [3, 1]
    out, mask = pad([np.ones((2, 3), int), np.ones((1, 3), int)], -1)
    assert out.shape == (2, 2, 3) and out[1, 1].tolist() == [-1] * 3
    with pytest.raises(UserError, match="empty"):
        pad([], 0)
