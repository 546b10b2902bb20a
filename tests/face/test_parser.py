"""The parser of facial instructions: tokens, grammar, readings, agreement, files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.instructions import parser as parsing
from avatargpt.face.instructions.network import (
    CachedDecoder,
    ParserConfig,
    ParserNetwork,
    ScoreTokens,
    clock_times,
    draw,
    lasts_to_end,
    pad_states,
)
from avatargpt.face.instructions.parser import (
    InstructionParser,
    agreement,
    consensus,
    make_reading_grounder,
    rewordings,
    similarity,
)
from avatargpt.face.instructions.scores import spread_score
from avatargpt.face.pipeline import FacePipeline
from avatargpt.lm.text_encoder import WIDTH, SentenceGrounder, TunedLayers
from avatargpt.metrics.face import score_reading
from avatargpt.options import UnheededText
from avatargpt.train.pack import mean_of
from instruct_data.face.score import Emotion, Event, Score
from instruct_data.factory.face.compose import compose_scores, draw_timed_instructions
from tests.factories import RandomGrounder, small_parser, written_scores
from vqvae.errors import UserError


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[list[Score]]:
    """The readings that were compared, of which the first is taken."""
    readings: list[list[Score]] = []
    monkeypatch.setattr(parsing, "consensus", lambda scores: readings.append(list(scores)) or scores[0])
    return readings


def test_scores_survive_as_tokens() -> None:
    tokens = ScoreTokens()
    for score in [*written_scores(300), *compose_scores(100, 5), *draw_timed_instructions(100, 5)]:
        row = tokens.encode(score)
        assert all(tokens.kind[t] in tokens.list_allowed(row[:k]) for k, t in enumerate(row)), score.text
        back = tokens.decode(row, score.text)
        wanted = sorted(score.events, key=lambda e: e.start)
        assert [(e.action, e.repeat) for e in back.events] == [(e.action, e.repeat) for e in wanted]
        for a, b in zip(back.events, wanted, strict=True):
            assert abs(a.start - b.start) <= 0.06 and abs(a.end - b.end) <= max(0.35, 0.13 * b.duration), score.text
            assert abs(a.intensity - b.intensity) <= 0.03
        assert {f.name for f in back.emotions} == {f.name for f in score.emotions}
        assert abs(back.length - score.length) <= 0.5


def test_times_that_the_words_name_become_clock_tokens() -> None:
    assert clock_times("At 1.5 s nod, from two to 4 smile, until second five and a half.") == [1.5, 2.0, 4.0, 5.5, 2.0]
    assert clock_times("Nod three times, left by two thirds, for two seconds.") == []
    tokens = ScoreTokens()
    events = (Event("smile", 1.0, 2.0), Event("nod", 4.0, 1.0))
    kinds = {tokens.kind[t] for t in tokens.encode(Score(5.5, events, (), "Smile at 1 until 3, nod at 4."))}
    assert {"at", "until"} <= kinds
    assert not {"at", "until"} & {tokens.kind[t] for t in tokens.encode(Score(5.5, events, (), "Smile, then nod."))}


def test_actions_that_last_during_others() -> None:
    smile, nod, blink = Event("smile", 0.2, 4.0), Event("nod", 0.6, 1.0), Event("blink", 2.0, 2.0)
    assert lasts_to_end([smile, nod, blink]) == [True, False, False]
    assert lasts_to_end([smile]) == [False] and lasts_to_end([smile, nod]) == [False, False] and lasts_to_end([]) == []
    tokens = ScoreTokens()
    back = tokens.decode(tokens.encode(Score(4.5, (smile, nod, blink))))
    assert back.events[0].end == pytest.approx(back.events[2].end) and back.events[1].start == pytest.approx(0.6)


def test_neighbouring_values_share_the_target() -> None:
    tokens = ScoreTokens()
    shares = tokens.neighbours(0.7)
    assert np.allclose(shares.sum(1), 1) and np.array_equal(tokens.neighbours(0.0), np.eye(len(tokens)))
    nod, late = tokens.token("action", "nod"), tokens.token("after", 1.0)
    assert shares[nod, nod] == 1 and 0.05 < shares[late, tokens.token("after", 1.1)] < shares[late, late] < 1


def test_a_field_counts_with_all_its_values() -> None:
    parser = small_parser()
    chances = np.zeros(len(parser.tokens))
    chances[parser.tokens.token("same")] = 0.4
    for value, chance in ((0.2, 0.1), (0.3, 0.3), (0.4, 0.2)):  # together more than "same"
        chances[parser.tokens.token("after", value)] = chance
    assert parser.sampler.choose(chances, ["after", "since", "same", "at"]) == parser.tokens.token("after", 0.3)


def test_any_reading_of_an_untrained_parser_is_a_score() -> None:
    parser = small_parser()
    for score in parser.read(["smile", "wink with the left eye and then nod twice, very slowly"], RandomGrounder()):
        assert score.length > 0


def test_a_text_that_asks_for_nothing_is_a_length_alone() -> None:
    tokens = ScoreTokens()
    row = tokens.encode(Score(2.0, (), (), "what time is it?"))
    assert [tokens.kind[t] for t in row] == ["length", "end"]
    assert all(tokens.kind[t] in tokens.list_allowed(row[:k]) for k, t in enumerate(row))
    back = tokens.decode(row, "what time is it?")
    assert not back.events and not back.emotions and back.length == 2.0
    assert parsing.doubt(back.text, back, 1.0).startswith("no instruction: ")


def test_rows_are_drawn_as_one_by_one() -> None:
    chances = np.random.default_rng(1).random((40, 30)) * (np.random.default_rng(2).random((40, 30)) < 0.3)
    chances[:, 0] += 1e-3
    chances /= chances.sum(1, keepdims=True)
    one_by_one = np.random.default_rng(3)
    expected = [one_by_one.choice(30, p=row) for row in chances]
    assert draw(chances, np.random.default_rng(3)).tolist() == expected


@pytest.mark.parametrize(("text", "message"), [(" ", "empty"), ("nod " * 200, "word pieces")])
def test_instructions_that_cannot_be_read(text: str, message: str) -> None:
    class Grounder(RandomGrounder):
        def states(self, texts: list[str]) -> list[np.ndarray]:
            return super().states([t if t.strip() else "blank" for t in texts])  # blank texts have a token, too

    with pytest.raises(UserError, match=message):
        small_parser().read(["x", text], Grounder())


def test_damaged_missing_and_older_files(tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            InstructionParser.load(tmp_path)

    refused("no reader.json")
    small_parser().save(tmp_path)
    config = json.loads((tmp_path / "reader.json").read_text())
    (tmp_path / "reader.json").write_text(json.dumps({**config, "countdown": False}))
    assert InstructionParser.load(tmp_path).network.config == small_parser().network.config
    (tmp_path / "reader.json").write_text(json.dumps({**config, "countdown": True}))
    refused("unknown key 'countdown'")
    small_parser().save(tmp_path)
    (tmp_path / "reader.safetensors").write_bytes(b"x" * 100)
    refused("not a reader")


def test_other_wordings_of_an_instruction() -> None:
    assert rewordings("Wink with the left eye.", True) == [
        ("Please wink with the left eye.", False), ("Wink with the left eye", False),
        ("Wink with the right eye.", True),
    ]  # fmt: skip
    assert rewordings("smile right away", False) == [("Please smile right away.", False), ("smile right away.", False)]
    assert rewordings("wink", True) == [("Please wink.", False), ("wink.", False)]  # nothing to exchange


def test_readings_of_the_mirror_image_are_turned_back(
    monkeypatch: pytest.MonkeyPatch, compared: list[list[Score]]
) -> None:
    parser, left = small_parser(), Score(2.0, (Event("wink_left", 0.2, 0.5, 0.7),), (), "")
    rows = {"left": parser.tokens.encode(left), "right": parser.tokens.encode(left.mirror())}
    sizes: list[int] = []

    def drawn(states: list[np.ndarray], seconds: float | None, samples: int) -> list[list[list[int]]]:
        sizes.append(len(states))
        return [[rows["left"]] * samples] * (len(states) - 1) + [[rows["right"]] * samples]

    monkeypatch.setattr(parser.sampler, "likeliest", lambda *_: rows["left"])
    monkeypatch.setattr(parser.sampler, "sample", drawn)
    parser.read(["wink with the left eye"], RandomGrounder(), 3)
    assert sizes == [4] and len(compared[0]) == 1 + 4 * 3
    assert {e.action for s in compared[0] for e in s.events} == {"wink_left"}
    assert {s.text for s in compared[0]} == {"wink with the left eye"}


def test_decoding_token_by_token_gives_the_same_logits() -> None:
    torch.manual_seed(3)
    network = ParserNetwork(ParserConfig(width=16, hidden=24, heads=2, decoder=2, layers=[6], rank=0)).eval()
    torch.nn.init.normal_(network.place)
    states, words, of = torch.randn(2, 5, 384), torch.ones(2, 5), torch.tensor([0, 1, 1])
    words[0, 3:] = 0
    tokens = torch.randint(0, 40, (3, 6))
    with torch.inference_mode():
        encoded = network.encode(states, words)
        expected = network.decode(encoded[of], words[of], tokens)
        decoding, left = CachedDecoder(network, encoded, words, of), torch.tensor([0, 1, 2])
        for t in range(6):
            if t == 3:
                decoding.select(torch.tensor([0, 2]))  # the second row is over
                left = torch.tensor([0, 2])
            assert torch.allclose(decoding.step(tokens[left, t]), expected[left, t], atol=1e-5)


def test_a_parser_reads_the_same_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser, texts, compared = small_parser(), ["smile, then nod"], list[list[Score]]()
    expected = parser.read(texts, RandomGrounder(), 4)
    parser.save(tmp_path)
    loaded = InstructionParser.load(tmp_path)
    assert loaded.read(texts, RandomGrounder(), 4) == expected
    monkeypatch.setattr(parsing, "consensus", lambda scores: compared.append(list(scores)) or scores[0])
    loaded.read(texts, RandomGrounder(), 4)
    ways = 1 + len(rewordings(texts[0], True))
    assert 1 + 4 * (ways - 1) <= len(compared[0]) <= 1 + 4 * ways


def test_a_reading_does_not_depend_on_the_other_texts() -> None:
    parser, texts = small_parser(), ["smile", "wink with the left eye, then nod", "yawn"]
    assert parser.read(texts, RandomGrounder()) == [parser.read([t], RandomGrounder())[0] for t in texts]
    assert parser.read([], RandomGrounder()) == []


@pytest.mark.parametrize("learnt", [False, True])
def test_a_parser_that_learnt_lengths_begins_with_the_length(monkeypatch: pytest.MonkeyPatch, learnt: bool) -> None:
    parser, firsts = small_parser(learnt), set[int]()
    step = CachedDecoder.step

    def watch(self: CachedDecoder, tokens: torch.Tensor) -> torch.Tensor:
        if not self._length:
            firsts.update(tokens.tolist())
        return step(self, tokens)

    monkeypatch.setattr(CachedDecoder, "step", watch)
    parser.read(["smile, then nod"], RandomGrounder(), 2, [7.4])
    assert firsts == {parser.tokens.token("length", 7.5) if learnt else parser.network.begin}
    firsts.clear()
    parser.read(["smile, then nod"], RandomGrounder(), 2)
    assert firsts == {parser.network.begin}


def test_the_mean_of_parsers_with_and_without_lengths(tmp_path: Path) -> None:
    for name, learnt in (("a", False), ("b", True)):
        parser = small_parser(learnt)
        torch.nn.init.constant_(parser.network.place, float(learnt))
        parser.save(tmp_path / name)
    mean = mean_of(f"{tmp_path / 'a'},{tmp_path / 'b'}", InstructionParser.load)
    assert mean.network.config.lengths and (mean.network.place == 0.5).all()
    other = ParserConfig(width=32, hidden=16, decoder=1, layers=[6], rank=0)
    InstructionParser(ParserNetwork(other)).save(tmp_path / "c")
    with pytest.raises(UserError, match="different shape"):
        mean_of(f"{tmp_path / 'a'},{tmp_path / 'c'}", InstructionParser.load)


def test_readings_fill_the_clip_before_they_are_compared(
    monkeypatch: pytest.MonkeyPatch, compared: list[list[Score]]
) -> None:
    parser = small_parser()
    row = parser.tokens.encode(Score(3.0, (Event("nod", 0.5, 1.5),)))
    monkeypatch.setattr(parser.sampler, "likeliest", lambda *_: row)
    monkeypatch.setattr(parser.sampler, "sample", lambda states, *_: [[row]] * len(states))
    for seconds, end in (([4.4], 4.0), ([None], 2.0)):
        assert parser.read(["nod"], RandomGrounder(), 0, seconds)[0].events[0].end == pytest.approx(end)
    parser.read(["nod", "nod"], RandomGrounder(), 1, [4.4, None])
    assert [{round(s.events[0].end, 6) for s in readings} for readings in compared] == [{4.0}, {2.0}]


def test_reading_is_scored() -> None:
    wanted = [Score(4.0, (Event("nod", 0.2, 2.0, 0.7, 3), Event("wink_left", 2.5, 0.5)), (Emotion("sad", 0.5, 0, 4),))]
    assert score_reading(wanted, wanted) == {k: 1.0 for k in ("actions", "emotions", "sequences", "timed", "counts")}
    read = [Score(4.0, (Event("nod", 1.2, 2.0, 0.7, 2), Event("wink_right", 2.5, 0.5)))]
    assert score_reading(read, wanted) == {"actions": 0.5, "emotions": 0, "sequences": 0, "timed": 0, "counts": 0}


def test_a_performance_is_as_long_as_its_instruction(driver: Driver) -> None:
    pipeline = FacePipeline(driver, small_parser(), RandomGrounder(), RandomGrounder())
    score = Score(2.5, (Event("nod", 0.2, 2.0),), (), "nod slowly")
    moved = pipeline.perform("nod slowly", score=score)
    assert len(moved) == 75 and moved.caption == "nod slowly"
    still = pipeline.perform("nod slowly", score=Score(2.5), seconds=2.5)
    assert np.abs(moved.weights - still.weights).max() > 1e-4
    assert len(pipeline.perform(score=score, seconds=1.0)) == 30
    longer, spread = (pipeline.perform(score=s, seconds=3.5).weights for s in (score, spread_score(score, 3.5)))
    speech = pipeline.perform(audio=np.zeros(56_000, np.float32), score=score).weights
    assert np.array_equal(longer, spread) and np.abs(longer - speech).max() > 1e-4
    with pytest.warns(UnheededText, match="^'smile': "):  # what an untrained parser reads is doubtful
        assert len(pipeline.perform("smile")) == round(pipeline.read(["smile"])[0].length * 30)
    assert pipeline.doubt("smile", None) == ""


NOD = Score(4.0, (Event("nod", 0.5, 1.0, 0.7, 2), Event("smile", 2.0, 1.5)), (Emotion("happy", 0.7, 0.0, 4.0),))


def test_likeness() -> None:
    assert similarity(NOD, NOD) == pytest.approx(1) and similarity(Score(1.0), Score(2.0)) == 1
    assert similarity(NOD, Score(4.0)) == 0 == similarity(Score(4.0, (Event("blink", 0.5, 0.3),)), NOD)
    nod, smile = NOD.events
    for other, share in (
        (replace(nod, start=1.2), 0.7), (replace(nod, repeat=3), 0.85), (replace(nod, duration=2.0), 0.85),
    ):  # fmt: skip
        changed = replace(NOD, events=(other, smile))
        assert similarity(NOD, changed) == similarity(changed, NOD) == pytest.approx((share + 2) / 3)
    # of two of the same name the nearer one stands for it
    twice = Score(4.0, (Event("nod", 2.9, 0.3), nod))
    assert similarity(twice, Score(4.0, (nod,))) == pytest.approx(2 / 3)


def test_the_consensus_is_what_most_readings_agree_with() -> None:
    odd = replace(NOD, events=(Event("blink", 0.5, 0.3),), emotions=())
    near = replace(NOD, length=5.0)
    assert consensus([odd, NOD, near]) == NOD and consensus([odd]) == odd
    assert consensus([near, NOD]) == near  # of equals the first
    assert agreement(NOD, [NOD, near]) == pytest.approx(1) and agreement(NOD, [NOD, odd]) == pytest.approx(0.5)


def test_strengths_are_the_median_of_all_readings() -> None:
    def read(nod: float, happy: float, start: float = 0.2) -> Score:
        return Score(2.0, (Event("nod", start, 0.8, nod),), (Emotion("happy", happy, 0.0, 2.0),), "")

    score = consensus([read(1.0, 0.3), read(0.7, 0.3), read(0.7, 0.85), read(0.3, 1.0, start=1.5)])
    assert score.events[0].intensity == 0.7  # one that nods much later says nothing of this nod
    assert score.emotions[0].intensity == 0.3  # the lower of the two in the middle


TEXTS = ["wink twice with the left eye, then nod", "smile"]


def test_tuned_layers_begin_as_those_of_the_encoder() -> None:
    torch.manual_seed(0)
    states, words = pad_states(SentenceGrounder(layers=(0, 3, 6)).states(TEXTS))
    tuned = TunedLayers(3, 2, 0.0).eval()(states[..., WIDTH : 2 * WIDTH], words)
    assert (tuned - states[..., 2 * WIDTH :])[words.bool()].abs().max() < 0.02  # states are kept as float16


def test_a_parser_stores_its_changes_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ParserConfig(width=16, hidden=16, heads=2, decoder=1, layers=[0, 3], rank=2)
    parser = InstructionParser(ParserNetwork(config))
    assert not any(k.endswith("query.weight") for k in parser.network.state_dict())
    with torch.no_grad():
        for k, v in parser.network.named_parameters():
            v.add_(0.1 * torch.randn_like(v)) if k.endswith(".up") else None
    parser.save(tmp_path)
    grounder = make_reading_grounder(config)
    loaded = InstructionParser.load(tmp_path)
    states, words = pad_states(grounder.states(TEXTS))
    assert torch.equal(loaded.network.encode(states, words), parser.network.encode(states, words))
    assert loaded.read(TEXTS, grounder) == parser.read(TEXTS, grounder)
