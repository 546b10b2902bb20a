"""The walks of CONTRIBUTING: a task, an action, a modality, a format, a predicate."""

import runpy
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from avatargpt import evaluation, export, resources
from avatargpt.__main__ import main
from avatargpt.config import resolve
from avatargpt.evaluation import corpus, describe
from avatargpt.evaluation import judges as suite_of_families
from avatargpt.evaluation.suites import Suite
from avatargpt.export import formats
from avatargpt.lm.checkpoint import load_model
from avatargpt.metrics import checks as tables
from avatargpt.metrics.geometry import predicates, rows
from avatargpt.train import tokenizer as tokenizer_stage
from avatargpt.video import poses
from instruct_data import registry
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import actions, families
from instruct_data.factory.text import everyday
from instruct_data.store import Store
from tests.train.conftest import Mini, movement
from tests.walks.conftest import ROOT, Section, Walk
from vqvae import modalities
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

TASK_STEPS = Section("Add a task")


def test_a_task(walk: Walk, small: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    tasks = tmp_path / "tasks"
    shutil.copytree(registry.TASKS, tasks)
    shutil.copy(ROOT / "docs" / "examples" / "tasks" / "count_steps.yaml", tasks)
    monkeypatch.setattr(registry, "TASKS", tasks)
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_folders", [])
    assert "count_steps" in registry.list_tasks()

    names: dict[str, registry.Prompt] = {}
    exec(TASK_STEPS.of("python")[0], names)
    assert names["prompt"].head == "text" and "three steps forward" in capsys.readouterr().out

    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "count_steps.jsonl").write_text(TASK_STEPS.of("json")[0])
    config = resolve(f"{ROOT / 'configs' / 'language' / 'body.yaml'}:debug")
    config["train"] |= yaml.safe_load(TASK_STEPS.file("configs/language/count_steps.yaml"))
    config["model"] = {**(config.get("model") or {}), "grounding_dim": 0}
    path = tmp_path / "count_steps.yaml"
    path.write_text(yaml.safe_dump(config))
    words = TASK_STEPS.command("scripts/train.py", TEXTS=small.texts, DIR=pairs, OUT=tmp_path / "out")
    walk.train([str(path) if w == "configs/language/count_steps.yaml" else w for w in words])
    assert len(small.rows(tmp_path / "out", "ce_text")) == 2


ACTION_STEPS = Section("Add a keyframed action")
OTHERS = ("drink", "clap", "squat")


@pytest.fixture
def ring_bell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example beside the packaged families."""
    module = sys.modules[families.__module__]
    shutil.copytree(module.ACTIONS, tmp_path / "actions")
    shutil.copy(ROOT / "docs" / "examples" / "ring_bell.yaml", tmp_path / "actions")
    caches = (actions, families, describe.templates)
    monkeypatch.setattr(module, "ACTIONS", tmp_path / "actions")
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def with_row(folder: Path, name: str, key: str) -> Suite:
    """A packaged suite and the page's row in it."""
    data = yaml.safe_load((resources.suites() / f"{name}.yaml").read_text(encoding="utf-8"))
    data[key] += yaml.safe_load(ACTION_STEPS.file(f"eval/suites/{name}.yaml"))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    return evaluation.read(folder / f"{name}.yaml")


def test_an_action_passes_the_suite(ring_bell: None, tmp_path: Path) -> None:
    assert "ring_bell" in corpus.action_names()
    suite = with_row(tmp_path, "families", "classes")
    clips = list(corpus.make_keyframed_clips(int(suite.options["per_family"]), only=["ring_bell", *OTHERS]))
    results = suite_of_families.score_families(suite, clips)["results"]
    assert results["own/ring_bell"]["mean"] >= suite.targets["own"]
    assert results["others/ring_bell"]["mean"] < 0.25  # some clap over their heads
    table = tables.read_families(suite.classes, suite.name)
    mine = [c for c in clips if c.action == "ring_bell"]
    assert all("ring_bell" in describe.families_named(table, t) for c in mine for t in c.captions)

    prompts = with_row(tmp_path, "prompts_everyday", "prompts")
    prompt = prompts.entries[-1].prompt
    assert table["ring_bell"].words.search(prompt)
    assert not describe.templates()["ring_bell"].fullmatch(prompt)


def test_its_requests_are_read() -> None:
    rows = ACTION_STEPS.file("instruct_data/factory/text/everyday.yaml").split("\n", 1)[1]
    text = everyday.REQUESTS.read_text(encoding="utf-8").replace("\nactions:\n", f"\nactions:\n  {rows}", 1)
    assert len(everyday.Everyday.read(yaml.safe_load(text), "everyday.yaml").requests("ring_bell")) == 4


