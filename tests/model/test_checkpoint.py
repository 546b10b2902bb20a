"""Saving, loading, refusing; LoRA; starting from a T5."""

import json
from pathlib import Path

import pytest
import torch

from avatargpt.lm.checkpoint import CODES, load_model, save_model, save_small, start_from_t5
from avatargpt.lm.generate import Generator
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.shape import SMALL
from vqvae.errors import UserError


@torch.no_grad()
@pytest.mark.parametrize("shards", ["2GB", "30KB"])
def test_saved_is_loaded_to_the_bit(model: AvatarGPTModel, ids, tmp_path: Path, shards: str) -> None:
    save_model(model, tmp_path, max_shard_size=shards)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shards == "30KB")
    again = load_model(tmp_path)
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert again.config.fingerprints == {"body": "body-print", "face": "face-print"}
    assert again.config.modalities == model.config.modalities and not again.training
    start = torch.full((5, 1), 84)
    a, b = (m(ids, decoder_input_ids=start, head="body").logits for m in (model, again))
    assert torch.equal(a, b)
    assert again.lm_head.weight.data_ptr() != again.shared.weight.data_ptr()


def test_saving_again_leaves_no_old_shard(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_model(model, tmp_path, max_shard_size="30KB")
    save_model(model, tmp_path)
    names = {f.name for f in tmp_path.iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors"}
    load_model(tmp_path)


def test_eight_bits_and_back(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_model(model, tmp_path, "50KB")
    save_small(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", SMALL]
    small, before = load_model(tmp_path), model.state_dict()
    for name, after in small.state_dict().items():
        if name.endswith(CODES):
            assert torch.equal(after, before[name].to(torch.bfloat16).float())
        elif before[name].is_floating_point():
            assert (after - before[name]).abs().max() <= before[name].abs().max() / 200, name
    save_model(small, tmp_path)
    assert not (tmp_path / SMALL).exists()
    again = load_model(tmp_path).state_dict()
    assert all(torch.equal(again[k], v) for k, v in small.state_dict().items())


@pytest.mark.parametrize("shards", ["2GB", "30KB"])
def test_damaged_folders_are_refused(model: AvatarGPTModel, tmp_path: Path, shards: str) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_model(tmp_path / "none")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(tmp_path)
    save_model(model, tmp_path, max_shard_size=shards)
    weights = max(tmp_path.glob("*.safetensors"))
    whole = weights.read_bytes()
    for cut in (4, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=f"{weights.name}: not whole weights"):
            load_model(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match="is missing"):
        load_model(tmp_path)
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json: not JSON"):
        load_model(tmp_path)


def test_weights_that_do_not_fit_are_refused(model: AvatarGPTModel, tmp_path: Path) -> None:
    save_model(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for change in ({"num_layers": 3}, {"d_ff": 64}, {"grounding_dim": 0}):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(UserError):
            load_model(tmp_path)


def test_another_tokenizer_is_refused(model: AvatarGPTModel) -> None:
    model.check_fingerprint("body", "body-print")
    with pytest.raises(UserError, match="was trained with body-print"):
        model.check_fingerprint("body", "face-print")
    fresh = AvatarGPTModel(model.config.__class__.from_dict({**model.config.to_dict(), "fingerprints": {}}))
    with pytest.raises(UserError, match="has no codebooks yet"):
        fresh.check_fingerprint("body", "body-print")
    with pytest.raises(UserError, match=r"this model takes \(3, 24, 6\)"):
        fresh.set_codebooks("body", torch.zeros(2, 24, 6), "x")


def test_lora_trains_saves_and_decodes_like_the_merged_model(ids: torch.Tensor, tmp_path: Path, tiny_model) -> None:
    peft = pytest.importorskip("peft")
    base = tiny_model(3)
    new = [f"{part}.{name}" for part in ("codes", "heads", "refiners", "extra") for name in getattr(base, part)]
    settings = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["q", "v", "wi_0", "wo"],
                               modules_to_save=[*new, "countdown", "lm_head"])  # fmt: skip
    tuned = peft.get_peft_model(tiny_model(3), settings)
    trained = [p for p in tuned.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=2e-2)
    labels = torch.randint(60, 84, (5, 6), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(25):
        loss = tuned(input_ids=ids, labels=labels, head="body").loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    tuned.eval().save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(tiny_model(3), tmp_path).eval()
    merged = peft.PeftModel.from_pretrained(tiny_model(3), tmp_path).merge_and_unload().eval()
    generators = [Generator(model) for model in (tuned, again, merged, base)]
    first, *same, other = [g.decode(g.encode(ids), "body", length=[6] * 5).ids.tolist() for g in generators]
    assert same == [first, first] and other != first


@torch.no_grad()
@pytest.mark.parametrize("tied", [True, False])
def test_a_t5_is_taken_over_with_its_answers(tmp_path: Path, tied: bool) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "d_model": 24, "d_kv": 6, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    start = {"decoder_start_token_id": 0, "dropout_rate": 0.0, "tie_word_embeddings": tied}
    T5ForConditionalGeneration(T5Config(**sizes, **start)).save_pretrained(tmp_path)
    t5 = T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    body = {"body": {"codebook_size": 8, "levels": 2, "code_dim": 3}}
    model = start_from_t5(tmp_path, countdown_buckets=0, modalities=body).eval()
    x = torch.randint(2, 50, (2, 9))
    ours = model(x, labels=x, full_logits=True).logits[..., :50]
    torch.testing.assert_close(ours, t5(input_ids=x, labels=x).logits, atol=1e-4, rtol=1e-4)
