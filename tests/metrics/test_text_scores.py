"""Caption scores against numbers worked out by hand."""

import math

import pytest

from avatargpt.metrics import text
from avatargpt.requests.english import lemma
from vqvae.errors import UserError

SAME = ["a person walks forward .", "a man jumps twice and sits down ."]
REFS = [[s] for s in SAME]


@pytest.mark.parametrize("tokens", [text.raw_tokens, text.lemma_tokens])
def test_a_perfect_caption_scores_100(tokens: text.Tokens) -> None:
    assert [text.bleu(SAME, REFS, order, tokens) for order in (1, 4)] == pytest.approx([100, 100])
    assert text.rouge_l(SAME, REFS, tokens) == pytest.approx(100)


def test_bleu1_clips_and_penalises_short() -> None:
    # "the the the": one of three unigrams is matched once in the reference of three words.
    assert text.bleu(["the the the"], [["the cat sat"]], 1) == pytest.approx(100 / 3)
    # All right but two of four words: brevity exp(1 - 4/2).
    assert text.bleu(["a b"], [["a b c d"]], 1) == pytest.approx(100 * math.exp(-1))


def test_bleu4_is_the_geometric_mean() -> None:
    # 5 of 6 words, 4/5, 3/4, 2/3 higher orders match.
    expected = 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert text.bleu(["a b c d e x"], [["a b c d e f"]], 4) == pytest.approx(expected)


def test_the_best_of_several_references_counts() -> None:
    refs = [["x y z", "a b c"], ["d e f"]]
    assert text.bleu(["a b c", "d e f"], refs, 1) == pytest.approx(100)
    assert text.rouge_l(["a b c", "d e f"], refs) == pytest.approx(100)


def test_rouge_l_is_f1_of_the_longest_common_subsequence() -> None:
    # LCS "a c d" = 3 of 4 candidate words, of 5 reference words.
    assert text.rouge_l(["a c x d"], [["a b c d e"]]) == pytest.approx(100 * 2 * 3 / (4 + 5))


def test_lemma_variant_forgives_inflection_and_punctuation_raw_does_not() -> None:
    candidate, reference = ["A person is walking"], [["a person walks."]]
    assert text.lemma_tokens(candidate[0]) == ["a", "person", "be", "walk"]
    assert text.rouge_l(candidate, reference, text.lemma_tokens) == pytest.approx(100 * 2 * 3 / 7)
    assert text.rouge_l(candidate, reference) == pytest.approx(100 * 2 * 2 / 8)


def test_cider_of_perfect_captions_with_nothing_in_common_is_10() -> None:
    captions = ["one two three four", "five six seven eight"]
    assert text.cider(captions, [[c] for c in captions]) == pytest.approx(10)


def test_cider_by_hand() -> None:
    # Items "a b" and "c d": every n-gram has idf ln 2. Candidate 1 "a x": unigram cosine = 1/2 (x weighs ln 2 as well,
    # unseen n-grams count as in one document); no bigram in common; orders 3 and 4 empty. Candidate 2 shares nothing.
    got = text.cider(["a x", "y z"], [["a b"], ["c d"]])
    assert got == pytest.approx(10 * (0.5 / 4) / 2)


def test_cider_clips_repeats_and_penalises_length() -> None:
    # "a a" against "a b": min(2, 1) * 1 / (2 * sqrt 2); against "a b" with 6 more words the length factor is exp(-1/2).
    short = text.cider(["a a", "q"], [["a b"], ["c d"]])
    assert short == pytest.approx(10 * (1 / (2 * math.sqrt(2)) / 4) / 2)
    longer = text.cider(["a", "q"], [["a b c d e f g"], ["x y"]])
    assert longer == pytest.approx(10 * (1 / math.sqrt(7) / 4) * math.exp(-0.5) / 2)


def test_words_in_every_reference_weigh_nothing() -> None:
    assert text.cider(["a", "a"], [["a b"], ["a c"]]) == 0


@pytest.mark.parametrize(("word", "expected"), [
    ("walks", "walk"), ("walking", "walk"), ("walked", "walk"), ("stepped", "step"), ("stepping", "step"),
    ("waving", "wave"), ("waves", "wave"), ("dancing", "dance"), ("running", "run"), ("ran", "run"), ("sat", "sit"),
    ("jogging", "jog"), ("kicks", "kick"), ("crouches", "crouch"), ("punches", "punch"), ("carries", "carry"),
    ("feet", "foot"), ("left", "left"), ("across", "across"), ("is", "be"), ("something", "something"),
    ("falling", "fall"), ("crossing", "cross"), ("turns", "turn"), ("raised", "raise"), ("an", "a"), ("this", "this"),
])  # fmt: skip
def test_lemma(word: str, expected: str) -> None:
    assert lemma(word) == expected


def test_bad_shapes() -> None:
    with pytest.raises(ValueError, match="one non-empty"):
        text.bleu(["a"], ["a reference that is not in a list"], 1)
    with pytest.raises(ValueError, match="one non-empty"):
        text.cider(["a", "b"], [["a"]])


def test_what_is_not_installed_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'need sacrebleu and rouge-score: pip install "avatargpt\[eval\]"'):
        text.needs_packages()
