"""The training of the reading network, on a handful of texts: resumed, gone on with, packed; what it learns from."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.reading.network import ReadingConfig, ReadingNetwork
from avatargpt.reading.reader import Reader
from avatargpt.reading.store import load_network, save_network
from avatargpt.train.loop import run
from avatargpt.train.reading import COMPOSED_FIELDS, POOL, ReadingRecipe, ReadingStage, mean_vectors, take_over
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import StepContext
from instruct_data.reading.examples import FILES, read_authors
from tests.train.conftest import CONFIGS, CPU, Mini, Refused
from vqvae.errors import UserError

RUNTIME = Runtime(0, 1, torch.device("cpu"), bf16=False)
PHRASINGS = [("a person walks", "walk"), ("someone strolls", "walk"), ("a person waves", "wave"), ("he bows", "bow")]
CLAUSE = {"words": "wave left hand", "do": "a person waves the left hand", "action": "wave", "side": "left"}
SHARES = {"read": 0.4, "turn": 0.2, "score": 0.2, "events": 0.2}  # of the steps
LINES: dict[str, list[dict[str, Any]]] = {
    "body_01": [
        {"text": "wave the left hand", "clauses": [CLAUSE]},
        {"text": "walk 3 m, then bow twice", "loop": True, "clauses": [
            {"words": "walk", "do": "a person walks", "action": "walk", "distance": 3},
            {"words": "bow", "do": "a person bows", "action": "bow", "times": 2},
        ]},
        {"text": "levitate in the dark", "unknown": ["in the dark"],
         "clauses": [{"words": "levitate", "do": "a person levitates", "action": None}]},
    ],
    "composed": [{"text": "step left", "clauses": [{"words": "step", "do": "a person steps", "action": "walk"}]}],
    "body_17": [{"text": "wave at me with the left hand", "clauses": [CLAUSE]}],
    "chat_01": [{"turns": [
        {"user": "walk", "acts": [{"do": "make", "text": "a person walks"}], "timeline": ["1 walks 3s"]},
        {"user": "4 s", "acts": [{"do": "retime", "segment": 1, "seconds": 4}], "timeline": []},
    ]}],
    "chat_17": [{"turns": [{"user": "bow", "acts": [{"do": "make", "text": "a person bows"}], "timeline": []}]}],
    "face_01": [{"text": "smile at 2 s", "face": [{"words": "smile", "name": "smile", "at": 2}]}],
    "scenes_01": [
        {"scene": "He bows.", "person": "he", "events": [{"words": "bows", "do": "he bows", "action": "bow"}]},
        {"scene": "It is late.", "person": "it", "events": []},
    ],
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for author, rows in LINES.items():
        (folder / f"{author}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def stage_of(texts: Path, start: Path | None = None, phrasings: Any = PHRASINGS, **train: Any) -> ReadingStage:
    config = resolve(f"{CONFIGS / 'reading.yaml'}:debug")
    config["train"] |= {"tasks": SHARES, **train}
    config["model"]["trained"] = 5  # the last layer of the encoder alone, for the time that files take
    recipe = ReadingRecipe.read(config | {"validation": ["body_17", "chat_17"]}, "configuration")
    people = {task: read_authors([texts], task) for task in FILES}
    return ReadingStage(recipe, people, phrasings, RUNTIME, None if start is None else str(start))


def trained(texts: Path, out: Path, until: int | None = None, **about: Any) -> ReadingStage:
    stage = stage_of(texts, **about)
    run(stage, out, RUNTIME, until)
    return stage


def test_a_resumed_run_is_the_same(texts: Path, tmp_path: Path) -> None:
    whole = trained(texts, tmp_path / "whole").mean
    trained(texts, tmp_path / "parts", until=3)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 3
    parts = trained(texts, tmp_path / "parts").mean
    assert whole.keys() == parts.keys() and [k for k in whole if not torch.equal(whole[k], parts[k])] == []
    saved = load_network(tmp_path / "parts")
    assert saved is not None and all(torch.equal(v, whole[k]) for k, v in saved.state_dict().items())
    assert saved.config.tables == {"actions": ["bow", "walk", "wave"], "faces": ["smile"]}
    figures = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    told = set().union(*figures)
    assert {"loss", "body_17/full", "body_17/exact", "chat_17/acts", "chat_17/exact"} <= told
    assert all(np.isfinite(row["loss"]) for row in figures if "loss" in row)


def test_what_it_is_shown_it_learns(texts: Path) -> None:
    """The losses of a step fall when it is taken again and again."""
    stage = stage_of(texts, batch=2, lr=1e-3, misspelt=0.0)
    first = []
    for _ in range(12):
        torch.manual_seed(0)
        loss, _ = stage.losses(stage.module, StepContext(0, 0, 1, 0))
        stage.optimizer.zero_grad()
        loss.backward()
        stage.optimizer.step()
        first.append(loss.item())
    assert first[-1] < 0.7 * first[0]


def test_steps_are_of_the_tasks_and_learn_nothing_of_who_validates(texts: Path) -> None:
    stage = stage_of(texts, batch=4, misspelt=0.0)
    counts, shown, fields = Counter[str](), set(), set()
    for number in range(40):
        pool = stage._pool_examples(np.random.default_rng(number))
        assert len(pool) == POOL
        for task, drawn in pool:
            counts[task] += 1
            assert len(drawn) == (2 if task == "turn" else 4), "turns are long"
            shown |= {d.example.text[d.example.asked :] for d in drawn}
            fields |= {d.fields for d in drawn if d.example.text == "step left"}
    assert {task: count / counts.total() for task, count in counts.items()} == pytest.approx(SHARES, abs=0.07)
    assert {"walk 3 m, then bow twice", "4 s", "smile at 2 s", "It is late.", "someone strolls"} <= shown
    assert not {"wave at me with the left hand", "bow"} & shown
    assert fields == {COMPOSED_FIELDS}, "of whose words sides and directions are no part"
    assert "action" in COMPOSED_FIELDS and "words" not in COMPOSED_FIELDS
    assert {(task, author): len(rows) for (task, author), rows in stage.val.items()} == {
        ("read", "body_17"): 1, ("turn", "chat_17"): 1,
    }  # fmt: skip


def test_texts_of_every_task_are_needed(texts: Path) -> None:
    recipe = ReadingRecipe.read(resolve(f"{CONFIGS / 'reading.yaml'}:debug"), "configuration")
    people = {task: read_authors([texts], task) for task in FILES}
    with pytest.raises(UserError, match=r"no texts to learn score from; accepted: folders with face\*\.jsonl"):
        ReadingStage(recipe, people | {"score": []}, PHRASINGS, RUNTIME)


def test_a_run_goes_on_from_another_network(texts: Path, tmp_path: Path) -> None:
    """With another table of names: what both know is taken over."""
    before = trained(texts, tmp_path / "before").copy_network().network
    grown = [*PHRASINGS, ("a cat naps", "nap")]
    after = stage_of(texts, tmp_path / "before", grown).network
    (old,), (new,) = ([n.config.tables["actions"]] for n in (before, after))
    assert new == ["bow", "nap", "walk", "wave"]
    for name in (*old, None):
        a, b = (len(t) if name is None else t.index(name) for t in (old, new))
        assert torch.equal(before.names["actions"][a], after.names["actions"][b])
        assert torch.equal(before.name_bias["actions"][a], after.name_bias["actions"][b])
    torch.testing.assert_close(after.names["actions"][1], mean_vectors(grown, new, 0)[1], atol=1e-3, rtol=0.0)
    own = [n for n, _ in after.named_parameters() if not n.startswith(("names.", "name_bias."))]
    states = before.state_dict()
    assert own and [n for n in own if not torch.equal(after.state_dict()[n], states[n])] == []
    with pytest.raises(UserError, match="no reading network there"):
        stage_of(texts, tmp_path)


def test_the_mean_of_two_runs_goes_on(texts: Path, tmp_path: Path) -> None:
    one, two = (trained(texts, tmp_path / name) for name in ("one", "two"))
    with torch.no_grad():
        two.network.more.weight += 1.0
    save_network(two.network, tmp_path / "two", None)
    mean = stage_of(texts, f"{tmp_path / 'one'},{tmp_path / 'two'}", PHRASINGS).network  # type: ignore[arg-type]
    first = one.copy_network().network.more.weight
    torch.testing.assert_close(mean.more.weight, (first + two.network.more.weight) / 2)


def test_pieces_that_both_networks_write_are_taken_over(texts: Path, tmp_path: Path) -> None:
    """In whichever place they are."""
    shape: dict[str, Any] = {"hidden": 32, "heads": 2, "layers": 1, "wide": 16, "writer": [5]}
    one, other = (ReadingNetwork(ReadingConfig(spoken=s, **shape), start=False) for s in ([2, 5, 9], [5, 7, 9]))
    one.writer.bias.data, other.writer.bias.data = torch.tensor([0.2, 0.5, 0.9]), torch.tensor([1.5, 1.7, 1.9])
    take_over(other, one)
    assert other.writer.bias.tolist() == pytest.approx([0.5, 1.7, 0.9])


def test_names_begin_as_their_phrasings() -> None:
    vectors = mean_vectors(PHRASINGS, ["wave", "walk", "bow"], 0)
    assert vectors.shape == (3, 384) and torch.allclose(vectors.norm(dim=-1), torch.ones(3))
    texts = ["a person waves", "a person walks", "someone strolls"]
    wave, walk, stroll = torch.from_numpy(SentenceGrounder(cache_size=0).sentence(texts))
    torch.testing.assert_close(vectors[0], wave, atol=1e-3, rtol=0.0)
    assert min(vectors[1] @ walk, vectors[1] @ stroll) > walk @ stroll  # between them


def test_the_stage_is_run_by_its_command(texts: Path, tmp_path: Path, refused: Refused) -> None:
    config = ["reading", "--config", f"{CONFIGS / 'reading.yaml'}:debug", "--set=train.steps=2", *CPU]
    Mini.run(*config, "--texts", texts, "-o", tmp_path / "run")
    network = load_network(tmp_path / "run")
    assert network is not None and len(network.config.tables["actions"]) > 1000, "those of the packaged index"
    assert Reader(network).read(["walk"])[0].items
    (tmp_path / "none").mkdir()
    line = refused(*config, "--texts", tmp_path / "none", "-o", tmp_path / "other")
    assert "no texts to learn read from" in line and not (tmp_path / "other").exists()
