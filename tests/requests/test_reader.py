"""The reader of requests: trained, resumed, saved and asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.requests.reader import MAX_WORDS, RequestNetwork, RequestReader, reading_grounder, word_states
from avatargpt.train.loop import run
from avatargpt.train.request_reader import RequestRecipe, RequestStage, divided, exactness
from avatargpt.train.runtime import Runtime
from instruct_data.requests.pairs import Pair
from instruct_data.requests.ways import DOMAINS, all_ways, material
from vqvae.errors import UserError

CONFIG = f"{Path(__file__).parents[2] / 'configs' / 'requests.yaml'}:debug"


def trained(out: Path, until: int | None = None) -> RequestStage:
    recipe = RequestRecipe(**resolve(CONFIG))
    runtime = Runtime.start(1, "cpu")
    sources = {domain: (all_ways(domain), material(domain)) for domain in DOMAINS}
    stage = RequestStage(recipe, sources, runtime, reading_grounder(recipe.model))
    run(stage, out, runtime, until)
    return stage


def test_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole").mean
    trained(tmp_path / "parts", until=3)
    parts = trained(tmp_path / "parts").mean
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    reader = RequestReader.load(tmp_path / "whole")
    again = RequestReader.load(tmp_path / "parts")
    assert reader.read("walk, then wave twice").compact == again.read("walk, then wave twice").compact


def test_what_cannot_be_read() -> None:
    recipe = RequestRecipe(**resolve(CONFIG))
    reader = RequestReader(RequestNetwork(recipe.model))
    for text in ("  ", "go " * (MAX_WORDS + 1)):
        with pytest.raises(UserError, match="accepted: 1 to 96"):
            reader.read(text)
    # untrained, but under the grammar
    assert reader.read("don't ??? 3").clauses and reader.read_face("don't ??? 3").clauses
    assert all(p.act for p in reader.read_turn("don't ??? 3"))


def test_words_have_the_mean_of_their_pieces() -> None:
    grounder = reading_grounder(RequestRecipe().model)
    (states,) = word_states([["unhurriedly", "walk"]], grounder)
    whole = grounder.states(["unhurriedly walk"])[0].astype(np.float32)
    count = grounder.pieces("unhurriedly")
    assert count > 1 and states.shape == (2, 2 * 384)
    np.testing.assert_allclose(states[0], whole[1 : 1 + count].mean(0), atol=2e-3)
    np.testing.assert_allclose(states[1], whole[1 + count], atol=2e-3)


def test_held_out_templates_and_actions_are_learnt_nowhere() -> None:
    pairs, apart = divided(all_ways(), material(), 12)
    assert not {w.text for w in pairs.ways} & {w.text for w in apart.ways}
    assert not {*pairs.words.actions} & {*apart.words.actions}


def test_exactness_counts_every_sort_of_token() -> None:
    class Says:
        def targets(self, texts: object, domain: str) -> list[tuple[list[str | int], list[float]]]:
            return [(["new", 0, "times=", "#2", "end"], []), (["new", 0, "side=left", "end"], [])]

    right: list[str | int] = ["new", 0, "times=", "#2", "end"]
    found = exactness(Says(), [Pair(["walk", "twice"], right)] * 2, "body")  # type: ignore[arg-type]
    assert found == {"body/exact": 0.5, "body/clause": 1.0, "body/times": 0.5, "body/side": 0.0}
