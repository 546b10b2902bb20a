"""Text tasks from files, tasks over steps of joined clips, one model for every task, the optimizers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.lm.checkpoint import load_model
from avatargpt.train.data.corpus import clip_steps, user_pairs
from avatargpt.train.language import LanguageTraining
from avatargpt.train.optimizers import Muon, MuonAdamW, make_optimizer, orthogonalise
from instruct_data.registry import list_tasks
from instruct_data.store import ClipCodes, Store
from tests.train.conftest import CONFIGS, CPU, Mini, Refused, write_t5
from vqvae.errors import UserError
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer


def write_pairs(folder: Path, row: Any, task: str = "steps_to_activity") -> Path:
    folder.mkdir()
    (folder / f"{task}.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_pairs_and_steps_are_learnt_and_resumed_with_muon(mini: Mini, tmp_path: Path) -> None:
    weights = {"steps_to_activity": 0.3, "steps_to_motion": 0.4, "motion_to_steps": 0.3}
    train = {"steps": 6, "optimizer": "muon", "save_every": 100, "val_every": 100, "log_every": 1}
    train |= {"muon_every": 2, "faster": {"heads.body": 2.0}, "frozen": 2}
    dropout = {"model.dropout_rate": 0.1}
    pairs = write_pairs(tmp_path / "pairs", {"slots": {"steps": "he bows; he waves"}, "answer": "He greets the king"})
    mini.assert_resumes(
        lambda out: mini.language(out, "--pairs", pairs, options={"weights": weights}, change=dropout, **train),
        tmp_path,
    )
    assert mini.rows(tmp_path / "whole", "ce_text") and mini.rows(tmp_path / "whole", "ce_body")
    passes = mini.rows(tmp_path / "whole", "epochs_body")
    assert len(passes) == 6 and passes == pytest.approx([(n + 1) * passes[0] for n in range(6)], abs=1e-3)


def test_the_trunk_waits_for_new_parts(mini: Mini, tmp_path: Path, refused: Refused) -> None:
    weights = {"text_to_motion": 0.5, "motion_to_text": 0.5}
    train = {"steps": 4, "optimizer": "muon", "frozen": 2, "faster": {"heads.body": 2.0}}
    for steps in (1, 2, 3):
        run = mini.language(tmp_path / str(steps), "--until", steps, options={"weights": weights}, **train)
        mini.run(*run)
    first, second, third = (mini.weights(tmp_path / str(steps)) for steps in (1, 2, 3))
    moved = {k for k, v in second.items() if not torch.equal(v, first[k])}
    assert moved == {"heads.body.weight", "heads.body.bias"}
    later = {k for k, v in third.items() if not torch.equal(v, second[k])}
    assert len(later) > 40 and moved < later
    alone = mini.language(tmp_path / "none", options={"weights": weights}, **{**train, "faster": {}})
    assert "train: frozen: 2; accepted: 0, or with `faster`" in refused(*alone)


def test_dropout_is_of_the_configuration_whatever_a_run_begins_from(mini: Mini, tmp_path: Path) -> None:
    begun, weights = tmp_path / "begun", {"options": {"weights": {"text_to_motion": 1.0}}}
    mini.run(*mini.language(begun, "--until", 1, **weights))
    further = {"change": {"model.dropout_rate": 0.25}, **weights}
    mini.run(*mini.language(tmp_path / "further", "--start", begun, "--until", 1, **further))
    assert load_model(begun).config.dropout_rate == 0
    model = load_model(tmp_path / "further").train()
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}


def test_steps_of_a_joined_clip_are_its_parts(mini: Mini) -> None:
    clips = list(Store.open(mini.store).clips("train"))
    captions = {c.id: c.captions[0].lower() for c in clips}
    steps = clip_steps(clips)
    joined = [c for c in clips if c.source == "composed"]
    assert set(steps) == {c.id for c in joined}
    for clip in joined:
        assert steps[clip.id].split("; ") == [captions[p].rstrip(". ") for p in clip.extra["parts"]]


@pytest.mark.parametrize(("task", "row", "words"), [
    ("steps_to_activity", [], ""), ("steps_to_activity", {"slots": {"steps": "a"}}, ""),
    ("steps_to_activity", {"slots": {"scene": "a"}, "answer": "b"}, ""),
    ("steps_to_activity", {"slots": {"steps": 3}, "answer": "b"}, ""),
    ("steps_to_activity", {"slots": {"steps": " "}, "answer": "b"}, ""),
    ("steps_to_activity", {"slots": {}, "answer": "b"}, ""),
    ("steps_to_activity", {"slots": {"steps": "a"}, "answer": ""}, ""),
    ("motion_to_text", {"slots": {"motion": "a walk"}, "answer": "b"}, "task motion_to_text learns from clips"),
    ("text_to_motion", {"slots": {"caption": "a walk"}, "answer": "b"}, "task text_to_motion answers with body"),
])  # fmt: skip
def test_pairs_of_another_form(tmp_path: Path, task: str, row: Any, words: str) -> None:
    with pytest.raises(UserError, match=rf"{task}\.jsonl: {words or 'line 1'}"):
        user_pairs(write_pairs(tmp_path / "pairs", row, task))


@pytest.mark.parametrize("option", ["weights", "alpha"])
def test_a_text_task_without_its_pairs(mini: Mini, tmp_path: Path, refused: Refused, option: str) -> None:
    line = refused(*mini.language(tmp_path, options={option: {"steps_to_activity": 0.3}}))
    assert f"{option}: steps_to_activity: nothing to draw from; give --pairs" in line
    with pytest.raises(UserError, match=r"no TASK\.jsonl"):
        user_pairs(tmp_path)


class Toy(torch.nn.Module):
    """One matrix in a block, one outside, a bias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.ModuleDict({"block": torch.nn.ModuleList([torch.nn.Linear(8, 8)])})
        self.head = torch.nn.Linear(8, 3)


