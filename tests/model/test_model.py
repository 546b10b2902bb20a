"""The id space, the heads and their losses, embeddings, the refiner."""

import math
from functools import partial
from typing import Any

import pytest
import torch

from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import IGNORED, length_boundaries
from tests.devices import SECOND, second_device
from vqvae.errors import UserError


def test_ids_are_text_then_one_block_per_modality(tiny_config) -> None:
    c = tiny_config()
    assert c.heads == ("text", "body", "face")
    assert (c.first_id("body"), c.start_id("body"), c.end_id("body")) == (60, 84, 85)
    assert (c.first_id("face"), c.start_id("face"), c.end_id("face")) == (86, 96, 97)
    assert c.total_ids == 98
    assert (c.start_id("text"), c.end_id("text")) == (0, 1)
    with pytest.raises(UserError, match="knows body, face"):
        c.first_id("hand")


def test_a_new_modality_moves_no_id(tmp_path, tiny_config) -> None:
    tiny_config().save_pretrained(tmp_path)
    old = AvatarGPTConfig.from_pretrained(tmp_path)
    library = {"_name_or_path": "", "transformers_version": ""}
    assert old.to_dict() | library == tiny_config().to_dict() | library
    arm = {"codebook_size": 8, "levels": 1, "code_dim": 4}
    grown = tiny_config(modalities={"arm": arm, **old.modalities})
    assert grown.first_id("body") == 60 and grown.first_id("face") == 86 and grown.first_id("arm") == 98


def test_embedding_of_each_block(model: AvatarGPTModel) -> None:
    body = model.codes["body"]
    out = model.embed(torch.tensor([[5, 60, 83, 84, 85, 86]]))[0]
    assert torch.equal(out[0], model.shared.weight[5])
    torch.testing.assert_close(out[1], body.linear(body.codebooks[0, 0] * body.scale))
    torch.testing.assert_close(out[2], body.linear(body.codebooks[0, 23] * body.scale))
    assert torch.equal(out[3:5], body.marks.weight)
    face = model.codes["face"]
    torch.testing.assert_close(out[5], face.linear(face.codebooks[0, 0] * face.scale))


def test_prompt_codes_sum_their_residual_levels(model: AvatarGPTModel) -> None:
    body = model.codes["body"]
    residual = torch.full((1, 3, 3), -1)
    residual[0, 1] = torch.tensor([3, 7, 9])
    residual[0, 2] = torch.tensor([3, 7, -1])
    out = model.embed(torch.tensor([[63, 63, 63]]), residual)[0]
    vectors = [body.codebooks[level, code] for level, code in enumerate((3, 7, 9))]
    for row, used in enumerate((1, 3, 2)):
        torch.testing.assert_close(out[row], body.linear(sum(vectors[:used]) * body.scale))


