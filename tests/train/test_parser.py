"""What the reader learns from, batches of it, and its training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.face.instructions.network import ParserConfig, ParserNetwork, clock_times
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.face.instructions.scores import MAX_FILL
from avatargpt.lm.text_encoder import TunedLayers
from avatargpt.train import parser as data
from avatargpt.train import parser as stage
from avatargpt.train.loop import run
from avatargpt.train.parser import ParserBatches, ParserMaterial, ParserTraining, begin_with, material, rows_of
from avatargpt.train.runtime import Runtime
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score, expand_texts
from tests.factories import RandomGrounder, small_parser, written_scores
from vqvae.errors import UserError

SMALL = {
    "data": {"composed": 6, "timed": 4, "joined": 4, "held": 3},
    "model": {"width": 16, "hidden": 16, "heads": 2, "encoder": 1, "decoder": 1, "layers": [6], "rank": 0},
    "train": {"steps": 6, "batch": 4, "warmup": 2, "log_every": 2, "save_every": 3, "val_every": 6},
}
RUNTIME = Runtime(0, 1, torch.device("cpu"), bf16=False)


pytestmark = pytest.mark.usefixtures("no_pictures")


def train(
    config: dict[str, Any], out: Path, count: int = 12, until: int | None = None, start: Path | None = None
) -> InstructionParser:
    """A parser trained by a configuration as a file holds it."""
    recipe = stage.ParserRecipe.read(config, "configuration")
    training = stage.ParserStage(recipe, written_scores(count), RUNTIME, RandomGrounder(), start=start)
    run(training, out, RUNTIME, until)
    return training.copy_network()


def test_training_resumes_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    unbroken, parts = train(SMALL, tmp_path / "unbroken"), tmp_path / "parts"
    train(SMALL, parts, until=3)
    assert torch.load(parts / "checkpoint.pt", weights_only=True)["step"] == 3
    train(SMALL, parts)
    resumed = InstructionParser.load(parts)
    for a, b in zip(unbroken.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "bad",
    [
        {"train": {"stepz": 1}}, {"model": {"widht": 1}}, {"data": {"held": 1}}, {"model": {"heads": 3}},
        {"data": {"written_share": 0.9, "joined_share": 0.9}}, {"data": {"named_share": -0.1}},
    ],
)  # fmt: skip
def test_mistakes_in_the_configuration(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        train({**SMALL, **bad}, tmp_path, 3)


def test_some_of_the_written_instructions() -> None:
    options = [ParserMaterial(written=n, composed=0, timed=0, joined=0, held=10) for n in (20, 0)]
    (part, part_held), (full, full_held) = (material(written_scores(60), o) for o in options)
    assert len(part_held) == 2 and len(full_held) == 6 and len(part["written"]) < len(full["written"]) / 2
    with pytest.raises(UserError, match="data: written: -1; accepted: greater than or equal to 0"):
        ParserMaterial.read({"written": -1}, "data")


def test_checkpoints_of_another_shape_are_refused(tmp_path: Path) -> None:
    train(SMALL, tmp_path, until=3)
    before = (tmp_path / "reader.json").read_bytes()
    for other in ({"heads": 4}, {"width": 24}):  # the first one shows in no tensor
        with pytest.raises(UserError, match=f"another shape .{next(iter(other))}: "):
            train({**SMALL, "model": {**SMALL["model"], **other}}, tmp_path)
    assert (tmp_path / "reader.json").read_bytes() == before


def test_parsers_of_another_shape_are_not_begun_with(tmp_path: Path) -> None:
    shape: dict[str, Any] = dict(width=16, hidden=16, layers=[0, 3], rank=2, kinds=["a", "b"], read_as="a")
    InstructionParser(ParserNetwork(ParserConfig(**shape))).save(tmp_path)
    for name, other in (("heads", {"heads": 2}), ("layers", {"layers": [0, 2]}), ("kinds", {"kinds": ["b", "a"]})):
        with pytest.raises(UserError, match=f"another shape than .*{name}"):
            begin_with(ParserNetwork(ParserConfig(**{**shape, **other})), tmp_path)


def test_material_keeps_the_held_out_apart() -> None:
    groups, held = material(written_scores(60), ParserMaterial(composed=5, joined=10, held=10))
    assert len(held) == 6 and len(groups["joined"]) == 10 and len(groups["composed"]) == 5
    texts = {s.text for s in groups["written"]}
    assert not texts & {s.text for s in held} and len(texts) >= 54


def test_words_held_out_are_learnt_in_no_form() -> None:
    options = ParserMaterial(composed=20, timed=4, joined=4, held=3, written_share=0.4, reworded_share=0.1)
    free, _ = material(written_scores(12), options)
    named = next(s for s in free["named"] if s.sided)
    excluded = [replace(named, text=named.text.upper() + "!"), free["composed"][0], free["reworded"][0]]
    rest, _ = material(written_scores(12), options, (), excluded)
    words = {data.bare(t) for s in excluded for t in (s.text, s.mirror().text)}
    free_words, rest_words = ({data.bare(s.text) for scores in g.values() for s in scores} for g in (free, rest))
    assert words & free_words >= {data.bare(s.text) for s in excluded} and not words & rest_words
    assert len(rest["named"]) == len(free["named"]) - 2  # it and its mirror image


def test_reworded_instructions_keep_their_score(tmp_path: Path) -> None:
    rows = expand_texts()
    assert len(rows) > 1000 and all(len({s.text for s in row}) == len(row) > 1 for row in rows)
    assert all(s.events == row[0].events and s.emotions == row[0].emotions for row in rows for s in row)
    held_out = [row[0] for row in rows[9::50]]
    options = ParserMaterial(composed=0, joined=5, held=10, timed=0, written_share=0.2, reworded_share=0.3)
    groups, out = material([*written_scores(9), held_out[0]], options)
    assert out == held_out[:1] and not {s.text for s in rows[9]} & {s.text for s in groups["reworded"]}
    texts = {s.text for row in rows for s in row}
    assert len(groups["reworded"]) > 1.2 * len(texts)  # with their mirror images
    assert not material(written_scores(9), ParserMaterial(composed=0, joined=5, held=9, timed=0))[0]["reworded"]
    bad = tmp_path / "bad.jsonl"
    for line, wrong in (("{", "line 1: not JSON"), ('{"texts": [], "length": 2}', "with 'texts'"),
                        ('{"texts": ["a"], "length": -1}', "line 1")):  # fmt: skip
        bad.write_text(line)
        with pytest.raises(UserError, match=wrong):
            expand_texts(bad)


def test_mirror_images_without_other_words_are_left_out() -> None:
    wink = Score(2.0, (Event("wink_left", 0.2, 0.5),), (), "One eye says hello, the sinister one.")
    assert data.with_mirrored([wink]) == [wink]
    nod = Score(2.0, (Event("turn_head_left", 0.2, 0.5),), (), "head: L, then back")
    assert [s.text for s in data.with_mirrored([nod])] == ["head: L, then back", "head: R, then back"]


def test_longer_clips_leave_actions_where_they_are() -> None:
    score = Score(3.0, (Event("nod", 0.2, 1.0),), (Emotion("happy", 0.5, 0.0, 3.0), Emotion("sad", 0.5, 0.0, 1.0)))
    later = data.longer(score, 4.0)
    assert later.length == 7.0 and later.events == score.events
    assert [f.end for f in later.emotions] == [7.0, 1.0]
    assert data.longer(score, 1000.0).length == MAX_SECONDS


def test_rows_that_begin_with_a_length_teach_what_suits_it() -> None:
    parser, scores = small_parser(lengths=True), written_scores(200)
    rows = rows_of(scores, parser, RandomGrounder())
    lengths = [float(parser.tokens.value(begin)) for begin, _ in rows.lengths]
    decoded = [parser.tokens.decode(tokens) for _, tokens in rows.lengths]
    assert all(abs(r.length - length) <= 0.5 for r, length in zip(decoded, lengths, strict=True))
    same = [tokens == other for tokens, (_, other) in zip(rows.tokens, rows.lengths, strict=True)]
    assert 0.03 < 1 - np.mean(same) < 0.2
    for score, length in zip(scores, lengths, strict=True):
        ratio = length / score.length
        assert abs(ratio - 1) < 0.4 or ratio > MAX_FILL - 0.3 or length == MAX_SECONDS

    def batches(**options: Any) -> ParserBatches:
        training = ParserTraining(**options)
        return ParserBatches({"written": rows}, ParserMaterial().shares, training, parser.network.begin, lengths=True)

    _, _, before, kinds, following = batches().draw(32, 0)
    assert kinds.tolist() == [-1] * 32  # of none: the parser learns no kinds
    for row, after in zip(before.tolist(), following.tolist(), strict=True):
        tokens = [t for t in after if t >= 0]
        assert tokens in rows.tokens if row[0] == parser.network.begin else (row[0], tokens) in rows.lengths
    assert not (batches(told=1.0).draw(32, 0)[2][:, 0] == parser.network.begin).any()


@pytest.mark.parametrize(
    ("kind", "count", "several"), [("sequenced", 3000, 0.7), ("further", 30_000, 0.6), ("siblings", 5000, 0.4)]
)
def test_further_written_instructions_have_their_own_share(kind: str, count: int, several: float) -> None:
    shares: dict[str, Any] = {"written_share": 0.2, f"{kind}_share": 0.3}
    groups, held = material(written_scores(20), ParserMaterial(composed=0, timed=0, joined=0, held=10, **shares))
    texts = {s.text for s in groups[kind]}
    assert len(texts) > count and not texts & {s.text for s in held} and len(held) > count // 10
    assert np.mean([len(s.events) >= 2 for s in groups[kind]]) > several
    assert not material(written_scores(20), ParserMaterial(composed=0, timed=0, joined=0, held=10))[0][kind]


def test_rows_know_their_kind() -> None:
    parser = small_parser(kinds=["corpus", "written"], read_as="corpus")
    shares = {"written_share": 0.4, "corpus_share": 0.3, "reworded_share": 0.1, "joined_share": 0.0, "named_share": 0.0}
    options = ParserMaterial(composed=9, timed=9, joined=0, held=10, **shares)
    groups, held = material(written_scores(40), options, written_scores(60)[40:])
    assert len(groups["corpus"]) >= 18 and not {s.text for s in groups["corpus"]} & {s.text for s in groups["written"]}
    rows = {k: rows_of(v[:40], parser, RandomGrounder(), kind=k) for k, v in groups.items()}
    known = {k: r.kind for k, r in rows.items() if r.tokens and r.kind >= 0}
    assert known == {"written": 1, "corpus": 0, "reworded": 0}
    batches = ParserBatches(rows, options.shares, ParserTraining(), parser.network.begin)
    kinds = np.concatenate([batches.draw(48, step)[3].numpy() for step in range(8)])
    for kind, share in ((-1, 0.2 + 0.1 * 0.8), (0, 0.4 * 0.9), (1, 0.4 * 0.9)):  # one in ten is not told
        assert abs((kinds == kind).mean() - share) < 0.08
    together, held = material(written_scores(40), options.replace_fields(corpus_share=0.0), written_scores(60)[40:])
    assert not together["corpus"] and len(together["written"]) > len(groups["written"])


def test_instructions_are_read_as_of_the_kind_that_is_said() -> None:
    torch.manual_seed(1)
    shape = {"width": 16, "hidden": 16, "heads": 2, "encoder": 1, "decoder": 1, "layers": [0], "rank": 0}
    network = ParserNetwork(ParserConfig(**shape, kinds=["corpus", "written"], read_as="written")).eval()
    plain = ParserNetwork(ParserConfig(**shape)).eval()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if k != "kinds"})
    with torch.no_grad():
        network.kinds.normal_()
    states, words = torch.randn(3, 5, 384), torch.ones(3, 5)
    both = network.encode(states, words, torch.tensor([-1, 0, 1]))
    assert torch.allclose(both[0], plain.encode(states, words)[0], atol=1e-6)
    usual = network.encode(states, words)
    assert torch.allclose(both[2], usual[2], atol=1e-6) and not torch.allclose(both[1], usual[1], atol=1e-2)
    with pytest.raises(UserError, match="read_as 'actors'; accepted: corpus"):
        ParserConfig.read({"kinds": ["corpus"], "read_as": "actors"}, "model")
    with pytest.raises(UserError, match="tuned 1"):
        ParserConfig.read({"layers": [0, 3], "tuned": 1}, "model")


def test_a_lower_rank_keeps_what_counts_most() -> None:
    torch.manual_seed(5)
    shape = ParserConfig(width=16, hidden=16, heads=2, encoder=1, decoder=1, layers=[0, 3], rank=6)
    network = ParserNetwork(shape).eval()
    with torch.no_grad():  # changes of rank 2, the rest hardly more than nothing
        for name, p in network.named_parameters():
            if name.endswith(".up"):
                p[:, :2].normal_()
                p[:, 2:].normal_(std=1e-5)
    states, words, tokens = torch.randn(2, 7, 768), torch.ones(2, 7), torch.randint(0, 40, (2, 9))
    right = network(states, words, tokens)
    for rank, equal in ((2, True), (1, False)):
        cut = network.with_rank(rank)
        assert cut.config.rank == rank and cut.tuned.layers[0].query.up.shape[1] == rank
        assert torch.allclose(cut(states, words, tokens), right, atol=1e-3) == equal
    assert network.with_rank(6) is network is network.with_rank(9)


def test_joined_instructions_follow_one_another() -> None:
    a = Score(2.0, (Event("smile", 0.2, 1.5),), (), "Smile.")
    b = Score(2.0, (Event("nod", 0.3, 0.8), Event("blink", 1.2, 0.4)), (), "Nod, then blink.")
    both = data.in_sequence(a, b, np.random.default_rng(0))
    assert [e.action for e in both.events] == ["smile", "nod", "blink"]
    assert both.events[1].start == pytest.approx(1.95) and both.length >= both.events[-1].end
    assert both.text.startswith("Smile") and "nod, then blink." in both.text


def test_feelings_join_with_feelings_and_with_actions() -> None:
    rng = np.random.default_rng(0)
    sad, glad = (Score(4.0, (), (Emotion(n, 0.7, 0.0, 4.0),), f"{n.title()}.") for n in ("sad", "happy"))
    turns = data.draw_feelings_in_turn(sad, glad, rng)
    assert [(f.name, f.start, f.end) for f in turns.emotions] == [("sad", 0.0, 2.5), ("happy", 2.5, 5.0)]
    assert turns.length == 5.0 and turns.text.startswith("Sad") and turns.text.endswith("appy.")
    nod = Score(2.0, (Event("nod", 0.3, 0.8),), (), "Nod.")
    both = [data.draw_feeling_meanwhile(sad, nod, rng) for _ in range(20)]
    assert all(b.kind == "both" and b.events == nod.events and b.emotions[0].end == 2.0 for b in both)
    assert {b.text.lower()[:3] for b in both} == {"sad", "nod"}


def test_joined_instructions_overlap_are_timed_and_repeat() -> None:
    rng = np.random.default_rng(0)
    smile = Score(2.5, (Event("smile", 0.2, 2.0),), (), "Smile.")
    wink = Score(2.0, (Event("wink_left", 0.2, 0.5), Event("nod", 0.9, 0.8)), (), "Wink left and nod.")
    during = data.during(smile, wink, rng)
    assert during.events[0].end > during.events[2].end and during.length >= during.events[0].end
    late = data.draw_clocked(wink, smile, rng)
    assert clock_times(late.text) and all(late.events[k].start in clock_times(late.text) for k in (0, 2))
    twice = [data.once_more(wink, smile, rng) for _ in range(20)]
    assert {t.events[2].action for t in twice} == {"wink_left", "wink_right"}
    assert all(t.events[3].action == "nod" and t.events[2].start > t.events[1].end for t in twice)
    many = data.pairs_of(written_scores(200), 60, rng)
    assert len(many) == 60 and len({s.text for s in many}) > 50


def test_batches_hold_rows_of_about_one_length() -> None:
    groups, _ = material(written_scores(60), ParserMaterial(composed=30, joined=30, held=10))
    rows = {k: rows_of(v[:60], small_parser(), RandomGrounder()) for k, v in groups.items()}
    batches, same = (
        ParserBatches(rows, ParserMaterial().shares, ParserTraining(pool=4), small_parser().network.begin)
        for _ in range(2)
    )
    lengths = [batches.draw(8, step)[0].shape[1] for step in range(12)]
    assert max(lengths) > 1.5 * min(lengths)
    for step in (9, 2, 3):  # in whatever order they are asked for
        for a, b in zip(batches.draw(8, step), same.draw(8, step), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_training_begins_with_another_parser(tmp_path: Path) -> None:
    small_parser().save(tmp_path / "first")
    unchanged = {**SMALL, "train": {**SMALL["train"], "steps": 1, "lr": 0.0, "lr_floor": 0.0}}
    tuned = train(unchanged, tmp_path / "tuned", start=tmp_path / "first")
    for a, b in zip(tuned.network.parameters(), small_parser().network.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    with pytest.raises(UserError, match="another shape"):
        other = {**unchanged, "model": {**SMALL["model"], "width": 32}}
        train(other, tmp_path / "other", start=tmp_path / "first")


def test_a_grown_parser_reads_as_before(tmp_path: Path) -> None:
    torch.manual_seed(3)
    shape = {"width": 16, "hidden": 16, "heads": 2, "layers": [0, 3]}
    first = ParserNetwork(ParserConfig(**shape, encoder=1, decoder=1, rank=2)).eval()
    with torch.no_grad():
        for p in first.parameters():
            p.add_(0.1 * torch.randn_like(p))
    InstructionParser(first).save(tmp_path)
    grown = ParserNetwork(ParserConfig(**shape, encoder=2, decoder=3, rank=5)).eval()
    begin_with(grown, tmp_path)
    states, words = torch.randn(2, 7, 768), torch.ones(2, 7)
    tokens = torch.randint(0, 40, (2, 9))
    assert torch.allclose(grown(states, words, tokens), first(states, words, tokens), atol=1e-5)
    grown(states, words, tokens).sum().backward()
    new = [p.grad for k, p in grown.named_parameters() if k.startswith("encoder.1.linear2") or k.endswith(".up")]
    assert new and all(g is not None and g.abs().max() > 0 for g in new)  # what was added learns
    deeper = ParserNetwork(ParserConfig(**shape, encoder=2, decoder=3, rank=5, tuned=0, kinds=["a", "b"])).eval()
    begin_with(deeper, tmp_path)
    with torch.no_grad():  # the states that the lower layers, not yet changed, make of the words
        third = states[..., :384]
        for layer in TunedLayers(0, 1, 0.0).eval().layers[:3]:
            third = layer(third, torch.ones(2, 1, 1, 7, dtype=torch.bool))
    states = torch.cat([states[..., :384], third], -1)
    assert torch.allclose(deeper(states, words, tokens), first(states, words, tokens), atol=1e-4)
    with pytest.raises(UserError, match="another shape"):
        begin_with(ParserNetwork(ParserConfig(**shape, encoder=1, decoder=1, rank=0)), tmp_path)
    cut = ParserNetwork(ParserConfig(**shape, encoder=1, decoder=1, rank=1)).eval()
    begin_with(cut, tmp_path)
    for a, b in zip(cut.parameters(), first.with_rank(1).parameters(), strict=True):
        assert torch.equal(a, b)