def test_muon_takes_the_blocks_and_adamw_the_rest() -> None:
    model = Toy()
    optimizer = make_optimizer(model, "muon", 1e-2, 0.0, "train")
    assert isinstance(optimizer, MuonAdamW)
    block, head = model.encoder["block"][0], model.head
    assert [p for g in optimizer.muon.param_groups for p in g["params"]] == [block.weight]
    before = block.weight.detach().clone()
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    for group in optimizer.param_groups:
        group["lr"] = 5e-3  # what a schedule does
    weight = head.weight.detach().clone()
    optimizer.step()
    update = (block.weight.detach() - before) / 5e-3
    # orthogonal up to Newton-Schulz' own error, scaled to AdamW's root mean square: 0.2 * sqrt(8)
    singular = torch.linalg.svdvals(update) / (0.2 * 8**0.5)
    assert float(singular.min()) > 0.6 and float(singular.max()) < 1.3
    assert torch.allclose((head.weight.detach() - weight).abs(), torch.full_like(weight, 5e-3), rtol=1e-3)


def test_muon_moves_at_intervals_by_all_gradients() -> None:
    torch.manual_seed(0)
    start, settings = torch.randn(8, 12), {"lr": 1e-2, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}

    def steps(every: int, gradients: torch.Tensor) -> list[torch.Tensor]:
        weight = torch.nn.Parameter(start.clone())
        optimizer, out = Muon([weight], every, **settings), []
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
            out.append(weight.detach().clone())
        return out

    gradients = torch.randn(4, 8, 12)
    first, second, third, fourth = steps(2, gradients)
    assert torch.equal(first, start) and torch.equal(third, second)
    assert not torch.equal(second, start) and not torch.equal(fourth, second)
    other = gradients.clone()
    other[0] = -other[0]
    assert not torch.equal(steps(2, other)[1], second)  # the first gradient has a part in the second step


def test_unknown_optimizer_and_frozen_blocks() -> None:
    model = Toy()
    with pytest.raises(UserError, match="optimizer: 'sgd'; accepted: 'adamw' or 'muon'"):
        LanguageTraining.read({"optimizer": "sgd"}, "train")
    model.encoder.requires_grad_(False)
    with pytest.raises(UserError, match="frozen"):
        make_optimizer(model, "muon", 1e-3, 0.0, "train")


def test_muon_steps_as_torch_does() -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(s)) for s in ((24, 48), (24, 48), (48, 24))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    settings: dict[str, Any] = {"lr": 1e-2, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    begun = [p.detach().clone() for p in ours]
    a, b = Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    for start, p, q in zip(begun, ours, theirs, strict=True):  # torch rounds to bfloat16
        assert float((p - q).detach().std()) < 0.05 * float((q - start).detach().std())
    with pytest.raises(ValueError, match="closures"):
        a.step(lambda: 0.0)


def test_orthogonalised_matrices() -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(0))))
    assert float(values.min()) > 0.4 and float(values.max()) < 1.4


def test_parts_that_learn_faster() -> None:
    model = torch.nn.ModuleDict({"trunk": torch.nn.Linear(4, 4), "head": torch.nn.Linear(4, 2)})
    optimizer = make_optimizer(model, "adamw", 1e-3, 0.1, "train", {"head": 5.0})
    factors = {id(p): g["times"] for g in optimizer.param_groups for p in g["params"]}
    assert factors == {id(p): 5.0 if n.startswith("head") else 1.0 for n, p in model.named_parameters()}
    for faster in ({"heads": 2.0}, {"head": 0.0}, {"head": float("nan")}):
        with pytest.raises(UserError, match="faster"):
            make_optimizer(model, "adamw", 1e-3, 0.1, "train", faster)


