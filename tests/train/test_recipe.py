"""The whole chain: its steps, its smallest form, its costs, derived clips of the prepare stage."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt import export
from avatargpt.cli.app import run
from avatargpt.config import resolve
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import NetworkShape
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.resources import configs
from avatargpt.train import estimate
from avatargpt.train.command import STAGES, main, resolve_place
from avatargpt.train.data import prepare as stage
from avatargpt.train.data.prepare import Preparation, prepare, read_corpora, read_packs
from avatargpt.train.language import LanguageRecipe
from avatargpt.train.recipe import DONE, Recipe, order_steps, read_recipe, steps
from instruct_data.factory.cleaning import CleaningReport
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.factory.text.rewrites import Rewrites
from instruct_data.sources.quantised import read_quantised
from instruct_data.store import Store
from tests.instruct_data import corpus_trees as trees
from tests.train.conftest import CONFIGS, CPU, Mini, Refused, corpus
from vqvae.errors import UserError

VARIANTS = (None, "selftrained", "debug")


def test_every_step_is_a_stage_with_its_options_and_a_configuration_that_resolves(tmp_path: Path) -> None:
    used = set()
    for variant in VARIANTS:
        recipe = read_recipe(variant)
        for step in steps(recipe, list(recipe.steps), tmp_path, Path("data")):
            if step.stage == "generate":
                continue
            accepted = {*STAGES[step.stage].options, "config", "set", "threads", "device"}
            present = {w[2:] for w in step.argv if w.startswith("--")}
            needed = {k for k, o in STAGES[step.stage].options.items() if o.needed}
            assert needed <= present <= accepted, step
            if "--config" in step.argv:
                address = step.argv[step.argv.index("--config") + 1]
                STAGES_OF[step.stage](resolve(address), address)
                used.add(Path(address.partition(".yaml")[0]).resolve())
    no_steps = {"default", "portrait", "recipe", "one"}
    files = {p.with_suffix("") for p in configs().resolve().rglob("*.yaml") if p.stem not in no_steps}
    assert files - used == set()


STAGES_OF = {name: resolve_place(entry.recipe).read for name, entry in STAGES.items() if entry.recipe}


def test_the_smallest_form_hands_over_all_that_the_real_one_does(tmp_path: Path) -> None:
    """Every step of the body, with the same options of earlier steps; of the corpora, those that it makes."""
    chains = [
        {s.name: s for s in steps(read_recipe(variant), [target], tmp_path, Path("data"))}
        for variant, target in (("selftrained", "body"), ("debug", "clip"))
    ]
    real, small = chains
    assert len(real) <= 16 and set(small) - set(real) == {"corpus", "clip"} and set(real) <= set(small)
    for name, step in real.items():
        flags = [{w for w in s.argv if w.startswith("--")} for s in (step, small[name])]
        assert flags[0] - flags[1] <= {"--cc0-actions", "--smartbody"} and flags[1] - flags[0] <= {"--count"}, name
    weights = [resolve(CONFIGS / "language" / f"body.yaml{v}")["train"]["options"]["weights"] for v in ("", ":debug")]
    assert weights[0] == weights[1]


def printed(capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    assert main(["recipe", "--print", "--data", "DATA", "-o", "runs", *more]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]


def test_the_chain_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys)
    assert len(lines) == 11 and lines[-1].startswith("python scripts/train.py pack --language runs/language --token")
    assert "--corpus DATA/body" in lines[0] and "--texts package:text" in lines[0]
    assert [line for line in printed(capsys, "--to", "model") if line in lines] == lines[:-1]
    lines = printed(capsys, "--variant", "selftrained")
    assert len(lines) == 16 and "--language runs/language_selftrained" in lines[-1]
    assert any("self-training" in line and "--start runs/packed" in line for line in lines)
    assert sum(" --start " in line for line in lines) == 3  # turns, the model that answers, and goes on
    lines = printed(capsys, "--to", "voiced")
    assert [line.split()[2] for line in lines] == ["speech", "expressions", "driver", "driver"]


def test_what_the_data_lack_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cc0_actions").mkdir()
    first, *_ = steps(read_recipe(), ["store"], tmp_path, tmp_path, present=True)
    assert "--cc0-actions" in first.argv and "--smartbody" not in first.argv and "without --smartbody" in first.note
    assert "--corpus" in first.argv  # needed, and so refused by the stage


def test_mistakes_are_one_line(tmp_path: Path, refused: Refused) -> None:
    tokenizer, places = configs() / "tokenizer" / "body.yaml", ("--store", "x", "-o", "y")
    assert "--data FOLDER is needed" in refused("recipe", "-o", tmp_path)
    assert "no step 'stor'" in refused("recipe", "--debug", "-o", tmp_path, "--only", "stor")
    assert "--to: no step 'bod'" in refused("recipe", "--print", "--to", "bod")
    assert "did you mean 'debug'?" in refused("recipe", "--print", "--variant", "debg")
    assert "no corpus in it" in refused("recipe", "--data", tmp_path, "-o", tmp_path / "runs")
    assert "did you mean 'debug'?" in refused("tokenizer", "--config", f"{tokenizer}:debg", *places)
    line = refused("tokenizer", "--config", f"{tokenizer}:debug", *places, "--set", "train.stepz=3")
    assert "did you mean 'steps'?" in line
    with pytest.raises(UserError, match="a needs itself"):
        order_steps(Recipe(corpora={}, steps={"a": {"stage": "codes", "store": "$b"}, "b": {"store": "$a"}}), ["a"])


def test_a_configuration_is_printed_with_its_defaults_and_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(configs() / "tokenizer" / "body.yaml") + ":debug"
    assert main(["tokenizer", "--config", config, "--set", "train.lr=1e-3", "--store", "-", "--print-config"]) == 0
    out = capsys.readouterr().out
    assert "lr: 0.001" in out and "batch: 16" in out and "level_dropout:" in out and "jerk: 20.0" in out


@pytest.mark.slow
def test_from_nothing_to_a_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["recipe", "--debug", "-o", str(tmp_path), "--threads", "1", "--device", "cpu"]
    assert main(argv) == 0
    clip = export.load(tmp_path / "clip.glb")
    assert len(clip) == 40 and (tmp_path / "body" / DONE).is_file()
    rows = list(Store.open(tmp_path / "codes").codes("train"))
    sources = {"sample", "synthetic", "layered", "styled", "looped", "composed"}
    assert {c.source for c in rows} == sources and any(c.extra.get("clauses") for c in rows)
    log = [json.loads(line) for line in (tmp_path / "language" / "log.jsonl").read_text().splitlines()]
    assert {"ce_body", "ce_text", "refiner", "contrast", "val_continuation"} <= set().union(*log)
    before = (tmp_path / "body" / "config.json").stat().st_mtime_ns
    assert main([*argv, "--only", "store,body"]) == 0  # done: nothing is made again
    assert (tmp_path / "body" / "config.json").stat().st_mtime_ns == before
    assert main([*argv[:-1], "cpu", "--only", "store", "--threads", "2"]) == 2  # another command

    model, first = str(tmp_path / "body"), str(tmp_path / "clip.glb")
    index = PhraseIndex.load(model)
    assert index is not None and index.reads is not None and index.reader is not None and index.measured
    common = ["--model", model, "--device", "cpu", "--quiet"]
    assert run(["describe", first, *common]) == 0 and capsys.readouterr().out.strip()
    onward = str(tmp_path / "onward.glb")
    assert run(["extend", first, "--text", "a person bows", *common, "--seconds", "2", "-o", onward]) == 0
    assert len(export.load(onward)) == 80


ONE = f"{CONFIGS / 'language' / 'one.yaml'}:pretrained"
SMALL: dict[str, Any] = {
    "vocab_size": 64, "d_model": 48, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 2,
    "countdown_buckets": 0, "modalities": {"body": {"codebook_size": 30, "levels": 3, "code_dim": 16}},
    "refiner_dim": 32, "refiner_layers": 1, "refiner_heads": 2, "feed_forward_proj": "gated-gelu",
}  # fmt: skip


def saved_bytes(layers: int) -> int:
    """What autograd saves of a step of two rows beside the weights."""
    model = AvatarGPTModel(AvatarGPTConfig(**{**SMALL, "num_layers": layers, "dropout_rate": 0.1})).train()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in weights:
            saved[place] = tensor.untyped_storage().nbytes()
        return tensor

    ids, labels = (torch.randint(2, 64, (2, n)) for n in (estimate.SOURCE, estimate.TARGET))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
    return sum(saved.values())


def test_parameters_and_activations_are_those_of_the_model() -> None:
    model = AvatarGPTModel(AvatarGPTConfig(**SMALL))
    refiners = sum(p.numel() for p in model.refiners.parameters())
    recipes = ({}, {"refiner_weight": 0.0}, {"refiner_only": True}, {"optimizer": "muon"})
    counts = [estimate.count_parameters(LanguageRecipe.read({"train": train}, "test"), NetworkShape.of(SMALL))
              for train in recipes]  # fmt: skip
    assert counts[0]["total"] == sum(p.numel() for p in model.parameters()) and counts[0]["muon"] == 0
    assert [c["trained"] for c in counts[:3]] == [counts[0]["total"], counts[0]["total"] - refiners, refiners]
    assert counts[3]["muon"] == counts[0]["matrices"] > 0
    lora = LanguageRecipe.read({"lora": {"r": 2}}, "test")
    assert estimate.count_parameters(lora, NetworkShape.of(SMALL))["lora"] > 0
    few, many = (NetworkShape.of({**SMALL, "num_layers": n}) for n in (2, 4))
    planned = [estimate.activation_bytes(shape, True, 2, False) for shape in (few, many)]
    copies = 2 * 2 * (4 * 48 * 32 + 3 * 48 * 96)  # of the matrices of two layers, in bfloat16
    assert saved_bytes(4) - saved_bytes(2) - copies == pytest.approx(planned[1] - planned[0], rel=0.006)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--plan", ONE, "--base", "t5-small", "--gpus", "8", "--gpu", "h100", "--json"]) == 0
    eight = json.loads(capsys.readouterr().out)
    one = estimate.estimate(ONE, "t5-small", 1, "h100")
    assert eight["rows"] == 16 and one["hours"] == pytest.approx(8 * eight["hours"])
    totals = [sum(m[k] for k in ("weights", "gradients", "optimizer")) for m in eight["memory"]]
    assert totals[1] > totals[2] > totals[3] and totals[3] < totals[0]
    assert one["parameters"] / 1e6 == pytest.approx(81.9, 0.01)
    for words, message in (
        ("--plan nowhere.yaml", "nowhere.yaml"), (f"--plan {ONE} --base t6", "accepted: t5-small"),
        (f"--plan {ONE} --gpu abacus", "accepted: t4"), ("--gpus 2", "goes with --plan"),
        (f"--plan {ONE} --gpus 7", "what divides the batch"),
    ):  # fmt: skip
        assert run(["info", *words.split()]) == 2 and message in capsys.readouterr().err


def test_options_out_of_range() -> None:
    for key, value in (("layered", -1), ("four", 1.5), ("keyframed_share", -0.1)):
        with pytest.raises(UserError, match=f"{key}: {value}"):
            Preparation.read({key: value}, "prepare")
    with pytest.raises(UserError, match="three 0.7 and four 0.6"):
        Preparation.read({"three": 0.7, "four": 0.6}, "prepare")


def test_every_kind_is_made_whatever_the_number_of_processes(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {n: f for n, f in stage.families().items() if n in ("sit_down", "stand_up", "clap", "nod")}
    monkeypatch.setattr(stage, "families", lambda: few)
    texts = shared / "data/text"
    bank = CaptionBank(texts / "body_captions.json")
    rewrites = Rewrites(texts / "rewrites_train.jsonl", bank)
    clips = [c for c in read_quantised(shared / "data/body") if c.split in ("train", "val")][::25]
    counts = {"layered": 4, "styled": 4, "looped": 4, "composed": 10, "resting": 3}
    options = Preparation(keyframed=3, keyframed_val=2, four=0.1, seed=5, **counts)

    reports = CleaningReport(), CleaningReport()
    first, again = (list(prepare(clips, bank, rewrites, options, r, n)) for r, n in zip(reports, (1, 3), strict=True))
    assert reports[0] == reports[1] and str(reports[0]) == str(reports[1])
    one, three = (Store.write(c, tmp_path / name) for c, name in ((first, "one"), (again, "three")))
    assert one.manifest == three.manifest  # with the SHA-256 of the rows
    assert reports[0].counts["dropped: feet slide"] > 0
    dropped = sum(n for reason, n in reports[0].counts.items() if reason.startswith("dropped"))
    train = sum(c.split == "train" for c in clips) - dropped
    sources = Counter((c.source, c.split) for c in first)
    assert sources["synthetic", "train"] == 3 * len(few) and sources["synthetic", "val"] == 2 * len(few)
    assert [sources[s, "train"] for s in ("layered", "styled", "looped", "composed")] == [4, 4, 4, 13]
    assert len(first) == len(clips) - dropped + train + 5 * len(few) + 25
    assert all("figures" in c.extra for c in first if c.source != "composed")
    assert {c.extra["quality"] for c in first if c.split == "train" and "quality" in c.extra} == {"good", "fair"}
    assert len({c.id for c in first}) == len(first)
    assert {c.licence for c in first if c.source == "synthetic"} == {"same as the project"}
    assert {c.licence for c in first if c.source in ("layered", "styled", "looped", "composed")} == {"as its sources"}
    val = {c.id for c in first if c.split == "val"}
    assert not any(val & set(c.extra.get("parts", [])) for c in first)
    for c in first:
        assert bool(c.extra.get("prompts")) == (c.split == "train"), c.id
        assert len(c.load()) <= 240 or c.source not in ("layered", "styled", "looped", "composed")
    with_keyframed = [c for c in first if c.source == "composed" and any("-" in p for p in c.extra["parts"])]
    assert 2 <= len(with_keyframed) <= 9


def test_packs_beside_the_corpus(tmp_path: Path) -> None:
    """Their captions and licences come along; the folder's name is the source."""
    from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, motion

    folder = tmp_path / "moves"
    folder.mkdir()
    GltfFile({"Walk": as_rig(motion(), CONVENTIONS["unreal"])}).save(folder / "all.glb")
    (folder / "captions.csv").write_text("animation,caption\nWalk,a person walks\n")
    clips = read_packs(None, None, str(folder))
    assert [(c.source, c.captions, c.licence) for c in clips] == [("moves", ["a person walks"], "not stated")]
    assert read_packs(None, None, None) == []


