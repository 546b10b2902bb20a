"""Model folders through the Auto classes of transformers and through peft, and models that move to a device."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avatargpt.lm.adapters import Adapter
from avatargpt.lm.checkpoint import load_model, save_model, save_small
from avatargpt.lm.generate import Generator
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.text_encoder import TextTokenizer
from vqvae.errors import UserError

LINES = [f"a person {verb} {manner}" for verb in ("walks", "waves", "bows") for manner in ("calmly", "twice", "ahead")]
TEXTS = ["A person  Walks ahead", "a \ufb01ne b\u00f6w, twice! \U0001f600", "[Instruction] bow [Input] calmly"]


@pytest.fixture(scope="module")
def auto() -> Any:
    """transformers, with our classes registered."""
    import transformers

    import avatargpt.lm.model  # noqa: F401  registers

    return transformers


@pytest.fixture
def folder(tmp_path: Path, model: AvatarGPTModel) -> Path:
    save_model(model, tmp_path / "model")
    TextTokenizer.train(LINES * 4, 320, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["AutoModel", "AutoModelForSeq2SeqLM"])
def test_auto_models_open_a_folder(auto: Any, folder: Path, model: AvatarGPTModel, name: str) -> None:
    found = getattr(auto, name).from_pretrained(folder)
    assert type(found) is AvatarGPTModel
    mine, theirs = model.state_dict(), found.state_dict()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
    assert type(auto.AutoConfig.from_pretrained(folder)).model_type == "avatargpt"


def test_weights_in_eight_bits(auto: Any, folder: Path, model: AvatarGPTModel, ids: torch.Tensor) -> None:
    save_small(model, folder)
    found, info = auto.AutoModelForSeq2SeqLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    own = load_model(folder)
    given = {"input_ids": ids, "labels": torch.tensor([[60, 61, 85]] * 5), "head": "body"}
    assert torch.equal(found.eval()(**given).loss, own(**given).loss)
    half = auto.AutoModel.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.shared.weight.dtype == torch.bfloat16
    (folder / "model.int8.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="model.int8.safetensors"):
        auto.AutoModel.from_pretrained(folder)


def test_the_tokenizer_gives_our_ids(auto: Any, folder: Path, tmp_path: Path) -> None:
    theirs, ours = auto.AutoTokenizer.from_pretrained(folder), TextTokenizer.load(folder)
    assert len(theirs) == ours.size
    for text in TEXTS:
        ids = theirs(text)["input_ids"]
        assert ids == ours.encode(text)
        assert theirs.decode(ids) == ours.decode(ids)
    batch = theirs(TEXTS, padding=True, return_tensors="pt")
    assert batch["attention_mask"].sum().item() == sum(len(ours.encode(t)) for t in TEXTS)
    assert theirs(text_target="bow")["input_ids"] == [*ours.encode("bow"), 1]
    theirs.save_pretrained(tmp_path / "copy")
    again = auto.AutoTokenizer.from_pretrained(tmp_path / "copy", use_fast=False)
    assert again.tokenize("bow") == theirs.tokenize("bow")


def test_generate_answers_in_words_and_codes(auto: Any, folder: Path) -> None:
    model = auto.AutoModelForSeq2SeqLM.from_pretrained(folder)
    given = {"input_ids": torch.tensor([[5, 6, 7]]), "max_new_tokens": 4, "min_new_tokens": 4}
    assert int(model.generate(**given).max()) < 60
    codes = model.generate(**given, head="body")[0, 1:]
    assert all(60 <= int(c) <= 85 for c in codes)


def test_peft_loads_our_adapter(tmp_path: Path, tiny_model: Callable[..., AvatarGPTModel], ids: torch.Tensor) -> None:
    peft = pytest.importorskip("peft")
    from avatargpt.train.lora import LoraOptions, add_lora, save_adapter

    learnt, options = tiny_model(), LoraOptions(r=2, alpha=4)
    base = copy.deepcopy(learnt)
    add_lora(learnt, options)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in learnt.parameters():
            if p.requires_grad:
                p.add_(0.05 * torch.randn_like(p))
    save_adapter(learnt, options, tmp_path)
    given: dict[str, Any] = {
        "input_ids": ids, "labels": torch.tensor([[60, 61, 85]] * 5), "head": "body",
        "extra_embeddings": [(torch.randn(5, 3, 12), torch.ones(5, 3).long(), "grounding")],
    }  # fmt: skip
    codes = torch.randint(0, 24, (5, 3, 3))

    def losses(model: Any) -> torch.Tensor:
        out = model.eval()(**given)
        rest = model.refiner_loss(out.hidden, codes, codes[..., 0] >= 0, modality="body")
        return torch.stack([out.loss, rest]).detach()

    wanted, before = losses(learnt), losses(base)
    own = copy.deepcopy(base)
    Adapter.load(tmp_path).add(own)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path)
    assert not torch.allclose(wanted, before, atol=1e-3)
    assert torch.allclose(losses(theirs), wanted, atol=1e-5) and torch.allclose(losses(own), wanted, atol=1e-5)


def test_a_model_that_is_moved_keeps_its_answers(tiny_model: Callable[..., AvatarGPTModel], ids: torch.Tensor) -> None:
    loaded = LoadedModel(tiny_model(grounding_dim=0), object(), {}).to("cpu")  # type: ignore[arg-type]
    before = loaded.generator
    with torch.no_grad():
        loaded.model.lm_head.weight.add_(1)  # a mover makes its generator of what the network has now
    assert loaded.to("cpu") is loaded and loaded.generator is not before
    want = Generator(loaded.model).decode(Generator(loaded.model).encode(ids), "body", max_tokens=4).ids
    assert torch.equal(loaded.generator.decode(loaded.generator.encode(ids), "body", max_tokens=4).ids, want)
    with pytest.raises(UserError, match="device gpu9: unknown; accepted here: cpu"):
        loaded.to("gpu9")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_moves_to_a_gpu_and_back() -> None:
    from avatargpt import AvatarGPT

    model = AvatarGPT.from_pretrained(device="cpu")
    words = model.generate("a person waves", best_of=2)[0]
    assert model.to("cuda").device.type == "cuda"
    there = model.generate("a person waves", best_of=2)[0]
    face = model.face("smile", best_of=1)[0]
    assert model.facial.device.type == "cuda" and len(face) and there.joints.shape[1:] == words.joints.shape[1:]
    back = model.to("cpu").generate("a person waves", best_of=2)[0]
    assert (back.joints == words.joints).all() and model.facial.device.type == "cpu"
