"""Models of Hugging Face: tiny ones of random weights, saved as any other."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.gesture.encoders import SpeechEncoder
from avatargpt.gesture.words import LanguageModelWords
from avatargpt.speech.audio import frames_in
from vqvae.errors import UserError


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    shape = HubertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("hubert")
    HubertModel(shape).save_pretrained(folder)
    return folder


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


def test_a_speech_encoder_gives_a_row_for_each_frame(hubert: Path) -> None:
    encoder = SpeechEncoder(str(hubert))
    rng = np.random.default_rng(0)
    for samples in (300, 16_000 * 41 + 123):
        sound = (0.01 * rng.standard_normal(samples)).astype(np.float32)
        rows = np.concatenate([*encoder.rows(sound, 16_000)])
        assert rows.shape == (frames_in(samples, 16_000), 16) and np.isfinite(rows).all()


def test_a_speech_encoder_s_rows_lie_where_the_sound_is(hubert: Path) -> None:
    """The last frames before and the first frames after the border of two windows."""
    encoder = SpeechEncoder(str(hubert), layer=0)  # before the layers, which hear everything at once
    encoder._normal = False
    sound = (0.01 * np.random.default_rng(0).standard_normal(16_000 * 41)).astype(np.float32)
    for second in (19.9, 20.2, 40.4):
        loud = sound.copy()
        loud[round(second * 16_000) : round((second + 0.02) * 16_000)] *= 50
        apart = [np.concatenate([*encoder.rows(x, 16_000)]) for x in (sound, loud)]
        moved = np.abs(apart[0] - apart[1]).max(1)
        assert abs(int(moved.argmax()) - second * 30) <= 3 and moved[: int(second * 30) - 12].max() < 1e-3


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


def test_models_that_do_not_fit(hubert: Path, llama: Path, tmp_path: Path) -> None:
    for make in (
        lambda: SpeechEncoder(str(llama)), lambda: SpeechEncoder(str(tmp_path)), lambda: SpeechEncoder(str(hubert), 7),
        lambda: LanguageModelWords(str(hubert)), lambda: LanguageModelWords(str(llama), 9),
        lambda: LanguageModelWords(str(tmp_path / "none.gguf")),
    ):  # fmt: skip
        with pytest.raises(UserError, match="accepted|is needed") as e:
            make()
        assert "\n" not in str(e.value)


def test_a_model_that_lacks_weights_is_refused(hubert: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((hubert / "config.json").read_bytes())
    weights = load_file(hubert / "model.safetensors")
    kept = {k: v for k, v in weights.items() if "feed_forward" not in k}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="missing"):
        SpeechEncoder(str(tmp_path))
