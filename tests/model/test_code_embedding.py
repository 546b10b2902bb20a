"""How codes enter: by the adapter over code vectors, or by a learnt vocabulary."""

import json

import pytest
import torch

from avatargpt.lm.checkpoint import load_model, load_network, save_model
from avatargpt.lm.generate import Generator
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.shape import NetworkShape
from avatargpt.train.language import LanguageRecipe
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def learnt(tiny_model) -> AvatarGPTModel:
    return tiny_model(code_embedding="learnt")


def test_every_code_of_every_level_has_a_row_drawn_as_words_are(learnt: AvatarGPTModel) -> None:
    body = learnt.codes["body"]
    assert body.rows.shape == (3, 24, 32) and body.table().shape == (26, 32)
    assert body.rows.std().item() == pytest.approx(learnt.shared.weight.std().item(), rel=0.06)
    ids = torch.tensor([[60, 83, 84, 85]])
    assert torch.equal(learnt.embed(ids)[0], torch.cat([body.rows[0, [0, 23]], body.marks.weight]))


def test_codes_of_another_level_change_the_embedding(learnt: AvatarGPTModel) -> None:
    rows = learnt.codes["body"].rows
    residual = torch.tensor([[[3, 7, 9], [3, 8, 9], [3, 7, -1], [-1, -1, -1]]])
    out = learnt.embed(torch.tensor([[63, 63, 63, 63]]), residual)[0]
    torch.testing.assert_close(out[0], rows[0, 3] + rows[1, 7] + rows[2, 9])
    torch.testing.assert_close(out[1] - out[0], rows[1, 8] - rows[1, 7])
    torch.testing.assert_close(out[2], rows[0, 3] + rows[1, 7])
    assert torch.equal(out[3], rows[0, 3])


def test_a_vocabulary_of_level_0_does_not_read_the_others(tiny_model) -> None:
    model = tiny_model(code_embedding="learnt_level_0")
    assert model.codes["body"].rows.shape == (1, 24, 32)
    residual = torch.tensor([[[3, 7, 9], [3, 8, 9], [-1, -1, -1]]])
    out = model.embed(torch.tensor([[63, 63, 63]]), residual)[0]
    assert torch.equal(out, model.codes["body"].rows[0, 3].expand(3, -1))


def test_the_vocabulary_learns_and_the_codebooks_do_not_speak(tiny_model) -> None:
    model = tiny_model(code_embedding="learnt")
    labels = torch.tensor([[60, 61, 62, 85]])
    before = model(torch.tensor([[5, 64, 6]]), labels=labels, head="body")
    before.loss.backward()
    used = model.codes["body"].rows.grad.abs().sum(-1) > 0
    assert used[0].nonzero()[:, 0].tolist() == [0, 1, 2, 4] and not used[1:].any()
    model.set_codebooks("body", torch.randn(3, 24, 6), "other")
    assert torch.equal(model(torch.tensor([[5, 64, 6]]), labels=labels, head="body").loss, before.loss)


@torch.no_grad()
def test_saved_and_loaded_for_training_and_for_use(tmp_path, learnt: AvatarGPTModel, ids: torch.Tensor) -> None:
    save_model(learnt, tmp_path)
    labels = torch.tensor([[60, 61, 62, 85]] * 5)
    right = learnt(ids, labels=labels, head="body").token_loss
    again = load_model(tmp_path)
    assert again.config.code_embedding == "learnt"
    assert torch.equal(again(ids, labels=labels, head="body").token_loss, right)
    network = load_network(tmp_path)
    generator = Generator(network)
    scores = generator.score(generator.encode(ids), labels[:, :3], "body")
    torch.testing.assert_close(-scores.tokens, right, atol=1e-5, rtol=1e-5)
    codes = generator.decode(generator.encode(ids), "body", length=[4] * 5)
    refined = network.refine(codes.hidden, codes.codes, codes.mask, "body", [1] * 5, 1.0, 50)
    assert refined.shape == (5, 4, 3)


def test_a_folder_without_the_field_has_the_adapter(tmp_path, model: AvatarGPTModel) -> None:
    save_model(model, tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    assert fields.pop("code_embedding") == "adapter"
    (tmp_path / "config.json").write_text(json.dumps(fields))
    for again in (load_model(tmp_path), load_network(tmp_path)):
        assert torch.equal(again.codes["body"].table(), model.codes["body"].table())


def test_weights_of_the_other_kind_are_refused(tmp_path, learnt: AvatarGPTModel) -> None:
    save_model(learnt, tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, "code_embedding": "adapter"}))
    for load in (load_model, load_network):
        with pytest.raises(UserError, match=r"weights do not fit config.json.*codes\.body\."):
            load(tmp_path)


def test_another_word_is_refused(tiny_config) -> None:
    said = "code_embedding: 'table'; accepted adapter, learnt, learnt_level_0"
    with pytest.raises(UserError, match=said):
        tiny_config(code_embedding="table")
    with pytest.raises(UserError, match=said):
        NetworkShape(code_embedding="table")
    with pytest.raises(UserError, match="code_embedding"):
        LanguageRecipe.read({"model": {"code_embedding": "table"}}, "a.yaml")
