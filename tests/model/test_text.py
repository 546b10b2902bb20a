"""The sentencepiece tokenizer and the frozen sentence encoder."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from avatargpt.lm.text_encoder import EOS, PAD, SPIECE, UNK, SentenceGrounder, TextTokenizer
from vqvae.errors import UserError

WHO = ("a person", "someone", "the figure", "a man")
WHAT = ("walks forward", "waves with the left hand", "bows deeply", "runs in a circle", "kicks with the right foot")
LINES = [f"{who} {what}{more}." for who in WHO for what in WHAT for more in ("", " and turns left", ", then sits down")]


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    return TextTokenizer.train(LINES, 400)


def test_round_trip_of_known_sentences_in_lower_case(text: TextTokenizer) -> None:
    for line in LINES:
        ids = text.encode(line)
        assert text.decode(ids) == line and min(ids) > UNK and max(ids) < text.size
    assert text.encode("A Person WALKS forward.") == text.encode("a person walks forward.")


def test_nothing_is_unreadable(text: TextTokenizer) -> None:
    for strange in ("zephyr quokka 42", "größer – né", "歩く", "🕺"):
        ids = text.encode(strange)
        assert UNK not in ids and text.decode(ids) == strange


def test_words_of_the_corpus_and_prompt_marks_are_few_pieces(text: TextTokenizer) -> None:
    assert len(text.encode("walks forward")) < len(text.encode("zqxjk vwyqp"))
    for mark in ("[instruction]", "[input]", "[response]"):
        with_mark, without = text.encode(f"a person {mark} walks"), text.encode("a person walks")
        assert len(with_mark) <= len(without) + 2
        assert mark in text.decode(with_mark)


def test_decode_stops_at_the_end_and_leaves_out_what_is_no_piece(text: TextTokenizer) -> None:
    ids = text.encode("a person walks")
    assert text.decode([PAD, *ids, EOS, *text.encode("someone bows")]) == "a person walks"
    assert text.decode([-1, *ids, text.size, text.size + 500, PAD]) == "a person walks"
    assert text.decode([]) == "" and text.decode([EOS]) == ""


def test_training_is_repeatable_and_saves(tmp_path: Path, text: TextTokenizer) -> None:
    TextTokenizer.train(LINES, 400, tmp_path / "trained")
    text.save(tmp_path / "saved")
    read = TextTokenizer.load(tmp_path / "trained")
    same = TextTokenizer.load(tmp_path / "saved")
    assert read.size == same.size == text.size
    assert all(read.encode(line) == same.encode(line) == text.encode(line) for line in LINES)


def test_missing_and_damaged_files_are_named(tmp_path: Path, text: TextTokenizer) -> None:
    with pytest.raises(UserError, match=f"{SPIECE}: no such file"):
        TextTokenizer.load(tmp_path)
    path = text.save(tmp_path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2 + 1], b"not a model"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=f"{SPIECE}: not a sentencepiece model"):
            TextTokenizer.load(tmp_path)


class Counting(SentenceGrounder):
    """Notes which texts were really computed."""

    def __init__(self, **options: int) -> None:
        super().__init__(**options)
        self.computed: list[str] = []

    def _compute(self, texts: list[str], bf16: bool) -> list[np.ndarray]:  # type: ignore[override]
        self.computed += texts
        return super()._compute(texts, bf16)


@pytest.fixture(scope="module")
def grounder() -> SentenceGrounder:
    return SentenceGrounder()


def test_states_have_one_row_per_token_whatever_the_batch(grounder: SentenceGrounder) -> None:
    texts = ["a person walks", "he waves goodbye to his friends at the end of the long road", "bow"]
    together = grounder.states(texts)
    assert [s.dtype for s in together] == [np.float16] * 3
    assert [s.shape for s in together] == [(5, 384), (15, 384), (3, 384)]  # with the marks at both ends
    for t, s in zip(texts, together, strict=True):
        alone = SentenceGrounder()
        alone._model, alone._tokenizer = grounder._model, grounder._tokenizer
        np.testing.assert_allclose(alone.states([t])[0], s, atol=2e-3)


def test_threads_share_one() -> None:
    class Slow(SentenceGrounder):
        def _compute(self, texts: Sequence[str], bf16: bool) -> list[np.ndarray]:
            time.sleep(0.001)
            return [np.full((1, 384), hash(t) % 97, np.float16) for t in texts]

    one = Slow(cache_size=5)

    def consistent(seed: int) -> bool:
        texts = [f"smile {(seed * k) % 11}" for k in range(40)]
        return all(one.states([t, "nod"])[0][0, 0] == hash(t) % 97 for t in texts)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(consistent, range(1, 9)))


def test_sentences_of_like_meaning_are_near(grounder: SentenceGrounder) -> None:
    assert SentenceGrounder(max_tokens=8).states(["walk " * 50])[0].shape == (8, 384)  # long texts are cut
    v = grounder.sentence(["a person strolls along", "somebody goes for a walk", "he swings a sword"])
    assert v.shape == (3, 384) and v.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)
    assert v[0] @ v[1] > v[0] @ v[2] + 0.2


def test_a_text_is_computed_once_and_the_oldest_is_forgotten_first() -> None:
    counting = Counting()
    first = counting.states(["a person walks", "A  person   WALKS", "bow"])
    again = counting.states(["bow", "a person walks"])
    assert counting.computed == ["a person walks", "bow"]
    assert np.array_equal(first[0], first[1]) and np.array_equal(again[1], first[0])
    small = Counting(cache_size=2)
    assert len(small.states(["one", "two", "three"])) == 3  # more than fit are still answered
    small.states(["three", "two"])
    small.states(["one"])
    assert small.computed == ["one", "two", "three", "one"]


def test_states_are_stored_for_training(tmp_path: Path, grounder: SentenceGrounder) -> None:
    texts = ["A person walks", "bow", "bow"]
    grounder.save_states(texts, tmp_path)
    counting = Counting()
    assert counting.load_states(tmp_path) == 2
    read = counting.states(["a person walks", "bow"])
    assert counting.computed == []
    for stored, fresh in zip(read, grounder.states(["a person walks", "bow"]), strict=True):
        assert stored.shape == fresh.shape
        # Computed in bfloat16, which keeps 8 bits: near, not equal.
        assert np.abs(stored.astype(np.float32) - fresh.astype(np.float32)).max() < 0.1


def test_states_computed_alone_do_not_depend_on_their_company() -> None:
    text, longer = "a person walks", "a person walks along a winding path and waves to everybody on the other side"
    one, (both, _) = SentenceGrounder(alone=True).states([text]), SentenceGrounder(alone=True).states([text, longer])
    assert (one[0] == both).all()
