"""Prosody and word rows of the gesture network; pretrained encoders of words."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.gesture.features import (
    BEHIND,
    COMING,
    SLOTS,
    WIDTH,
    ProsodyStream,
    WordRows,
    near_words,
    prosody,
    stress_time,
)
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


def test_frames_have_the_words_whose_stress_is_near() -> None:
    words = [Word("so", 2.0, 2.2), Word("there", 2.2, 2.5), Word("now", 6.0, 6.3)]
    made = WordRows(Spelling(), words, 12).take(240).reshape(240, SLOTS, 9)
    stress = [stress_time(w) for w in words]
    states = Spelling().states(["so", "there", "now"])
    for row in range(240):
        frame = (row - 12) / 30  # the sound is twelve frames ahead of the motion
        near = [k for k, at in enumerate(stress) if -BEHIND < at - frame <= COMING]
        assert made[row].any(-1).sum() == len(near)
        for slot, k in zip(made[row], sorted(near, key=lambda k: abs(stress[k] - frame)), strict=False):
            assert np.allclose(slot[:8], states[k]) and slot[8] == pytest.approx(stress[k] - frame, abs=1e-5)
    crowd = near_words(np.ones((20, 8), np.float32), np.linspace(0.9, 1.1, 20), np.array([1.0]))
    until = crowd.reshape(SLOTS, 9)[:, 8]
    assert (np.abs(until) < 0.04).all() and len(set(until.tolist())) == SLOTS
    late = near_words(states, np.array(stress), np.arange(90) / 30, 0.2).reshape(90, SLOTS, 9)
    assert late[..., 8].max() <= 0.2 and late.any()


def test_words_do_not_depend_on_how_they_are_taken_and_are_forgotten() -> None:
    words = [Word(f"w{i}", 0.2 * i, 0.2 * i + 0.15) for i in range(100)]
    encoder = Spelling()
    track = WordRows(encoder, words)
    parts = [track.take(7) for _ in range(90)]
    assert np.array_equal(np.concatenate(parts), WordRows(Spelling(), words).take(630))
    assert not track._phrases and len(track._stress) < 5
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
