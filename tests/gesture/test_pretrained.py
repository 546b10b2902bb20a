"""Models of Hugging Face: tiny ones of random weights, saved as any other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.gesture.words import LanguageModelWords
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(["we went there"] * 9, trainers.BpeTrainer(initial_alphabet=alphabet, vocab_size=270))
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=pieces.get_vocab_size(), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("llama")
    PreTrainedTokenizerFast(tokenizer_object=pieces).save_pretrained(folder)
    LlamaModel(shape).save_pretrained(folder)
    return folder


def test_the_last_piece_carries_a_word(llama: Path) -> None:
    encoder = LanguageModelWords(str(llama))
    words = ["we", "went", "", "Überdies", "there"]
    states = encoder.states(words)
    assert states.shape == (5, 16) and [bool(s.any()) for s in states] == [True, True, False, True, True]
    assert np.allclose(encoder.states(words[:2]), states[:2], atol=1e-5)  # it looks back alone
    read = encoder._tokenizer("we went", return_tensors="pt")
    with torch.inference_mode():
        last = encoder._model(read["input_ids"]).last_hidden_state[0, -1]
    assert np.allclose(last.numpy(), states[1], atol=1e-5)


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(UserError, match="accepted|is needed") as e:
            LanguageModelWords(str(name))
        assert "\n" not in str(e.value)


def test_a_model_that_lacks_weights_is_refused(llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in llama.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(llama / "model.safetensors")
    kept = {k: v for k, v in weights.items() if "mlp" not in k}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="missing"):
        LanguageModelWords(str(tmp_path))
