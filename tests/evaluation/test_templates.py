"""The suite of instructions that training does not have."""

import numpy as np

from avatargpt.evaluation import suites
from avatargpt.evaluation.templates import Pairs, _likelihoods
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.text_encoder import TextTokenizer
from instruct_data.registry import get_task
from tests.factories import language_model, random_tokenizer

BODY = {"codebook_size": 20, "levels": 2, "code_dim": 6}


def test_its_templates_are_unseen_and_take_what_the_task_needs() -> None:
    for name, unseen in suites.load("templates").options["unseen"].items():
        task = get_task(name)
        assert len(unseen) == len(set(unseen)) >= 5 and not set(unseen) & set(task.templates), name
        needed = {s.name for s in task.inputs if s.required}
        assert len(task.model_copy(update={"templates": list(unseen)}).eligible(needed)) == len(unseen), name


def test_each_clip_is_compared_with_the_next_ones() -> None:
    text = TextTokenizer.train(["a person walks", "a person waves", "a person sits down"] * 5, 300)
    tokenizers = {"body": random_tokenizer("body", 0, 0.2, 0.3, downsample=4, **BODY)}
    loaded = LoadedModel(language_model(text, tokenizers, {"body": BODY}, 2), text, tokenizers)
    codes = [np.random.default_rng(i).integers(0, 20, (6, 2)) for i in range(3)]
    words = ["a person walks", "a person waves", "a person walks"]
    pairs = Pairs(loaded, codes, words, words)
    for name in ("text_to_motion", "motion_to_text"):
        table = _likelihoods(pairs, get_task(name), 2)
        assert table.shape == (3, 3) and np.isfinite(table).all() and (table < 0).all()
        # The second of the clips beside the first has the first's words.
        np.testing.assert_allclose(table[0, 2], table[0, 0], rtol=1e-4)
        assert abs(table[0, 1] - table[0, 0]) > 1e-4
