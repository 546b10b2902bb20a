"""The ablation of how codes enter: equal terms, and figures that say what they claim to."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.evaluation.body import code_ablation
from avatargpt.evaluation.body.code_ablation import Material, joint_error, loss, measured
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import CODE_EMBEDDINGS
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.examples import LONGEST, Examples
from avatargpt.train.language import LanguageRecipe
from avatargpt.train.language_run import validation
from instruct_data.store import ClipCodes
from tests.test_pipeline import CODES, LEVELS, LINES, WIDTH, make_tokenizer

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("text_to_motion", "motion_to_text", "continuation", "in_between")


@pytest.fixture(scope="module")
def material() -> Material:
    tokenizer, rng = make_tokenizer(0), np.random.default_rng(0)
    clips = [
        ClipCodes(f"c{i}", rng.integers(CODES, size=(n, LEVELS)), [LINES[i]], "val", "bandai1", "ours", "walk")
        for i, n in enumerate((6, 9, 14, LONGEST + 8))
    ]
    real = [tokenizer.decode(c.codes[:LONGEST]).joints for c in clips]
    return Material(clips, real, tokenizer)


@pytest.fixture(scope="module")
def loaded(material: Material) -> LoadedModel:
    text = TextTokenizer.train(LINES * 5, 300)
    torch.manual_seed(1)
    model = AvatarGPTModel(AvatarGPTConfig(
        vocab_size=text.size, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4, refiner_dim=16, refiner_layers=1,
        refiner_heads=2, code_embedding="learnt",
        modalities={"body": {"codebook_size": CODES, "levels": LEVELS, "code_dim": WIDTH}},
    ))  # fmt: skip
    model.set_codebooks("body", material.tokenizer.codebooks, material.tokenizer.fingerprint)
    return LoadedModel(model.eval(), text, {"body": material.tokenizer})


def test_trainings_differ_in_the_way_in_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "eval")
    study: ModuleType = importlib.import_module("code_study")
    made = study.CodeStudy.__new__(study.CodeStudy)
    configs = {n: resolve(made.address(n)) for n in study.GROUPS["codes"]}
    for name, config in configs.items():
        LanguageRecipe.read(config, name)
    assert [c["model"].pop("code_embedding", "adapter") for c in configs.values()] == [*CODE_EMBEDDINGS]
    assert configs["base"] == configs["learnt"] == configs["learnt_level_0"]
    assert list(made.queue(2)) == [(name, seed) for seed in (0, 1) for name in configs]


def test_every_figure_is_there_and_repeats(loaded: LoadedModel, material: Material) -> None:
    found = measured(loaded, material)
    fids = {"kinematic_fid", "kinematic_fid/median"}
    assert set(found) == {f"loss/{t}" for t in TASKS} | fids | {f"joint_error/{t}" for t in TASKS[2:]}
    assert all(np.isfinite(v) and v > 0 for v in found.values())
    assert abs(found["loss/text_to_motion"] - np.log(CODES + 1)) < 1.0
    assert measured(loaded, material) == found


@torch.no_grad()
def test_the_loss_is_that_of_training(loaded: LoadedModel, material: Material) -> None:
    held = Examples([], [], {}, loaded.text, loaded.model.config, code_ablation.ASKED)
    rows = validation(held, material.clips, code_ablation.ASKED)["continuation"]
    total = count = 0.0
    for row in rows:  # one by one, with nothing padded
        ids = torch.tensor(row.prompt.ids)[None]
        residual = torch.as_tensor(np.asarray(row.prompt.residual))[None]
        labels, length = torch.from_numpy(row.labels)[None], torch.tensor([row.length])
        out = loaded.model(ids, residual_codes=residual, labels=labels, head="body", length=length)
        total, count = total + float(out.token_loss.sum()), count + labels.numel()
    assert loss(loaded, rows) == pytest.approx(total / count, rel=1e-4)


def test_true_answers_are_no_error_and_wrong_ones_are(
    loaded: LoadedModel, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    def true(_: object, prompts: object, lengths: list[int], seed: int) -> list[np.ndarray]:
        between = len(lengths) and sum(lengths) < sum(len(c) - min(len(c) // 3, 16) for c in material.level0)
        firsts = [min(len(c) // 3, 16) for c in material.level0]
        ends = [len(c) - (f if between else 0) for c, f in zip(material.level0, firsts, strict=True)]
        return [c[f:e] for c, f, e in zip(material.level0, firsts, ends, strict=True)]

    monkeypatch.setattr(code_ablation, "answers", true)
    assert joint_error(loaded, material, "continuation") == joint_error(loaded, material, "in_between") == 0.0
    monkeypatch.setattr(code_ablation, "answers", lambda *a: [np.zeros_like(c) for c in true(*a)])
    assert min(joint_error(loaded, material, t) for t in TASKS[2:]) > 0.01


def test_recordings_are_no_distance_from_themselves(material: Material) -> None:
    assert material.against_real(material.real)["kinematic_fid"] == pytest.approx(0, abs=1e-6)
    left = material.limits()["level 0 of the recordings"]["kinematic_fid"]
    assert left == material.against_real(material.joints(material.level0))["kinematic_fid"] > 0
    alike = replace(material, real=material.joints(material.level0))
    assert alike.limits()["level 0 of the recordings"]["kinematic_fid"] == pytest.approx(0, abs=1e-6)
