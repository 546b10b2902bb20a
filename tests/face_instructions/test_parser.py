"""Scores as tokens and back, the reader's grammar and readings, and what the driver is told."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.instructions import parser as parsing
from avatargpt.face.instructions.network import CachedDecoder, ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser, rewordings
from avatargpt.face.instructions.score_tokens import ScoreTokens, clock_times, lasts_to_end
from avatargpt.face.instructions.scores import spread_score
from avatargpt.face.pipeline import FacePipeline
from avatargpt.metrics.face import reading_score
from avatargpt.train.pack import mean_of
from instruct_data.face.compose import composed, timed_instructions
from instruct_data.face.score import Emotion, Event, Score
from tests.face_instructions.conftest import Words, own, small
from vqvae.errors import UserError


def test_scores_survive_as_tokens() -> None:
    tokens = ScoreTokens()
    for score in [*own(300), *composed(100, 5), *timed_instructions(100, 5)]:
        row = tokens.encode(score)
        assert all(tokens.kind[t] in tokens.allowed(row[:k]) for k, t in enumerate(row)), score.text
        back = tokens.decode(row, score.text)
        wanted = sorted(score.events, key=lambda e: e.start)
        assert [(e.action, e.repeat) for e in back.events] == [(e.action, e.repeat) for e in wanted]
        for a, b in zip(back.events, wanted, strict=True):
            assert abs(a.start - b.start) <= 0.06 and abs(a.end - b.end) <= max(0.35, 0.13 * b.duration), score.text
            assert abs(a.intensity - b.intensity) <= 0.03
        assert {f.name for f in back.emotions} == {f.name for f in score.emotions}
        assert abs(back.length - score.length) <= 0.5


def test_times_that_the_words_name_are_told_by_the_clock() -> None:
    assert clock_times("At 1.5 s nod, from two to 4 smile, until second five and a half.") == [1.5, 2.0, 4.0, 5.5, 2.0]
    assert clock_times("Nod three times, left by two thirds, for two seconds.") == []
    tokens = ScoreTokens()
    events = (Event("smile", 1.0, 2.0), Event("nod", 4.0, 1.0))
    kinds = {tokens.kind[t] for t in tokens.encode(Score(5.5, events, (), "Smile at 1 until 3, nod at 4."))}
    assert {"at", "until"} <= kinds
    assert not {"at", "until"} & {tokens.kind[t] for t in tokens.encode(Score(5.5, events, (), "Smile, then nod."))}


def test_what_lasts_during_other_actions() -> None:
    smile, nod, blink = Event("smile", 0.2, 4.0), Event("nod", 0.6, 1.0), Event("blink", 2.0, 2.0)
    assert lasts_to_end([smile, nod, blink]) == [True, False, False]
    assert lasts_to_end([smile]) == [False] and lasts_to_end([smile, nod]) == [False, False] and lasts_to_end([]) == []
    tokens = ScoreTokens()
    back = tokens.decode(tokens.encode(Score(4.5, (smile, nod, blink))))
    assert back.events[0].end == pytest.approx(back.events[2].end) and back.events[1].start == pytest.approx(0.6)


def test_near_values_share_what_is_right() -> None:
    tokens = ScoreTokens()
    near = tokens.neighbours(0.7)
    assert np.allclose(near.sum(1), 1) and np.array_equal(tokens.neighbours(0.0), np.eye(len(tokens)))
    nod, late = tokens.token("action", "nod"), tokens.token("after", 1.0)
    assert near[nod, nod] == 1 and 0.05 < near[late, tokens.token("after", 1.1)] < near[late, late] < 1


def test_a_field_counts_with_all_its_values() -> None:
    parser = small()
    chances = np.zeros(len(parser.tokens))
    chances[parser.tokens.token("same")] = 0.4
    for value, chance in ((0.2, 0.1), (0.3, 0.3), (0.4, 0.2)):  # together more than "same"
        chances[parser.tokens.token("after", value)] = chance
    assert parser.samplers[0].choose(chances, ["after", "since", "same", "at"]) == parser.tokens.token("after", 0.3)


def test_whatever_an_untrained_reader_says_is_a_score() -> None:
    parser = small()
    for score in parser.read(["smile", "wink with the left eye and then nod twice, very slowly"], Words()):
        assert score.length > 0 and (score.events or score.emotions)


@pytest.mark.parametrize(("text", "message"), [(" ", "empty"), ("nod " * 200, "word pieces")])
def test_instructions_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small().read([text or "x", text], _Spaces())


class _Spaces(Words):
    """Blank texts have a token, too."""

    def states(self, texts: list[str]) -> list[np.ndarray]:
        return super().states([t if t.strip() else "blank" for t in texts])


def test_a_damaged_or_missing_reader(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no reader.json"):
        InstructionParser.load(tmp_path)
    small().save(tmp_path)
    (tmp_path / "reader.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="not a reader"):
        InstructionParser.load(tmp_path)


def test_folders_of_before_are_read_unless_their_reader_counted_down(tmp_path: Path) -> None:
    small().save(tmp_path)
    about = json.loads((tmp_path / "reader.json").read_text())
    for counts in (False, True):
        (tmp_path / "reader.json").write_text(json.dumps({**about, "countdown": counts}))
        if not counts:
            assert InstructionParser.load(tmp_path).network.config == small().network.config
    with pytest.raises(UserError, match="unknown key 'countdown'"):
        InstructionParser.load(tmp_path)


def test_other_wordings_of_an_instruction() -> None:
    assert rewordings("Wink with the left eye.", True) == [
        ("Please wink with the left eye.", False), ("Wink with the left eye", False),
        ("Wink with the right eye.", True),
    ]  # fmt: skip
    assert rewordings("smile right away", False) == [("Please smile right away.", False), ("smile right away.", False)]
    assert rewordings("wink", True) == [("Please wink.", False), ("wink.", False)]  # nothing to exchange


def test_readings_of_the_mirror_image_are_turned_back(monkeypatch: pytest.MonkeyPatch) -> None:
    parser, left = small(), Score(2.0, (Event("wink_left", 0.2, 0.5, 0.7),), (), "")
    rows = {"left": parser.tokens.encode(left), "right": parser.tokens.encode(left.mirrored())}
    asked: list[int] = []

    def drawn(states: list[np.ndarray], seconds: float | None, samples: int) -> list[list[list[int]]]:
        asked.append(len(states))
        return [[rows["left"]] * samples] * (len(states) - 1) + [[rows["right"]] * samples]

    monkeypatch.setattr(parser.samplers[0], "likeliest", lambda *_: rows["left"])
    monkeypatch.setattr(parser.samplers[0], "sample", drawn)
    found: list[list[Score]] = []
    monkeypatch.setattr(parsing, "consensus", lambda some: found.append(list(some)) or some[0])
    parser.read(["wink with the left eye"], Words(), 3)
    assert asked == [4] and len(found[0]) == 1 + 4 * 3
    assert {e.action for s in found[0] for e in s.events} == {"wink_left"}
    assert {s.text for s in found[0]} == {"wink with the left eye"}


def test_token_by_token_the_decoder_says_what_it_says_at_once() -> None:
    torch.manual_seed(3)
    network = ParserNetwork(ParserConfig(width=16, hidden=24, heads=2, decoder=2, layers=[6], rank=0)).eval()
    torch.nn.init.normal_(network.place)
    states, words, of = torch.randn(2, 5, 384), torch.ones(2, 5), torch.tensor([0, 1, 1])
    words[0, 3:] = 0
    tokens = torch.randint(0, 40, (3, 6))
    with torch.inference_mode():
        read = network.encode(states, words)
        wanted = network.decode(read[of], words[of], tokens)
        decoding, left = CachedDecoder(network, read, words, of), torch.tensor([0, 1, 2])
        for t in range(6):
            if t == 3:
                decoding.select(torch.tensor([0, 2]))  # the second row is over
                left = torch.tensor([0, 2])
            assert torch.allclose(decoding.step(tokens[left, t]), wanted[left, t], atol=1e-5)


def test_several_readers_are_asked_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    wider = ParserNetwork(ParserConfig(width=24, hidden=16, heads=2, decoder=1, layers=[6], rank=0))
    both, asked = InstructionParser(small().network, wider), list[list[Score]]()
    found = both.read(["smile, then nod"], Words(), 4)
    both.save(tmp_path)
    again = InstructionParser.load(tmp_path)
    assert len(again.others) == 1 and again.others[0].config.width == 24
    monkeypatch.setattr(parsing, "consensus", lambda some: asked.append(list(some)) or some[0])
    again.read(["smile, then nod"], Words(), 4)
    monkeypatch.undo()
    alone = [InstructionParser(n) for n in (both.network, wider)]
    ways = 1 + len(rewordings("smile, then nod", True))
    assert 1 + 4 * ways < len(asked[0]) <= 1 + 2 * 4 * ways
    assert again.read(["smile, then nod"], Words(), 4) == found
    assert alone[0].read(["smile, then nod"], Words(), 0) == both.read(["smile, then nod"], Words(), 0)
    alone[0].save(tmp_path)
    assert not InstructionParser.load(tmp_path).others  # the second one is gone
    with pytest.raises(UserError, match="all of the same"):
        InstructionParser(wider, ParserNetwork(ParserConfig(width=16, hidden=16, heads=2, layers=[0, 3], rank=0)))


def test_what_is_read_does_not_depend_on_the_others() -> None:
    parser, texts = small(), ["smile", "wink with the left eye, then nod", "yawn"]
    assert parser.read(texts, Words()) == [parser.read([t], Words())[0] for t in texts]
    assert parser.read([], Words()) == []


@pytest.mark.parametrize("learnt", [False, True])
def test_a_wanted_length_is_told_to_a_reader_that_learnt_to_heed_it(
    monkeypatch: pytest.MonkeyPatch, learnt: bool
) -> None:
    parser, firsts = small(learnt), set[int]()
    step = CachedDecoder.step

    def watched(self: CachedDecoder, tokens: torch.Tensor) -> torch.Tensor:
        if not self._length:
            firsts.update(tokens.tolist())
        return step(self, tokens)

    monkeypatch.setattr(CachedDecoder, "step", watched)
    parser.read(["smile, then nod"], Words(), 2, [7.4])
    assert firsts == {parser.tokens.token("length", 7.5) if learnt else parser.network.begin}
    firsts.clear()
    parser.read(["smile, then nod"], Words(), 2)
    assert firsts == {parser.network.begin}


def test_readers_that_learnt_lengths_later_have_a_mean_that_heeds_them(tmp_path: Path) -> None:
    for name, learnt in (("a", False), ("b", True)):
        parser = small(learnt)
        torch.nn.init.constant_(parser.network.place, float(learnt))
        parser.save(tmp_path / name)
    mean = mean_of(f"{tmp_path / 'a'},{tmp_path / 'b'}", InstructionParser.load)
    assert mean.network.config.lengths and (mean.network.place == 0.5).all()
    other = ParserConfig(width=32, hidden=16, decoder=1, layers=[6], rank=0)
    InstructionParser(ParserNetwork(other)).save(tmp_path / "c")
    with pytest.raises(UserError, match="different shape"):
        mean_of(f"{tmp_path / 'a'},{tmp_path / 'c'}", InstructionParser.load)


def test_readings_fill_the_clip_before_they_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    parser, found = small(), list[list[Score]]()
    row = parser.tokens.encode(Score(3.0, (Event("nod", 0.5, 1.5),)))
    monkeypatch.setattr(parser.samplers[0], "likeliest", lambda *_: row)
    monkeypatch.setattr(parser.samplers[0], "sample", lambda states, *_: [[row]] * len(states))
    monkeypatch.setattr(parsing, "consensus", lambda some: found.append(list(some)) or some[0])
    assert parser.read(["nod"], Words(), 0, [4.4])[0].events[0].end == pytest.approx(4.0)
    assert parser.read(["nod"], Words(), 0)[0].events[0].end == pytest.approx(2.0)
    parser.read(["nod", "nod"], Words(), 1, [4.4, None])
    assert [{round(s.events[0].end, 6) for s in some} for some in found] == [{4.0}, {2.0}]


def test_reading_is_scored() -> None:
    wanted = [Score(4.0, (Event("nod", 0.2, 2.0, 0.7, 3), Event("wink_left", 2.5, 0.5)), (Emotion("sad", 0.5, 0, 4),))]
    assert reading_score(wanted, wanted) == {k: 1.0 for k in ("actions", "emotions", "sequences", "timed", "counts")}
    read = [Score(4.0, (Event("nod", 1.2, 2.0, 0.7, 2), Event("wink_right", 2.5, 0.5)))]
    found = reading_score(read, wanted)
    assert found["actions"] == 0.5 and found["emotions"] == 0.0
    assert found["sequences"] == found["timed"] == found["counts"] == 0.0


def test_a_performance_is_as_long_as_its_instruction(driver: Driver) -> None:
    performer = FacePipeline(driver, small(), Words(), Words())
    score = Score(2.5, (Event("nod", 0.2, 2.0),), (), "nod slowly")
    moved = performer.perform("nod slowly", score=score)
    assert len(moved) == 75 and moved.caption == "nod slowly"
    still = performer.perform("nod slowly", score=Score(2.5), seconds=2.5)
    assert np.abs(moved.weights - still.weights).max() > 1e-4
    assert len(performer.perform(score=score, seconds=1.0)) == 30
    longer, told = (performer.perform(score=s, seconds=3.5).weights for s in (score, spread_score(score, 3.5)))
    spoken = performer.perform(audio=np.zeros(56_000, np.float32), score=score).weights
    assert np.array_equal(longer, told) and np.abs(longer - spoken).max() > 1e-4
    assert len(performer.perform("smile")) == round(performer.read(["smile"])[0].length * 30)