def test_corpora_are_folders_of_quantised_clips_or_stores(mini: Mini, shared: Path) -> None:
    ids = [c.id for folder in (mini.corpus, mini.store) for c in Store.open(folder).clips()]
    clips = list(read_corpora(f"{mini.corpus},{mini.store}"))
    assert [c.id for c in clips] == ids and {c.split for c in clips} == {"train", "val"}
    quantised = next(iter(read_corpora(f"{shared / 'data/body'},{mini.store}")))
    assert quantised.captions and quantised.id not in ids


def test_what_users_can_get_is_prepared_and_learnt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two corpora as their sites give them in one folder, and quantised clips; of which one holds a NaN, and another
    has a style that no text knows."""
    for name, tree in (("bandai-namco", trees.bandai_namco), ("cmu", trees.cmu)):
        tree(tmp_path / name)
        assert run(["data", "build", name, str(tmp_path / name), "-o", str(tmp_path / "body" / name), "--quiet"]) == 0
    motions = [trees.walking(60 + i, speed=0.8 + 0.05 * i) for i in range(8)]
    motions[4].root[3] = np.nan
    trees.quantised(tmp_path / "data", motions)
    lines = (tmp_path / "data" / "captions.jsonl").read_text().replace('"style": null', '"style": "arms_folded"', 6)
    (tmp_path / "data" / "captions.jsonl").write_text(lines)
    store, tokenizer, codes, out = (tmp_path / name for name in ("store", "tokenizer", "codes", "language"))
    counts = [f"--set=prepare.{k}" for k in ("composed=4", "looped=2", "styled=2")]
    corpus = f"{tmp_path / 'body'},{tmp_path / 'data'}"
    Mini.run("prepare", "--corpus", corpus, "--texts", "package:text", *counts, "-o", store)
    assert "dropped: cannot be read (for example m4: " in capsys.readouterr().out
    sources = Counter(c.source for c in Store.open(store).clips())
    assert {"bandai2", "cmu_amc", "cmu_bvh", "mine", "composed", "looped", "styled"} <= set(sources)
    assert "m4" not in {c.id for c in Store.open(store).clips()}
    config = CONFIGS / "tokenizer" / "body.yaml"
    Mini.run("tokenizer", "--config", f"{config}:debug", "--set=train.steps=2", "--store", store, "-o", tokenizer, *CPU)
    Mini.run("codes", "--tokenizer", tokenizer, "--store", store, "-o", codes, *CPU)
    weights = "--set=train.options={weights: {text_to_motion: 1.0}, everyday: 1.0}"
    changes = ("--set=train.steps=2", "--set=model.grounding_dim=0", "--set=train.options=null", weights)
    Mini.run(
        "language", "--config", f"{CONFIGS / 'language' / 'body.yaml'}:debug", *changes, "--texts", "package:text",
        "--tokenizer", tokenizer, "--codes", codes, "-o", out, *CPU,
    )  # fmt: skip
    assert capsys.readouterr().err.count("styles without everyday words: arms_folded") == 1


def test_a_corpus_without_a_split_has_one_in_twenty_for_validation(tmp_path: Path) -> None:
    rows = [replace(c, id=f"{c.id}-{k}", split="train") for c in corpus() for k in range(10)]
    Store.write(rows, tmp_path / "store")
    splits = Counter(c.split for c in read_corpora(str(tmp_path / "store")))
    assert 5 <= splits["val"] <= 30 and splits["train"] == len(rows) - splits["val"]
    with pytest.raises(UserError, match="no corpus in it"):
        list(read_corpora(str(tmp_path)[:-1]))
