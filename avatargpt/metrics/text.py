"""Scores of captions against references: BLEU-1, BLEU-4, ROUGE-L, CIDEr-D.

Figures of two kinds of tokens differ a lot:
- `raw_tokens`: the sentences as they are (lower-cased words and punctuation), as MotionGPT's table on raw sentences;
- `lemma_tokens`: words without punctuation, reduced by `avatargpt.requests.english.lemma`, in the manner of TM2T's
  processed references (there by spaCy, so figures resemble but do not equal theirs).

Arguments everywhere: one candidate per item, and per item one or more references. All scores are 0..100 but CIDEr,
which is 10 x the mean similarity, usually 0..10 (papers often print it x 10 again).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from avatargpt.requests.english import lemma
from vqvae.errors import UserError

_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[^\sa-z0-9]")


def raw_tokens(sentence: str) -> list[str]:
    """Lower-cased words and punctuation marks."""
    return _TOKEN.findall(sentence.lower())


PACKAGES = {"sacrebleu": "sacrebleu", "rouge-score": "rouge_score"}
_Grams = Counter[tuple[str, ...]]
References = Sequence[Sequence[str]]
Tokens = Callable[[str], list[str]]


def lemma_tokens(sentence: str) -> list[str]:
    """Lemmas of the words, punctuation left out."""
    return [lemma(t) for t in raw_tokens(sentence) if t[0].isalnum()]


def needs_packages() -> None:
    """What BLEU and ROUGE need is installed: asked before the work whose result they judge."""
    from importlib.util import find_spec

    missing = [name for name, module in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UserError(f'BLEU and ROUGE need {" and ".join(missing)}: pip install "avatargpt[eval]"')


def _check(candidates: Sequence[str], references: References) -> None:
    if not candidates or len(candidates) != len(references) or any(isinstance(r, str) or not r for r in references):
        raise ValueError(f"{len(candidates)} candidates, {len(references)} lists of references; need one non-empty "
                         "list per candidate")  # fmt: skip


def bleu(candidates: Sequence[str], references: References, order: int, tokens: Tokens = raw_tokens) -> float:
    """Corpus BLEU with 1- to `order`-grams, 0..100; empty orders are smoothed exponentially.

    Source: Papineni et al. 2002, by sacrebleu (brevity: closest length).
    """
    needs_packages()
    from sacrebleu.metrics import BLEU

    _check(candidates, references)
    count = max(map(len, references))
    # sacrebleu wants equally many references per item; a repeated one changes neither matches nor lengths.
    columns = [[" ".join(tokens(r[k % len(r)])) for r in references] for k in range(count)]
    # Sentences are tokenised already; force silences the warning about it.
    metric = BLEU(tokenize="none", force=True, max_ngram_order=order, smooth_method="exp")
    return float(metric.corpus_score([" ".join(tokens(c)) for c in candidates], columns).score)


def rouge_l(candidates: Sequence[str], references: References, tokens: Tokens = raw_tokens) -> float:
    """ROUGE-L: F1 of the longest common subsequence, the best reference per item, mean x 100. Source: Lin 2004."""
    needs_packages()
    from rouge_score.rouge_scorer import RougeScorer

    _check(candidates, references)

    class Tokenizer:
        def tokenize(self, text: str) -> list[str]:
            return tokens(text)

    scorer = RougeScorer(["rougeL"], tokenizer=Tokenizer())
    best = [scorer.score_multi(list(r), c)["rougeL"].fmeasure for c, r in zip(candidates, references, strict=True)]
    return 100 * math.fsum(best) / len(best)


def _ngrams(tokens: list[str], order: int) -> _Grams:
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def cider(candidates: Sequence[str], references: References, tokens: Tokens = raw_tokens) -> float:
    """CIDEr-D: 10 x mean tf-idf similarity of clipped 1- to 4-grams, Gaussian length penalty sigma 6.

    Document frequencies come from the references (one document per item), so the figure depends on the set; n-grams
    in the references of every item weigh nothing, and a single item scores 0. No stemming.
    Source: Vedantam et al. 2015.
    """
    _check(candidates, references)
    hyps, refs = [tokens(c) for c in candidates], [[tokens(s) for s in r] for r in references]
    total = 0.0
    for order in range(1, 5):
        counts = [[_ngrams(s, order) for s in r] for r in refs]
        frequency = Counter(gram for r in counts for gram in set().union(*r))

        def weigh(c: _Grams, df: _Grams = frequency) -> dict[tuple[str, ...], float]:
            return {gram: n * (math.log(len(refs)) - math.log(max(1, df[gram]))) for gram, n in c.items()}

        for hyp, sentences, grams in zip(hyps, refs, counts, strict=True):
            h = weigh(_ngrams(hyp, order))
            h_norm = math.sqrt(math.fsum(v * v for v in h.values()))
            for sentence, r_counts in zip(sentences, grams, strict=True):
                r = weigh(r_counts)
                r_norm = math.sqrt(math.fsum(v * v for v in r.values()))
                if not h_norm or not r_norm:
                    continue
                dot = math.fsum(min(v, r[g]) * r[g] for g, v in h.items() if g in r)
                penalty = math.exp(-((len(hyp) - len(sentence)) ** 2) / (2 * 6.0**2))
                total += dot / (h_norm * r_norm) * penalty / (4 * len(sentences))
    return 10 * total / len(hyps)
