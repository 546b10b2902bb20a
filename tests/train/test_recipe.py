"""The whole chain: its steps, its smallest form, its costs, derived clips of the prepare stage."""

import json
from collections import Counter
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
from avatargpt.resources import configs
from avatargpt.train import estimate
from avatargpt.train.command import STAGES, main
from avatargpt.train.data import prepare as stage
from avatargpt.train.data.prepare import Preparation, prepare, read_corpora, read_packs
from avatargpt.train.language import LanguageRecipe
from avatargpt.train.recipe import DONE, read_recipe, steps
from instruct_data.sources.quantised import read_quantised
from instruct_data.store import Store
from instruct_data.text import everyday
from instruct_data.text.captions import CaptionBank
from instruct_data.text.rewrites import Rewrites
from tests.train.conftest import CONFIGS, Mini, Refused
from vqvae.errors import UserError


def test_every_step_is_a_stage_with_its_options_and_a_configuration_that_resolves(tmp_path: Path) -> None:
    recipe = read_recipe()
    used = set()
    for debug in (False, True):
        for step in steps(recipe, tmp_path, Path("data"), debug):
            if step.stage == "generate":
                continue
            accepted = {*STAGES[step.stage].options, "config", "set", "threads", "device"}
            present = {w[2:] for w in step.argv if w.startswith("--")}
            needed = {k for k, o in STAGES[step.stage].options.items() if o.needed}
            assert needed <= present <= accepted, step
            if "--config" in step.argv:
                address = step.argv[step.argv.index("--config") + 1]
                assert isinstance(resolve(address), dict)
                used.add(Path(address.partition(".yaml")[0]).resolve())
    no_steps = {"portrait", "recipe", "fgd", "unified", "debug"}
    files = {p.with_suffix("") for p in configs().resolve().rglob("*.yaml") if p.stem not in no_steps}
    assert files - used == set()


def test_the_chain_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "--print", "--data", "DATA", "-o", "runs"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]
    assert len(lines) == len(read_recipe().steps)
    assert lines[-1].startswith("python scripts/train.py pack --language runs/refined4")
    assert "--corpus DATA/body" in lines[0]


def test_mistakes_are_one_line(tmp_path: Path, refused: Refused) -> None:
    tokenizer, places = configs() / "tokenizer" / "1_body.yaml", ("--store", "x", "-o", "y")
    assert "--data FOLDER is needed" in refused("recipe", "-o", tmp_path)
    assert "no step 'stor'" in refused("recipe", "--debug", "-o", tmp_path, "--only", "stor")
    assert "did you mean 'debug'?" in refused("tokenizer", "--config", f"{tokenizer}:debg", *places)
    line = refused("tokenizer", "--config", f"{tokenizer}:debug", *places, "--set", "train.stepz=3")
    assert "did you mean 'steps'?" in line


def test_a_configuration_is_printed_with_its_defaults_and_overrides(capsys: pytest.CaptureFixture[str]) -> None:
    config = str(configs() / "tokenizer" / "2_decoder.yaml") + ":even"
    assert main(["tokenizer", "--config", config, "--set", "train.lr=1e-3", "--store", "-", "--print-config"]) == 0
    out = capsys.readouterr().out
    assert "lr: 0.001" in out and "decoder_only: true" in out and "level_dropout:" in out


@pytest.mark.slow
def test_from_nothing_to_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest form; requests of three actions instead of all, since encoding them takes most of the time."""
    every = everyday.Everyday.classes
    few = ("wave", "bow", "squat")
    monkeypatch.setattr(everyday.Everyday, "classes", lambda self: [c for c in every(self) if c in few])
    argv = ["recipe", "--debug", "-o", str(tmp_path), "--threads", "1", "--device", "cpu"]
    assert main(argv) == 0
    clip = export.load(tmp_path / "clip.glb")
    assert len(clip) == 40 and (tmp_path / "model" / DONE).is_file()
    before = (tmp_path / "model" / "config.json").stat().st_mtime_ns
    assert main([*argv, "--only", "store,model"]) == 0  # done: nothing is made again
    assert (tmp_path / "model" / "config.json").stat().st_mtime_ns == before
    assert main([*argv[:-1], "cpu", "--only", "store", "--threads", "2"]) == 2  # another command


UNIFIED = str(CONFIGS / "language" / "unified.yaml")
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
    assert run(["info", "--plan", UNIFIED, "--base", "t5-small", "--gpus", "8", "--gpu", "h100", "--json"]) == 0
    eight = json.loads(capsys.readouterr().out)
    one = estimate.estimate(UNIFIED, "t5-small", 1, "h100")
    assert eight["rows"] == 16 and one["hours"] == pytest.approx(8 * eight["hours"])
    totals = [sum(m[k] for k in ("weights", "gradients", "optimizer")) for m in eight["memory"]]
    assert totals[1] > totals[2] > totals[3] and totals[3] < totals[0]
    assert one["parameters"] / 1e6 == pytest.approx(81.9, 0.01)
    for words, message in (
        ("--plan nowhere.yaml", "nowhere.yaml"), (f"--plan {UNIFIED} --base t6", "accepted: t5-small"),
        (f"--plan {UNIFIED} --gpu abacus", "accepted: t4"), ("--gpus 2", "goes with --plan"),
        (f"--plan {UNIFIED} --gpus 7", "what divides the batch"),
    ):  # fmt: skip
        assert run(["info", *words.split()]) == 2 and message in capsys.readouterr().err


def test_options_out_of_range() -> None:
    for key, value in (("layered", -1), ("four", 1.5), ("keyframed_share", -0.1)):
        with pytest.raises(UserError, match=f"{key}: {value}"):
            Preparation.read({key: value}, "prepare")
    with pytest.raises(UserError, match="three 0.7 and four 0.6"):
        Preparation.read({"three": 0.7, "four": 0.6}, "prepare")


def test_every_kind_is_made_and_made_again(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {n: f for n, f in stage.families().items() if n in ("sit_down", "stand_up", "clap", "nod")}
    monkeypatch.setattr(stage, "families", lambda: few)
    texts = shared / "data/text"
    bank = CaptionBank(texts / "body_captions.json")
    rewrites = Rewrites(texts / "rewrites_train.jsonl", bank)
    clips = [c for c in read_quantised(shared / "data/body") if c.split in ("train", "val")][::25]
    options = Preparation(keyframed=3, keyframed_val=2, layered=4, styled=4, looped=4, composed=10, four=0.1, seed=5)

    first, again = (list(prepare(clips, bank, rewrites, options)) for _ in range(2))
    train = sum(c.split == "train" for c in clips)
    counts = Counter((c.source, c.split) for c in first)
    assert counts["synthetic", "train"] == 3 * len(few) and counts["synthetic", "val"] == 2 * len(few)
    assert [counts[s, "train"] for s in ("layered", "styled", "looped", "composed")] == [4, 4, 4, 10]
    assert len(first) == len(clips) + train + 5 * len(few) + 22
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
    for a, b in zip(first, again, strict=True):
        assert (a.id, a.captions, a.extra) == (b.id, b.captions, b.extra)
        np.testing.assert_array_equal(a.load().rotations, b.load().rotations)


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