ONE = CONFIGS / "language" / "one.yaml"
WORDS = {"body": "a person waves", "face": "a face smiles a little", "gesture": "both hands beat in front"}
SHAPE = {"codebook_size": 32, "levels": 2, "code_dim": 16}


def clips(modality: str) -> list[ClipCodes]:
    """Clips with everything that a task can ask for; of bodies some that are joined of two."""
    rng, words = np.random.default_rng(len(modality)), WORDS[modality]
    extra: dict[str, Any] = {"speech": {"text": "and then I said"}} if modality == "gesture" else {}
    if modality == "face":
        extra = {"emotion": {"text": "happy", "alone": True, "name": "happy", "intensity": 0.5}, "prompts": [words]}

    def clip(i: int, **more: Any) -> ClipCodes:
        codes, split = rng.integers(0, 32, (int(rng.integers(8, 20)), 2)), "val" if i >= 10 else "train"
        return ClipCodes(f"{modality}{i}", codes, [words], split, **{
            "source": "made", "licence": "ours", "action": "wave", "modality": modality, "extra": extra, **more,
        })  # fmt: skip

    single = [clip(i) for i in range(12)]
    parts = {"parts": ["body1", "body2"]}
    return single + [clip(i, source="composed", extra=parts) for i in range(4)] if modality == "body" else single


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Options of the language stage: a T5, and tokenizers and codes of three modalities."""
    root = tmp_path_factory.mktemp("one")
    write_t5(root / "t5", [*WORDS.values(), "walk to the door; open it; leave"] * 5)
    for name in WORDS:
        tokenizer = MotionTokenizer(TokenizerConfig(modality=name, width=16, fine_width=8, **SHAPE))
        tokenizer.save(root / f"{name}_tokenizer")
        Store.write_codes(clips(name), root / f"{name}_codes", tokenizer.fingerprint)
    return {
        "start": str(root / "t5"), "tokenizer": ",".join(str(root / f"{name}_tokenizer") for name in WORDS),
        "codes": ",".join(str(root / f"{name}_codes") for name in WORDS),
    }  # fmt: skip


def command(folders: dict[str, str], out: Path) -> list[object]:
    small = [f"train.{k}" for k in ("steps=6", "batch=48", "pool=2", "warmup=1", "log_every=3", "val_every=6")]
    entry = "{codebook_size: 32, levels: 2, code_dim: 16, refiner_dim: 16, refiner_layers: 1, refiner_heads: 2}"
    settings = [*small, *(f"model.modalities.{name}={entry}" for name in WORDS)]
    return [
        "language", "--config", f"{ONE}:pretrained", *(w for s in settings for w in ("--set", s)),
        "--texts", "package:text",
        "--planning", "package:planning", "--chat", "package:chat", *CPU,
        *(w for k, v in folders.items() for w in (f"--{k}", v)), "-o", out,
    ]  # fmt: skip


def test_every_task_has_a_share() -> None:
    train = resolve(ONE)["train"]
    assert set(train["options"]["weights"]) == set(list_tasks())
    assert sum(train["options"]["weights"].values()) == pytest.approx(1)


def test_one_model_learns_all_tasks(folders: dict[str, str], tmp_path: Path) -> None:
    Mini.run(*command(folders, tmp_path))
    modalities = load_model(tmp_path).config.modalities
    assert modalities is not None and set(modalities) == set(WORDS)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    large = [name for name, share in resolve(ONE)["train"]["options"]["weights"].items() if share >= 0.02]
    for task in large:  # the loss of every task stands in the log, those of small shares when they come up
        losses = [row[f"task_{task}"] for row in lines if f"task_{task}" in row]
        assert losses and np.isfinite(losses).all(), task
    for head in ("text", *WORDS):
        assert sum(f"ce_{head}" in row for row in lines) == 2
    validated = ("text_to_motion", "motion_to_text", "text_to_face", "face_to_emotion", "speech_to_gesture")
    assert all(f"val_{task}" in lines[-1] for task in validated)
    assert lines[1]["ce_text"] < lines[0]["ce_text"]


def test_a_task_without_data_is_named(folders: dict[str, str], tmp_path: Path, refused: Refused) -> None:
    body = {k: v.partition(",")[0] for k, v in folders.items()}
    assert "text_to_face: nothing to draw from" in refused(*command(body, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
