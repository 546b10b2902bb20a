"""Scores as tokens and back, the reader's grammar, its training, and what the driver is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.metrics.face_reading import reading_score
from avatargpt.speech.driver import Driver
from avatargpt.speech.performer import FacePerformer
from avatargpt.speech.reader import ScoreReader, wordings
from avatargpt.speech.reader_decoding import Decoding
from avatargpt.speech.reader_network import ReaderConfig, ReaderNetwork
from avatargpt.speech.score_tokens import ScoreTokens, clock_times, lasting
from avatargpt.speech.scores import clauses_of, feelings_of, fitted, spread
from avatargpt.train.pack import mean_of
from avatargpt.train.reader import train
from avatargpt.train.reader_material import (
    Material,
    ReaderBatches,
    ReaderTraining,
    longer,
    material,
    rows_of,
    with_mirrored,
)
from avatargpt.train.reader_pairs import clocked, felt_in_turn, felt_meanwhile, joined, kept, once_more, pairs_of
from avatargpt.train.runtime import Runtime
from instruct_data.face.compose import composed
from instruct_data.face.corpus import OWN, reworded
from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score, read_instructions
from instruct_data.face.timed import timed_instructions
from tests.speech.conftest import Words
from vqvae.errors import UserError

SMALL = {
    "data": {"composed": 6, "timed": 4, "joined": 4, "held": 3},
    "model": {"width": 16, "hidden": 16, "heads": 2, "encoder": 1, "decoder": 1, "layers": [6], "rank": 0},
    "train": {"steps": 6, "batch": 4, "warmup": 2, "log_every": 2, "save_every": 3, "val_every": 6},
}


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.train.plot.plot_log", lambda out: None)


def own(count: int) -> list[Score]:
    return [one.score for one in list(read_instructions(OWN))[:count]]


def small(lengths: bool = False) -> ScoreReader:
    torch.manual_seed(1)
    shape = ReaderConfig(width=16, hidden=16, heads=2, decoder=1, layers=[6], rank=0, lengths=lengths)
    return ScoreReader(ReaderNetwork(shape))


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
    assert lasting([smile, nod, blink]) == [True, False, False]
    assert lasting([smile]) == [False] and lasting([smile, nod]) == [False, False] and lasting([]) == []
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
    reader = small()
    chances = np.zeros(len(reader.tokens))
    chances[reader.tokens.token("same")] = 0.4
    for value, chance in ((0.2, 0.1), (0.3, 0.3), (0.4, 0.2)):  # together more than "same"
        chances[reader.tokens.token("after", value)] = chance
    assert reader.readings[0].chosen(chances, ["after", "since", "same", "at"]) == reader.tokens.token("after", 0.3)


def test_whatever_an_untrained_reader_says_is_a_score() -> None:
    reader = small()
    for score in reader.read(["smile", "wink with the left eye and then nod twice, very slowly"], Words()):
        assert score.length > 0 and (score.events or score.emotions)


@pytest.mark.parametrize(("text", "message"), [(" ", "empty"), ("nod " * 200, "word pieces")])
def test_instructions_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small().read([text or "x", text], _Spaces())


class _Spaces(Words):
    """Blank texts have a token, too."""

    def states(self, texts: list[str]) -> list[np.ndarray]:
        return super().states([t if t.strip() else "blank" for t in texts])


def test_training_resumes_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    runtime = Runtime(0, 1, torch.device("cpu"), bf16=False)
    whole = train(SMALL, own(12), tmp_path / "whole", runtime, Words())
    parts = tmp_path / "parts"
    train(SMALL, own(12), parts, runtime, Words(), until=3)
    assert torch.load(parts / "checkpoint.pt", weights_only=True)["step"] == 3
    train(SMALL, own(12), parts, runtime, Words())
    again = ScoreReader.load(parts)
    for a, b in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)
    for bad in (
        {"train": {"stepz": 1}}, {"model": {"widht": 1}}, {"data": {"held": 1}}, {"model": {"heads": 3}},
        {"data": {"written_share": 0.9, "joined_share": 0.9}}, {"data": {"named_share": -0.1}},
    ):  # fmt: skip
        with pytest.raises(UserError):
            train({**SMALL, **bad}, own(3), tmp_path / "bad", runtime, Words())


def test_a_damaged_or_missing_reader(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no reader.json"):
        ScoreReader.load(tmp_path)
    small().save(tmp_path)
    (tmp_path / "reader.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="not a reader"):
        ScoreReader.load(tmp_path)


def test_material_keeps_the_held_out_apart() -> None:
    groups, held = material(own(60), Material(composed=5, joined=10, held=10))
    assert len(held) == 6 and len(groups["joined"]) == 10 and len(groups["composed"]) == 5
    texts = {s.text for s in groups["written"]}
    assert not texts & {s.text for s in held} and len(texts) >= 54


def test_reworded_instructions_keep_their_score(tmp_path: Path) -> None:
    rows = reworded()
    assert len(rows) > 1000 and all(len({s.text for s in row}) == len(row) > 1 for row in rows)
    assert all(s.events == row[0].events and s.emotions == row[0].emotions for row in rows for s in row)
    held = [row[0] for row in rows[9::50]]
    options = Material(composed=0, joined=5, held=10, timed=0, written_share=0.2, reworded_share=0.3)
    groups, out = material([*own(9), held[0]], options)
    assert out == held[:1] and not {s.text for s in rows[9]} & {s.text for s in groups["reworded"]}
    texts = {s.text for row in rows for s in row}
    assert len(groups["reworded"]) > 1.2 * len(texts)  # with their mirror images
    assert not material(own(9), Material(composed=0, joined=5, held=9, timed=0))[0]["reworded"]
    bad = tmp_path / "bad.jsonl"
    for line, wrong in (("{", "line 1: not JSON"), ('{"texts": [], "length": 2}', "with 'texts'"),
                        ('{"texts": ["a"], "length": -1}', "line 1")):  # fmt: skip
        bad.write_text(line)
        with pytest.raises(UserError, match=wrong):
            reworded(bad)


def test_mirror_images_without_other_words_are_left_out() -> None:
    wink = Score(2.0, (Event("wink_left", 0.2, 0.5),), (), "One eye says hello, the sinister one.")
    assert with_mirrored([wink]) == [wink]
    nod = Score(2.0, (Event("turn_head_left", 0.2, 0.5),), (), "head: L, then back")
    assert [s.text for s in with_mirrored([nod])] == ["head: L, then back", "head: R, then back"]


def test_other_wordings_of_an_instruction() -> None:
    assert wordings("Wink with the left eye.", True) == [
        ("Please wink with the left eye.", False), ("Wink with the left eye", False),
        ("Wink with the right eye.", True),
    ]  # fmt: skip
    assert wordings("smile right away", False) == [("Please smile right away.", False), ("smile right away.", False)]
    assert wordings("wink", True) == [("Please wink.", False), ("wink.", False)]  # nothing to exchange


def test_readings_of_the_mirror_image_are_turned_back(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, left = small(), Score(2.0, (Event("wink_left", 0.2, 0.5, 0.7),), (), "")
    rows = {"left": reader.tokens.encode(left), "right": reader.tokens.encode(left.mirrored())}
    asked: list[int] = []

    def drawn(states: list[np.ndarray], seconds: float | None, samples: int) -> list[list[list[int]]]:
        asked.append(len(states))
        return [[rows["left"]] * samples] * (len(states) - 1) + [[rows["right"]] * samples]

    monkeypatch.setattr(reader.readings[0], "likeliest", lambda *_: rows["left"])
    monkeypatch.setattr(reader.readings[0], "drawn", drawn)
    found: list[list[Score]] = []
    monkeypatch.setattr("avatargpt.speech.reader.agreed", lambda some: found.append(list(some)) or some[0])
    reader.read(["wink with the left eye"], Words(), 3)
    assert asked == [4] and len(found[0]) == 1 + 4 * 3
    assert {e.action for s in found[0] for e in s.events} == {"wink_left"}
    assert {s.text for s in found[0]} == {"wink with the left eye"}


def test_token_by_token_the_decoder_says_what_it_says_at_once() -> None:
    torch.manual_seed(3)
    network = ReaderNetwork(ReaderConfig(width=16, hidden=24, heads=2, decoder=2, layers=[6], rank=0)).eval()
    torch.nn.init.normal_(network.place)
    states, words, of = torch.randn(2, 5, 384), torch.ones(2, 5), torch.tensor([0, 1, 1])
    words[0, 3:] = 0
    tokens = torch.randint(0, 40, (3, 6))
    with torch.inference_mode():
        read = network.encode(states, words)
        wanted = network.decode(read[of], words[of], tokens)
        decoding, left = Decoding(network, read, words, of), torch.tensor([0, 1, 2])
        for t in range(6):
            if t == 3:
                decoding.keep(torch.tensor([0, 2]))  # the second row is over
                left = torch.tensor([0, 2])
            assert torch.allclose(decoding.step(tokens[left, t]), wanted[left, t], atol=1e-5)


def test_several_readers_are_asked_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    wider = ReaderNetwork(ReaderConfig(width=24, hidden=16, heads=2, decoder=1, layers=[6], rank=0))
    both, asked = ScoreReader(small().network, wider), list[list[Score]]()
    found = both.read(["smile, then nod"], Words(), 4)
    both.save(tmp_path)
    again = ScoreReader.load(tmp_path)
    assert len(again.others) == 1 and again.others[0].config.width == 24
    monkeypatch.setattr("avatargpt.speech.reader.agreed", lambda some: asked.append(list(some)) or some[0])
    again.read(["smile, then nod"], Words(), 4)
    monkeypatch.undo()
    alone = [ScoreReader(n) for n in (both.network, wider)]
    ways = 1 + len(wordings("smile, then nod", True))
    assert 1 + 4 * ways < len(asked[0]) <= 1 + 2 * 4 * ways
    assert again.read(["smile, then nod"], Words(), 4) == found
    assert alone[0].read(["smile, then nod"], Words(), 0) == both.read(["smile, then nod"], Words(), 0)
    alone[0].save(tmp_path)
    assert not ScoreReader.load(tmp_path).others  # the second one is gone
    with pytest.raises(UserError, match="all of the same"):
        ScoreReader(wider, ReaderNetwork(ReaderConfig(width=16, hidden=16, heads=2, layers=[0, 3], rank=0)))


def test_what_is_read_does_not_depend_on_the_others() -> None:
    reader, texts = small(), ["smile", "wink with the left eye, then nod", "yawn"]
    assert reader.read(texts, Words()) == [reader.read([t], Words())[0] for t in texts]
    assert reader.read([], Words()) == []


@pytest.mark.parametrize("learnt", [False, True])
def test_a_wanted_length_is_told_to_a_reader_that_learnt_to_heed_it(
    monkeypatch: pytest.MonkeyPatch, learnt: bool
) -> None:
    reader, firsts = small(learnt), set[int]()
    step = Decoding.step

    def watched(self: Decoding, tokens: torch.Tensor) -> torch.Tensor:
        if not self._length:
            firsts.update(tokens.tolist())
        return step(self, tokens)

    monkeypatch.setattr(Decoding, "step", watched)
    reader.read(["smile, then nod"], Words(), 2, [7.4])
    assert firsts == {reader.tokens.token("length", 7.5) if learnt else reader.network.begin}
    firsts.clear()
    reader.read(["smile, then nod"], Words(), 2)
    assert firsts == {reader.network.begin}


def test_readers_that_learnt_lengths_later_have_a_mean_that_heeds_them(tmp_path: Path) -> None:
    for name, learnt in (("a", False), ("b", True)):
        reader = small(learnt)
        torch.nn.init.constant_(reader.network.place, float(learnt))
        reader.save(tmp_path / name)
    mean = mean_of(f"{tmp_path / 'a'},{tmp_path / 'b'}", ScoreReader.load)
    assert mean.network.config.lengths and (mean.network.place == 0.5).all()
    ScoreReader(ReaderNetwork(ReaderConfig(width=32, hidden=16, decoder=1, layers=[6], rank=0))).save(tmp_path / "c")
    with pytest.raises(UserError, match="different shape"):
        mean_of(f"{tmp_path / 'a'},{tmp_path / 'c'}", ScoreReader.load)


def test_what_is_done_is_spread_over_a_clip_that_is_a_little_longer() -> None:
    score = Score(4.0, (Event("nod", 1.0, 1.0),), (Emotion("happy", 0.5, 0.0, 4.0),))
    more = spread(score, 6.0)
    assert (more.length, more.events[0].start, more.events[0].duration, more.emotions[0].end) == (6.0, 1.5, 1.5, 6.0)
    assert spread(score, 3.0) is score and spread(score, 4.0) is score and spread(score, 6.1) is score


def test_longer_clips_leave_actions_where_they_are() -> None:
    score = Score(3.0, (Event("nod", 0.2, 1.0),), (Emotion("happy", 0.5, 0.0, 3.0), Emotion("sad", 0.5, 0.0, 1.0)))
    more = longer(score, 4.0)
    assert more.length == 7.0 and more.events == score.events
    assert [f.end for f in more.emotions] == [7.0, 1.0]
    assert longer(score, 1000.0).length == MAX_SECONDS


def test_rows_with_a_told_length_teach_what_suits_it() -> None:
    reader = small(lengths=True)
    rows = rows_of(own(200), reader, Words())
    lengths = [float(reader.tokens.value(begin)) for begin, _ in rows.told]
    read = [reader.tokens.decode(tokens) for _, tokens in rows.told]
    assert all(abs(r.length - length) <= 0.5 for r, length in zip(read, lengths, strict=True))
    same = [tokens == said for tokens, (_, said) in zip(rows.tokens, rows.told, strict=True)]
    assert 0.1 < 1 - np.mean(same) < 0.3
    batches = ReaderBatches({"written": rows}, Material().shares, ReaderTraining(), reader.network.begin, lengths=True)
    for row, after in zip(*(x.tolist() for x in batches.draw(32, 0)[2:]), strict=True):
        right = [tokens for begin, tokens in rows.told if begin == row[0]]
        said = [t for t in after if t >= 0]
        assert said in (rows.tokens if row[0] == reader.network.begin else right)


@pytest.mark.parametrize(("kind", "count", "several"), [("sequenced", 3000, 0.7), ("further", 7000, 0.6)])
def test_further_written_instructions_have_a_share_of_their_own(kind: str, count: int, several: float) -> None:
    shares: dict[str, Any] = {"written_share": 0.2, f"{kind}_share": 0.3}
    groups, held = material(own(20), Material(composed=0, timed=0, joined=0, held=10, **shares))
    texts, kept = {s.text for s in groups[kind]}, {s.text for s in held}
    assert len(texts) > count and not texts & kept and len(held) > count // 10
    assert np.mean([len(s.events) >= 2 for s in groups[kind]]) > several
    assert not material(own(20), Material(composed=0, timed=0, joined=0, held=10))[0][kind]


def test_joined_instructions_follow_one_another() -> None:
    a = Score(2.0, (Event("smile", 0.2, 1.5),), (), "Smile.")
    b = Score(2.0, (Event("nod", 0.3, 0.8), Event("blink", 1.2, 0.4)), (), "Nod, then blink.")
    one = joined(a, b, np.random.default_rng(0))
    assert [e.action for e in one.events] == ["smile", "nod", "blink"]
    assert one.events[1].start == pytest.approx(1.95) and one.length >= one.events[-1].end
    assert one.text.startswith("Smile") and "nod, then blink." in one.text


def test_feelings_join_with_feelings_and_with_actions() -> None:
    rng = np.random.default_rng(0)
    sad, glad = (Score(4.0, (), (Emotion(n, 0.7, 0.0, 4.0),), f"{n.title()}.") for n in ("sad", "happy"))
    turn = felt_in_turn(sad, glad, rng)
    assert [(f.name, f.start, f.end) for f in turn.emotions] == [("sad", 0.0, 2.5), ("happy", 2.5, 5.0)]
    assert turn.length == 5.0 and turn.text.startswith("Sad") and turn.text.endswith("appy.")
    nod = Score(2.0, (Event("nod", 0.3, 0.8),), (), "Nod.")
    both = [felt_meanwhile(sad, nod, rng) for _ in range(20)]
    assert all(b.kind == "both" and b.events == nod.events and b.emotions[0].end == 2.0 for b in both)
    assert {b.text.lower()[:3] for b in both} == {"sad", "nod"}


def test_an_action_lasts_during_others_and_named_seconds_are_kept() -> None:
    rng = np.random.default_rng(0)
    smile = Score(2.5, (Event("smile", 0.2, 2.0),), (), "Smile.")
    wink = Score(2.0, (Event("wink_left", 0.2, 0.5), Event("nod", 0.9, 0.8)), (), "Wink left and nod.")
    during = kept(smile, wink, rng)
    assert during.events[0].end > during.events[2].end and during.length >= during.events[0].end
    late = clocked(wink, smile, rng)
    assert clock_times(late.text) and all(late.events[k].start in clock_times(late.text) for k in (0, 2))
    twice = [once_more(wink, smile, rng) for _ in range(20)]
    assert {t.events[2].action for t in twice} == {"wink_left", "wink_right"}
    assert all(t.events[3].action == "nod" and t.events[2].start > t.events[1].end for t in twice)
    many = pairs_of(own(200), 60, rng)
    assert len(many) == 60 and len({s.text for s in many}) > 50


def test_batches_hold_rows_of_about_one_length() -> None:
    groups, _ = material(own(60), Material(composed=30, joined=30, held=10))
    rows = {k: rows_of(v[:60], small(), Words()) for k, v in groups.items()}
    batches, again = (
        ReaderBatches(rows, Material().shares, ReaderTraining(pool=4), small().network.begin) for _ in range(2)
    )
    lengths = [batches.draw(8, step)[0].shape[1] for step in range(12)]
    assert max(lengths) > 1.5 * min(lengths)
    for step in (9, 2, 3):  # in whatever order they are asked for
        assert all(torch.equal(a, b) for a, b in zip(batches.draw(8, step), again.draw(8, step), strict=True))


def test_training_begins_with_another_reader(tmp_path: Path) -> None:
    runtime = Runtime(0, 1, torch.device("cpu"), bf16=False)
    small().save(tmp_path / "first")
    still = {**SMALL, "train": {**SMALL["train"], "steps": 1, "lr": 0.0, "lr_floor": 0.0}}
    tuned = train(still, own(12), tmp_path / "tuned", runtime, Words(), start=tmp_path / "first")
    for a, b in zip(tuned.network.parameters(), small().network.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    with pytest.raises(UserError, match="another shape"):
        other = {**still, "model": {**SMALL["model"], "width": 32}}
        train(other, own(12), tmp_path / "other", runtime, Words(), start=tmp_path / "first")


def test_what_the_driver_is_told() -> None:
    score = Score(
        6.0, (Event("wink_left", 1.0, 0.5, 0.9), Event("nod", 2.0, 2.0, 0.7, 3)),
        (Emotion("tired", 0.8, 0.0, 3.0), Emotion("pained", 0.7, 0.0, 3.0), Emotion("happy", 0.5, 3.0, 6.0)),
    )  # fmt: skip
    first, second = clauses_of(score)
    assert (first.text, first.action, first.strength) == ("wink left", "wink_left", 0.9)
    assert (second.end, second.repeat) == (4.0, 3)
    feelings = feelings_of(score)
    assert [(f.text, f.strength) for f in feelings] == [("tired and pained", 0.8)] * 2 + [("happy", 0.5)]
    assert feelings[1].second < 3.0 < feelings[2].second < 3.5


def test_scores_are_fitted_to_a_length() -> None:
    score = Score(4.0, (Event("nod", 1.0, 2.0),), (Emotion("sad", 0.5, 0.0, 4.0),))
    half, longer = fitted(score, 2.0), fitted(score, 9.0)
    assert (half.events[0].start, half.events[0].duration, half.emotions[0].end) == (0.5, 1.0, 2.0)
    assert (longer.events[0].start, longer.emotions[0].end) == (1.0, 9.0)
    assert feelings_of(fitted(score, 5000.0))[-1].text == "sad"  # speech of more than an hour


def test_reading_is_scored() -> None:
    wanted = [Score(4.0, (Event("nod", 0.2, 2.0, 0.7, 3), Event("wink_left", 2.5, 0.5)), (Emotion("sad", 0.5, 0, 4),))]
    assert reading_score(wanted, wanted) == {k: 1.0 for k in ("actions", "emotions", "sequences", "timed", "counts")}
    read = [Score(4.0, (Event("nod", 1.2, 2.0, 0.7, 2), Event("wink_right", 2.5, 0.5)))]
    found = reading_score(read, wanted)
    assert found["actions"] == 0.5 and found["emotions"] == 0.0
    assert found["sequences"] == found["timed"] == found["counts"] == 0.0


def test_a_performance_is_as_long_as_its_instruction(driver: Driver) -> None:
    performer = FacePerformer(driver, small(), Words())
    score = Score(2.5, (Event("nod", 0.2, 2.0),), (), "nod slowly")
    moved = performer.perform("nod slowly", score=score)
    assert len(moved) == 75 and moved.caption == "nod slowly"
    still = performer.perform("nod slowly", score=Score(2.5), seconds=2.5)
    assert np.abs(moved.weights - still.weights).max() > 1e-4
    assert len(performer.perform(score=score, seconds=1.0)) == 30
    longer, told = (performer.perform(score=s, seconds=3.5).weights for s in (score, spread(score, 3.5)))
    spoken = performer.perform(audio=np.zeros(56_000, np.float32), score=score).weights
    assert np.array_equal(longer, told) and np.abs(longer - spoken).max() > 1e-4
    assert len(performer.perform("smile")) == round(performer.read(["smile"])[0].length * 30)
