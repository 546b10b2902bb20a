"""Augmentation in one place: words (mirroring, variation, paraphrase, composition) and clips (joining)."""

from instruct_data.joining import Fit, best_partner, join_best, join_motions, suits
from instruct_data.text.captions import CaptionBank, bank_style, compose, infer_action
from instruct_data.text.facts import Facts, clip_facts
from instruct_data.text.lexicon import everyday, predicates
from instruct_data.text.mirror import mirror_action, mirror_text, side_of
from instruct_data.text.rewrites import Rewrite, Rewrites
from instruct_data.text.vary import gerund, imperative, keywords, vary, with_subject

__all__ = [
    "CaptionBank", "Facts", "Fit", "Rewrite", "Rewrites", "bank_style", "best_partner", "clip_facts", "compose",
    "everyday", "gerund", "imperative", "infer_action", "join_best", "join_motions", "keywords", "mirror_action",
    "mirror_text", "predicates", "side_of", "suits", "vary", "with_subject",
]  # fmt: skip
