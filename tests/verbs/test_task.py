"""Any task of the registry by its name, also one of a model's own."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from avatargpt import AvatarGPT
from instruct_data import registry
from tests.clips import gliding
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def model() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


def test_answers_in_words_and_in_motion(model: AvatarGPT, tmp_path) -> None:
    (clip,) = model.run_task("text_to_motion", {"caption": "a person walks forward"}, seconds=2)
    assert len(clip) == 40 and clip.caption == "a person walks forward"
    (longer,) = model.run_task("text_to_motion", {"caption": "a person walks forward", "seconds": 3})
    assert len(longer) == 60
    clip.save(tmp_path / "clip.npz")
    sentences = model.run_task("motion_to_text", {"motion": clip}, num=2)
    assert len(sentences) == 2 and all(sentences)
    assert model.run_task("motion_to_text", {"motion": str(tmp_path / "clip.npz")}, num=2) == sentences
    (face,) = model.run_task("text_to_face", {"caption": "smile"}, seconds=2)
    assert face.modality == "face" and abs(face.seconds - 2) < 0.11


@pytest.mark.parametrize(
    ("task", "slots", "more", "message"),
    [
        ("text_to_motio", {}, {}, "did you mean 'text_to_motion'"),
        ("text_to_motion", {"motion": "x"}, {}, "no slot motion; accepted: caption"),
        ("text_to_motion", {}, {}, "slot caption is needed"),
        ("text_to_motion", {"caption": "walk", "seconds": "x"}, {}, "seconds: 'x'; accepted"),
        ("text_to_motion", {"caption": "walk"}, {"seconds": 60}, "seconds: 60.0; accepted 0.2 to 14.4"),
        ("motion_to_text", {"motion": gliding(20)}, {"seconds": 2}, "answers in words"),
        ("motion_to_text", {"motion": "no.npz"}, {}, "no.npz"),
        ("face_to_text", {"motion": gliding(20)}, {}, "motion: a body; accepted a face"),
        ("text_to_gesture", {"caption": "hello"}, {}, "needs tokens of gesture; this model has body, face"),
    ],
)
def test_mistakes_name_what_is_accepted(
    model: AvatarGPT, task: str, slots: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        model.run_task(task, slots, **more)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_models_own_tasks_come_with_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatargpt.train.data.corpus import add_own_tasks, user_pairs

    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    monkeypatch.setattr(registry, "_folders", list(registry._folders))
    task = {
        "name": "count_claps", "version": 1, "description": "how often hands meet", "output": "text",
        "inputs": [{"name": "clip", "kind": "motion", "modality": "body"}, {"name": "word", "kind": "text"}],
        "templates": [f"Count, way {i}." for i in range(20)], "decoding": {},
    }  # fmt: skip
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "count_claps.yaml").write_text(yaml.safe_dump(task))
    args = SimpleNamespace(tasks=None, start=str(tmp_path))
    assert add_own_tasks(args) == [tmp_path / "tasks"] and "count_claps" in registry.list_tasks()
    (tmp_path / "pairs").mkdir()
    row = {"slots": {"clip": "bandai_1", "word": "clap"}, "answer": "three"}
    (tmp_path / "pairs" / "count_claps.jsonl").write_text(json.dumps(row) + "\n")
    assert user_pairs(tmp_path / "pairs") == {"count_claps": [(row["slots"], "three")]}
    (tmp_path / "pairs" / "count_claps.jsonl").write_text(json.dumps({**row, "slots": {"word": "clap"}}) + "\n")
    with pytest.raises(UserError, match="slot clip is needed"):
        user_pairs(tmp_path / "pairs")
