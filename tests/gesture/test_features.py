"""Prosody and word rows of the gesture network; pretrained encoders of words."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.gesture.features import WIDTH, ProsodyStream, WordRows, prosody
from avatargpt.gesture.word_encoders import LanguageModelWords, SentenceWords
from avatargpt.speech.audio import frames_in
from tests.gesture.conftest import Spelling, Word
from vqvae.errors import UserError


def clicks(seconds: float, rate: int) -> np.ndarray:
    """Bursts of noise, one at every half second, over a faint hiss."""
    rng = np.random.default_rng(0)
    wave = 1e-3 * rng.standard_normal(round(seconds * rate))
    for start in np.arange(0.5, seconds, 0.5):
        wave[round(start * rate) : round((start + 0.1) * rate)] += 0.2 * rng.standard_normal(round(0.1 * rate))
    return wave.astype(np.float32)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_prosody_does_not_depend_on_chunks_and_counts_samples(rate: int) -> None:
    sound = clicks(2.37, rate)
    whole = prosody(sound, rate)
    assert whole.shape == (frames_in(len(sound), rate), WIDTH) and np.isfinite(whole).all()
    for chunk in (rate // 100, 997, rate):
        stream = ProsodyStream(rate)
        parts = [stream.push(sound[i : i + chunk]) for i in range(0, len(sound), chunk)]
        assert np.array_equal(np.concatenate([*parts, stream.end()[0]]), whole)


def test_rows_are_never_ahead_of_whole_frames() -> None:
    """At 16 kHz some frames end a third of a sample before their last one is whole."""
    for samples in range(2130, 2140):
        stream = ProsodyStream()
        assert len(stream.push(np.zeros(samples, np.float32))) <= samples * 30 // 16_000
        assert len(prosody(np.zeros(samples, np.float32), 16_000)) == frames_in(samples, 16_000)


def test_onsets_rise_where_bursts_begin() -> None:
    onset = prosody(clicks(3.0, 16_000), 16_000)[:, -4:].max(1)
    assert set(np.argsort(onset)[-5:]) == {15, 30, 45, 60, 75}


def test_a_word_covers_its_frames_and_silence_is_zero() -> None:
    words = [Word("so", 0.5, 0.7), Word("there", 0.7, 1.0), Word("now", 3.0, 3.001)]
    made = WordRows(Spelling(), words).take(120)
    spoken = np.flatnonzero(made.any(1))
    assert spoken.tolist() == [*range(15, 30), 90]
    assert np.array_equal(made[15], made[20]) and not np.array_equal(made[20], made[21])


def test_words_do_not_depend_on_how_they_are_taken_and_are_forgotten() -> None:
    words = [Word(f"w{i}", 0.2 * i, 0.2 * i + 0.15) for i in range(100)]
    encoder = Spelling()
    track = WordRows(encoder, words)
    parts = [track.take(7) for _ in range(90)]
    assert np.array_equal(np.concatenate(parts), WordRows(Spelling(), words).take(630))
    assert not track._phrases and not track._encoded
    assert max(map(len, encoder.calls)) <= 48 and encoder.calls[1][:16] == [f"w{i}" for i in range(16, 32)]


@pytest.mark.parametrize("words", [
    [Word("a", 1.0, 0.5)], [Word("a", float("nan"), 1.0)], [Word("a", -1.0, 1.0)], [Word("a", 2, 3), Word("b", 1, 2)],
])  # fmt: skip
def test_word_times_that_make_no_sense(words: list[Word]) -> None:
    with pytest.raises(UserError, match="word"):
        WordRows(Spelling(), words)


def test_the_sentence_encoder_gives_each_word_its_last_piece() -> None:
    encoder = SentenceWords()
    made = encoder.states(["Unbelievably", "", "good", "\u200b", "coffee!"])
    assert made.shape == (5, 384)
    assert [bool(row.any()) for row in made] == [True, False, True, False, True]
    other = encoder.states(["unbelievably", "bad", "coffee"])
    assert np.linalg.norm(other[2] - made[4]) < np.linalg.norm(other[1] - made[4])


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
    for name in (tmp_path, tmp_path / "none"):
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