def test_it_is_looked_at(ring_bell: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    words = ACTION_STEPS.command("scripts/preview_synth.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["preview_synth.py", *words])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "scripts" / "preview_synth.py"), run_name="__main__")
    assert not end.value.code and (tmp_path / "sheet.png").is_file() and "ring_bell" in capsys.readouterr().out


MODALITY_STEPS = Section("Add a modality", "docs/modality.md")


@pytest.fixture
def grip(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modality of the page in the registries for one test, and its class of motions."""
    monkeypatch.setattr(modalities, "_REGISTRY", dict(modalities._REGISTRY))
    monkeypatch.setattr(tokenizer_stage, "OBJECTIVES", dict(tokenizer_stage.OBJECTIVES))
    motions = walk.module(MODALITY_STEPS, "vqvae/grip.py")
    walk.module(MODALITY_STEPS, "vqvae/grip_features.py")
    walk.append(MODALITY_STEPS, "vqvae/modalities.py")
    walk.append(MODALITY_STEPS, "avatargpt/train/tokenizer.py")
    return motions.Grip


def clips(motions: Any) -> list[Clip]:
    """Hands that close and open, at several speeds."""
    out = []
    for i in range(12):
        t = np.arange(30 + i)[:, None] / 10
        bends = 0.5 + 0.5 * np.sin((1 + i % 3) * t + np.arange(5) * (i % 2)).astype(np.float32)
        words = ["the hand closes and opens", f"a fist in way {i % 3}"] if i else []
        split = "val" if i > 9 else "train"
        out.append(Clip(f"g{i}", lambda bends=bends: motions(bends), words, "glove", "ours", split))
    return out


def test_its_store_names_it(grip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.write(clips(grip), tmp_path / "s")
    store = Store.open(tmp_path / "s")
    assert (store.kind, store.modality, store.manifest["modality"]) == ("features", "grip", "grip")
    for clip, back in zip(clips(grip), store.clips(), strict=True):
        assert (clip.id, clip.captions, clip.split) == (back.id, back.captions, back.split)
        assert isinstance(back.load(), grip) and np.array_equal(clip.load().bends, back.load().bends)
    Store.write(clips(grip)[:3], tmp_path / "s")  # another one of the kind takes its place
    bad = Clip("b", lambda: grip(np.full((4, 5), np.nan, np.float32)), [], "glove", "ours")
    for clip, words in ((bad, "clip b: features"), (replace(bad, motion=lambda: grip(np.zeros((4, 3)))), r"\(4, 3\)")):
        with pytest.raises(UserError, match=words):
            Store.write([clip], tmp_path / "t")
    monkeypatch.setattr(type(modalities.get("grip").features()), "dim", 6)
    with pytest.raises(UserError, match="clip g0: 5 features; modality grip has 6"):
        list(Store.open(tmp_path / "s").clips())
    modalities._REGISTRY.pop("grip")
    for use in (lambda: list(store.clips()), lambda: Store.write(clips(grip), tmp_path / "t")):
        with pytest.raises(UserError, match="unknown modality 'grip'; available: body, face"):
            use()


def test_one_store_holds_one_modality(grip: Any, tmp_path: Path) -> None:
    bodies = [Clip("b", Motion(*movement("walk", 30, 1.0)), ["a person walks"], "made", "ours")]
    with pytest.raises(UserError, match="grip in a store of body"):
        Store.write([*bodies, *clips(grip)], tmp_path / "s")
    Store.write(bodies, tmp_path / "s")
    assert Store.open(tmp_path / "s").modality == "body"
    with pytest.raises(UserError, match="a store of motion, not of grip"):
        Store.write(clips(grip), tmp_path / "s")


def test_its_tokens_are_trained_and_spoken(
    walk: Walk, grip: Any, small: Mini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.write(clips(grip), tmp_path / "store")
    config = tmp_path / "grip.yaml"
    config.write_text(MODALITY_STEPS.file("configs/tokenizer/grip.yaml"))
    places = {"STORE": tmp_path / "store", "TOKENIZER": tmp_path / "tok", "CODES": tmp_path / "codes"}
    words = MODALITY_STEPS.command("scripts/train.py tokenizer", **places)
    walk.train(["tokenizer", *(str(config) if w.startswith("configs/") else w for w in words)])
    loss = small.rows(tmp_path / "tok", "features")
    assert loss[-1] < 0.9 * loss[0] and small.rows(tmp_path / "tok", "val_error")
    clip = clips(grip)[0].load()
    again = MotionTokenizer.load(tmp_path / "tok").reconstruct(clip)
    assert len(again) == len(clip) and np.abs(again.bends - clip.bends).mean() < 0.3
    walk.train(["codes", *MODALITY_STEPS.command("scripts/train.py codes", **places)])
    assert {c.modality for c in Store.open(tmp_path / "codes").codes()} == {"grip"}

    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_folders", [])
    task = {
        "name": "text_to_grip", "version": 1, "description": "words to fingers", "output": "grip",
        "inputs": [{"name": "said", "kind": "text"}], "examples": "text_to_motion",
        "templates": [f"Bend the fingers, way {i}." for i in range(20)], "decoding": {},
    }  # fmt: skip
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "text_to_grip.yaml").write_text(yaml.safe_dump(task))
    registry.add_folder(tmp_path / "tasks")

    change = {"model.modalities": {"grip": {"codebook_size": 32, "levels": 2, "code_dim": 16}}}
    weights = {"weights": {"text_to_grip": 1.0}}
    config = small.config("language", change, steps=2, log_every=1, options=weights)
    options = ["--tokenizer", str(tmp_path / "tok"), "--codes", str(tmp_path / "codes"), "--texts", str(small.texts)]
    walk.train(["language", "--config", str(config), *options, "-o", str(tmp_path / "lm")])
    assert load_model(tmp_path / "lm").config.heads == ("text", "grip") and small.rows(tmp_path / "lm", "ce_grip")


EXPORT_STEPS = Section("Add an export or import")


def test_a_format(walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRITERS", "READERS"):
        monkeypatch.setattr(formats, name, dict(getattr(formats, name)))
    walk.module(EXPORT_STEPS, "avatargpt/export/xyz.py")
    walk.append(EXPORT_STEPS, "avatargpt/export/formats.py")

    motion = Motion(*movement("walk", 30, 1.0), 25.0)
    clip, text, back = (tmp_path / n for n in ("clip.npz", "clip.xyz", "back.npz"))
    motion.save(clip)
    lines = [line for code in EXPORT_STEPS.of("bash") for line in code.splitlines()]
    for line in lines:
        places = {"CLIP.npz": clip, "CLIP.xyz": text, "BACK.npz": back}
        assert main([str(places.get(w, w)) for w in line.split()[1:]]) == 0
    assert len(lines) == 2 and len(text.read_text().splitlines()) == 31
    read = Motion.load(back)
    assert read.fps == 25 and np.allclose(read.root, motion.root) and np.allclose(read.rotations, motion.rotations)

    export.save(motion, text, scale=100)
    assert np.allclose(export.load(text, scale=100).root, motion.root, atol=1e-6)
    assert ".xyz" in export.writable("body") and ".xyz" not in export.writable("face")
    text.write_text("# 25\n1 2 3\n")
    with pytest.raises(UserError, match=r"clip\.xyz: not a \.xyz file"):
        export.load(text)


def test_a_pose_estimator(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poses, "ESTIMATORS", dict(poses.ESTIMATORS))
    steps = Section("Add a pose estimator")
    walk.module(steps, "avatargpt/video/still.py")
    walk.append(steps, "avatargpt/video/poses.py")
    (pose,) = poses.estimator("still").people(np.zeros((48, 64, 3), np.uint8), 0.0)
    assert pose.points[0].tolist() == [32, 24] and pose.world.shape == (33, 3)


def test_a_predicate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicates, "PREDICATES", dict(predicates.PREDICATES))
    page = Section("Add a predicate, a prompt or a suite")
    monkeypatch.setattr(rows, "PREDICATES", predicates.PREDICATES)
    rows.add_rows(yaml.safe_load(page.file("avatargpt/metrics/geometry/predicates.yaml")))
    turns = rot.identity((40, 22))
    turns[:, 16] = rot.from_axis_angle(np.array([0, 0, -1.4]))  # the left arm hangs
    arms = [turns.copy(), turns.copy()]
    for right, angle in zip(arms, (-1.0, 1.4), strict=True):
        right[:, 17] = rot.from_axis_angle(np.array([0, 0, angle]))
    raised, hanging = (Motion(right, np.tile([0, 0.96, 0], (40, 1))) for right in arms)
    for side, passed in (("right", True), ("any", True), ("left", False), ("both", False)):
        check = {"keeps_hand_up": {"side": side}}
        predicates.validate(check)
        assert predicates.judge(check, raised).passed == passed and not predicates.judge(check, hanging).passed
    with pytest.raises(UserError, match="side 'upper'; accepted left, right, both, any"):
        predicates.validate({"keeps_hand_up": {"side": "upper"}})