@torch.no_grad()
def test_logits_outside_the_head_are_minus_infinity(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    for head, inside in (("text", range(60)), ("body", [*range(60, 84), 85]), ("face", [*range(86, 96), 97])):
        start = torch.full((5, 1), model.config.start_id(head))
        logits = model(ids, decoder_input_ids=start, head=head).logits
        assert logits.shape == (5, 1, 98)
        finite = torch.isfinite(logits)[0, 0].nonzero()[:, 0].tolist()
        assert finite == list(inside)


@torch.no_grad()
@pytest.mark.parametrize(("head", "size"), [("text", 60), ("body", 25), ("face", 11)])
def test_first_loss_is_near_ln_of_the_choices(ids: torch.Tensor, head: str, size: int, tiny_model) -> None:
    model, losses = tiny_model(), []
    for seed in range(4):
        g = torch.Generator().manual_seed(seed)
        choices = size - 1 if head != "text" else size
        labels = torch.randint(0, choices, (5, 12), generator=g) + model.config.first_id(head)
        losses.append(model(ids, labels=labels, head=head).loss.item())
    assert abs(sum(losses) / 4 - math.log(size)) < 0.9


def test_mixed_heads_equal_separate_batches(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    labels = torch.randint(0, 10, (5, 6), generator=torch.Generator().manual_seed(3))
    heads = ["body", "text", "body", "face", "text"]
    labels = labels + torch.tensor([model.config.first_id(h) for h in heads])[:, None]
    labels[2, 4:] = -100
    mixed = model(ids, labels=labels, head=heads)
    as_numbers = model(ids, labels=labels, head=torch.tensor([1, 0, 1, 2, 0]))
    torch.testing.assert_close(mixed.token_loss, as_numbers.token_loss)
    for i, head in enumerate(heads):
        alone = model(ids[i : i + 1], labels=labels[i : i + 1], head=head, full_logits=True)
        torch.testing.assert_close(alone.token_loss[0], mixed.token_loss[i], atol=1e-5, rtol=1e-5)
        at = labels[i] >= 0
        reference = torch.nn.functional.cross_entropy(alone.logits[0][at], labels[i][at])
        torch.testing.assert_close(reference, alone.loss, atol=1e-5, rtol=1e-5)
    mixed.loss.backward()
    assert mixed.token_loss[2, 4:].eq(0).all()


def test_label_smoothing_spreads_over_the_allowed_ids(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    labels = torch.full((5, 2), 85)
    plain = model(ids, labels=labels, head="body", full_logits=True)
    smooth = model(ids, labels=labels, head="body", label_smoothing=0.1)
    logp = plain.logits.log_softmax(-1)
    allowed = logp[..., [*range(60, 84), 85]].mean(-1)
    torch.testing.assert_close(smooth.loss, (0.9 * plain.token_loss - 0.1 * allowed).mean(), atol=1e-5, rtol=1e-5)


def test_labels_of_another_head_are_refused(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="outside its ids"):
        model(ids, labels=torch.full((5, 2), 5), head="body")
    with pytest.raises(UserError, match="this model has text, body, face"):
        model(ids, labels=torch.full((5, 2), 5), head="hand")


def test_rows_of_remaining_tokens(tiny_model) -> None:
    counter = tiny_model().countdown
    counts = torch.tensor([-1, 0, 1, 31, 32, 33, 511, 512, 9999])
    rows = counter.bucket(counts).tolist()
    assert rows[:5] == [63, 0, 1, 31, 32]
    assert rows[5:] == sorted(rows[5:]) and rows[-2:] == [62, 62]
    edges = length_boundaries(64)
    assert edges == sorted(set(edges)) and len(edges) == 62


@torch.no_grad()
def test_length_gives_the_remaining_tokens(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    given = {"decoder_input_ids": torch.full((5, 3), 84), "head": "body"}
    by_length = model(ids, **given, length=torch.tensor([2, 9, 3, -1, 2])).logits
    counts = torch.tensor([[2, 1, 0], [9, 8, 7], [3, 2, 1], [-1, -1, -1], [2, 1, 0]])
    assert torch.equal(by_length, model(ids, **given, remaining=counts).logits)
    unknown = model(ids, **given).logits
    torch.testing.assert_close(unknown[3], by_length[3])
    assert not torch.allclose(unknown[0], by_length[0])


@torch.no_grad()
def test_grounding_does_not_depend_on_the_padding_of_others(model: AvatarGPTModel, ids: torch.Tensor) -> None:
    vectors, mask = torch.randn(5, 4, 12), torch.ones(5, 4, dtype=torch.long)
    mask[3, 2:] = 0
    mask[4] = 0
    states, full = model.encode(ids, extra_embeddings=[(vectors.half(), mask, "grounding")])
    alone, _ = model.encode(ids[3:4, :2], extra_embeddings=[(vectors[3:4, :2].half(), mask[3:4, :2], "grounding")])
    assert full.sum(1).tolist() == [13, 21, 21, 4, 17]
    torch.testing.assert_close(states[3, :4], alone[0], atol=1e-5, rtol=1e-4)
    without, _ = model.encode(ids[4:5])
    torch.testing.assert_close(states[4, :17], without[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match="encoder input 'speech'"):
        model.encode(ids, extra_embeddings=[(vectors, mask, "speech")])


def fit_refiner(model: AvatarGPTModel, steps: int, *batch: torch.Tensor) -> tuple[float, float]:
    """The first and the last loss."""
    optimizer = torch.optim.Adam(model.refiners.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = model.refiner_loss(*batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses[0], losses[-1]


def test_refiner_learns_levels_and_fills_them_in(tiny_model) -> None:
    model = tiny_model()
    g = torch.Generator().manual_seed(0)
    hidden, codes = torch.randn(4, 7, 32, generator=g), torch.randint(0, 24, (4, 7, 3), generator=g)
    mask = torch.ones(4, 7, dtype=torch.bool)
    mask[1, 3:] = False
    first, last = fit_refiner(model, 400, hidden, codes, mask)
    assert first > 2.5 and last < 0.1
    model.eval()
    filled = model.refine(hidden, codes[..., 0], mask)
    assert filled.shape == (4, 7, 3) and torch.equal(filled[..., 0], codes[..., 0])
    assert (filled == codes)[mask].float().mean() > 0.95
    drawn = model.refine(hidden, codes[..., 0], mask, seeds=[5, 6, 7, 8], temperature=1.0)
    alone = model.refine(hidden[2:3], codes[2:3, :, 0], mask[2:3], seeds=[7], temperature=1.0)
    assert torch.equal(drawn[2:3], alone)
    wild = [model.refine(hidden, codes[..., 0], mask, seeds=[s] * 4, temperature=50.0) for s in (1, 2, 1)]
    assert torch.equal(wild[0], wild[2]) and not torch.equal(wild[0], wild[1])
    few = model.refine(hidden, codes[..., 0], mask, seeds=[1] * 4, temperature=50.0, top_k=1)
    assert torch.equal(few, filled)


def test_refiner_keeps_its_choice_from_token_to_token(tiny_model) -> None:
    """The first token is free, those after it follow it."""
    model = tiny_model().train()
    hidden = torch.zeros(8, 6, 32)
    kind = torch.arange(8) % 2
    codes = torch.stack([torch.zeros(8, 6).long(), 3 + 4 * kind[:, None].expand(8, 6), torch.full((8, 6), 2)], -1)
    mask = torch.ones(8, 6, dtype=torch.bool)
    fit_refiner(model, 200, hidden, codes, mask)
    drawn = model.eval().refine(hidden, codes[..., 0], mask, seeds=range(8), temperature=1.0)[..., 1]
    assert set(drawn[:, 0].tolist()) == {3, 7} and (drawn == drawn[:, :1]).float().mean() > 0.9


def test_bfloat16_autocast_trains(ids: torch.Tensor, tiny_model) -> None:
    model = tiny_model().train()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(ids, labels=torch.full((5, 4), 70), head="body", length=torch.full((5,), 3))
    out.loss.backward()
    assert torch.isfinite(out.loss) and model.codes["body"].linear.weight.grad is not None


def _mixed(model: AvatarGPTModel, ids: torch.Tensor) -> dict[str, Any]:
    """A batch of answers in words and in motion, with motion and sentence states in its prompts."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(2, 60, (5, 6), generator=generator)
    labels[2:] = torch.randint(60, 84, (3, 6), generator=generator)
    labels[1, 4:] = labels[4, 2:] = IGNORED
    states = torch.randn(5, 4, 12, generator=generator)
    mask = (torch.arange(4) < torch.tensor([4, 0, 2, 1, 3])[:, None]).long()
    return {
        "input_ids": ids, "attention_mask": ids.ne(0).long(), "labels": labels,
        "residual_codes": torch.randint(-1, 24, (5, 17, 3), generator=generator),
        "length": torch.tensor([3, -1, 6, 6, 2]),
        "extra_embeddings": [(states, mask, "grounding")], "head": ["text", "text", "body", "body", "body"],
    }  # fmt: skip


@pytest.mark.parametrize("ways", [("fused",), ("fused", "compiled"), ("flat",)])
def test_our_stacks_give_the_library_s_losses(tiny_model, ids: torch.Tensor, ways: Any, monkeypatch) -> None:
    # the graph alone: compiling it to code takes a minute
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    losses, gradients = [], []
    for used in ((), ways):
        model = tiny_model(3)
        for way in used:
            setattr(model, way, True)
        token_loss = model(**_mixed(model, ids)).token_loss
        token_loss.sum().backward()
        losses.append(token_loss.detach())
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=1e-5)
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 40
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=2e-5, rtol=1e-4, msg=name)


def test_dropout_without_padding(tiny_model, ids: torch.Tensor) -> None:
    model = tiny_model(3, dropout_rate=0.5)
    model.flat = True
    batch = _mixed(model, ids)

    def loss(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return model(**batch).token_loss

    assert torch.equal(loss(0), loss(1))  # not in evaluation
    model.train()
    assert torch.equal(loss(0), loss(0)) and not torch.equal(loss(0), loss(1))


def test_a_device_computes_the_same_losses(tiny_model, ids: torch.Tensor) -> None:
    model = tiny_model(3)
    batch = _mixed(model, ids)
    with torch.no_grad():
        expected = model(**batch).token_loss
        with second_device():
            model.fused = True
            model.to(SECOND)
            there = {k: v.to(SECOND) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
            there["extra_embeddings"] = [(s.to(SECOND), m.to(SECOND), n) for s, m, n in batch["extra_embeddings"]]
            loss = model(**there, longest=20).token_loss.cpu()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
