import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from avatargpt.face.audio_model.conditioning import Clause, Direction, Feeling
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import (
    CLOCK,
    PERIODS,
    SEALED,
    TIMING,
    DriverConfig,
    DriverNetwork,
    Text,
    clause_clock,
)
from avatargpt.speech.audio import RATE, frame_end
from avatargpt.speech.features import extract
from avatargpt.train.speech_data.validation import predict
from tests.speech.conftest import Words, together, voice
from vqvae.errors import UserError


def told() -> Direction:
    feelings = [Feeling(0.0, "calm", 0.2), Feeling(1.0, "very angry", 0.9)]
    return Direction.make(feelings, [Clause("wink the left eye", 0.4, 1.1), Clause("smile", 1.2, 1.6)], Words())


@pytest.mark.parametrize(("rate", "directed"), [(16_000, False), (44_100, True)])
def test_frames_are_equal_to_the_bit_for_all_chunks(driver: Driver, rate: int, directed: bool) -> None:
    sound, direction = voice(1.5, rate), told() if directed else None
    whole = together(driver.drive(sound, rate, direction))
    assert whole.shape == (45, 55)
    for ms in (10, 20, 53, 160, 500, 1000):
        stream, size = driver.stream(rate, direction=direction), rate * ms // 1000
        parts = [stream.push(sound[i : i + size]) for i in range(0, len(sound), size)]
        assert np.array_equal(np.concatenate([*parts, stream.finish()]), whole)


def test_a_stream_ends_once(driver: Driver) -> None:
    stream = driver.stream()
    assert len(stream.push(voice(0.5, RATE))) + len(stream.finish()) == 15
    assert stream.finish().shape == (0, 55) and stream.frames == 15
    with pytest.raises(UserError, match="finished"):
        stream.push(voice(0.5, RATE))


def test_silence_is_as_long_as_asked_for(driver: Driver) -> None:
    assert [len(driver.drive(seconds=k / 30)) for k in (1, 31, 32, 33)] == [1, 31, 32, 33]


def test_frame_by_frame_is_what_was_trained(driver: Driver) -> None:

    sound = voice(2.0)
    at_once = predict(driver.network, extract(sound, RATE), torch.device("cpu"))
    streamed = together(driver.drive(sound))
    # The last frames hear the decay of the sound in the stream, settled silence in the other.
    assert np.abs(at_once - streamed)[:-2, :52].max() < 1e-5


def test_the_slow_average_is_the_same_frame_by_frame(driver: Driver, tmp_path: Path) -> None:

    plain, sound = together(driver.drive(voice(3.0))), voice(3.0)
    driver.network.grow(driver.network.config.changed(slow=0.8))
    assert np.allclose(together(driver.drive(sound)), plain, atol=1e-5)  # nothing comes of it at first
    with torch.no_grad():
        driver.network.around.weight.normal_(std=0.1)
    at_once = predict(driver.network, extract(sound, RATE), torch.device("cpu"))
    streamed = together(driver.drive(sound))
    assert np.abs(at_once - streamed)[:-2, :52].max() < 1e-5 < 1e-2 < np.abs(plain - streamed).max()
    driver.save(tmp_path)
    again = Driver.load(tmp_path)
    assert again.network.config.slow == 0.8 and np.array_equal(together(again.drive(sound)), streamed)
    late = together(driver.drive(np.concatenate([np.zeros(RATE, np.float32), sound])))[30:]
    assert np.abs(late - streamed)[-40:-2].max() < 0.2 * np.abs(late - streamed)[:20].max()  # it forgets


def test_the_slow_average_knows_the_usual_level_and_the_noise() -> None:
    from avatargpt.face.audio_model.network import LongTermSpectrum, long_term_spectrum

    rng = np.random.default_rng(0)
    speaks = rng.random(400) < 0.7
    level = np.where(speaks, 2.0, -2.0)[:, None].repeat(332, 1).astype(np.float32)
    said = long_term_spectrum(torch.from_numpy(level)[None], 3.0)[0].numpy()
    assert np.allclose(said[0], level[0, :160])  # of one frame the usual level and the lowest are its own
    usual, low = said[200:, :80], said[200:, 80:]
    assert abs(usual.mean() - 0.8) < 0.3 and abs(low.mean() + 1.0) < 0.4
    one = LongTermSpectrum(3.0)
    assert np.allclose(np.stack([one(row) for row in level]), said, atol=1e-4)


def test_what_is_told_is_done_as_it_was_trained(driver: Driver, tmp_path: Path) -> None:

    network, sound = driver.network, voice(1.5)
    torch.manual_seed(2)
    with torch.no_grad():
        for part in (network.emotion.gate, network.motion.gate, network.motion.direct):
            part.weight.normal_(std=0.5)
    features, cpu = extract(sound, RATE), torch.device("cpu")
    feelings = [Feeling(0.2, "happy", 0.0), Feeling(0.8, "angry", 0.9)]
    both = Direction.make(feelings, [Clause("smile", 0.3, 1.0)], Words())
    felt = Direction.make(feelings, [], Words())

    def same() -> np.ndarray:
        for direction in (felt, both):
            streamed = together(driver.drive(sound, RATE, direction))
            assert np.abs(predict(network, features, cpu, "rule", direction) - streamed)[:-2, :52].max() < 1e-5
        return together(driver.drive(sound, RATE, felt))

    before = same()
    network.grow(network.config.changed(feel=True))
    assert np.array_equal(same(), before)  # nothing at first, and what the branch knew stays
    assert network.emotion.direct is not None
    with torch.no_grad():
        network.emotion.direct.weight.normal_(std=0.3)
    shown = same()
    assert np.array_equal(shown[:6], before[:6]) and np.abs(shown - before)[12:].max() > 0.05  # strength 0, then more
    driver.save(tmp_path)
    assert np.array_equal(together(Driver.load(tmp_path).drive(sound, RATE, felt)), shown)


def test_a_gate_closes_the_lips(driver: Driver, tmp_path: Path) -> None:
    from avatargpt.metrics.lip_sync import closed

    network, sound = driver.network, voice(1.0)
    before = together(driver.drive(sound))
    network.grow(network.config.changed(seal=True))
    assert np.abs(together(driver.drive(sound)) - before).max() < 0.05  # as good as open at first
    with torch.no_grad():
        network.seal.weight.normal_(std=8.0)
        network.seal.bias.zero_()
    sealed = together(driver.drive(sound))
    logits = network(torch.from_numpy(extract(sound, RATE))[None], torch.zeros(1, 8)).seal
    assert logits is not None and logits.shape == (1, 30)
    shut = torch.sigmoid(logits)[0, network.config.look_ahead :].detach().numpy() > 0.98
    assert shut.any() and not shut.all() and closed(sealed)[: len(shut)][shut].all()
    free = [i for i in range(55) if i not in SEALED]
    assert np.allclose(sealed[:, free], before[:, free], atol=1e-5)
    at_once = predict(network, extract(sound, RATE), torch.device("cpu"))
    assert np.abs(at_once - sealed)[:-2, :52].max() < 1e-5
    paired = together(driver.drive(sound, head="recorded"))
    driver.save(tmp_path)
    again = Driver.load(tmp_path)
    assert np.array_equal(together(again.drive(sound)), sealed)
    assert np.array_equal(together(again.drive(sound, head="recorded")), paired)


def test_frames_come_in_time_and_do_not_know_more(driver: Driver) -> None:
    stream = driver.stream()
    assert stream.latency == pytest.approx(0.1)
    sound = voice(1.0)
    needed = frame_end(driver.network.config.look_ahead)
    assert len(stream.push(sound[: needed - 1])) == 0
    first = stream.push(sound[needed - 1 : needed])
    other = np.concatenate([sound[:needed], 0 * sound[needed:]])
    assert np.array_equal(first[0], together(driver.drive(other))[0])
    assert np.array_equal(first[0], together(driver.drive(sound))[0])


def test_words_change_the_face_only_while_they_hold(driver: Driver) -> None:
    sound = voice(3.0)
    plain = together(driver.drive(sound))
    clause = together(driver.drive(sound, RATE, Direction.make([], [Clause("wink", 1.0, 1.4)], Words())))
    changed = np.abs(plain - clause).max(1) > 1e-6
    assert not changed[:29].any() and changed[31:42].all()
    assert not changed[90 - 5 :].any()


def test_a_live_stream_is_told_something_new(driver: Driver) -> None:
    sound = voice(2.0)
    stream = driver.stream()
    before = stream.push(sound[:RATE])
    stream.direct(Direction.make([Feeling(0.0, "very angry", 1.0)], [], Words()))
    frames = np.concatenate([before, stream.push(sound[RATE:]), stream.finish()])
    changed = np.abs(frames - together(driver.drive(sound))).max(1) > 1e-6
    assert not changed[: len(before)].any() and changed[len(before) :].all()


def test_zero_gates_begin_silent() -> None:
    torch.manual_seed(0)
    network = DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1, 2], text_width=8, inject=1)).eval()
    x = torch.randn(2, 12, 332)
    text = Text(
        torch.randn(2, 12, 384), torch.ones(2, 12, 1), torch.randn(2, 3, 5, 384), torch.ones(2, 3, 5),
        torch.ones(2, 3, dtype=torch.long), torch.ones(2, 12, 3, TIMING),
    )  # fmt: skip
    with torch.no_grad():
        assert torch.equal(network(x, torch.zeros(2, 8)).curves, network(x, torch.zeros(2, 8), text).curves)


def test_clauses_at_once_add_up_and_padding_says_nothing(driver: Driver) -> None:
    branch, h = driver.network.motion, torch.randn(1, 4, driver.network.config.width)
    states, words = torch.randn(1, 2, 3, 384), torch.tensor([[[1.0, 1, 0], [1, 1, 1]]])
    timing, kinds = torch.rand(1, 4, 2, TIMING), torch.zeros(1, 2, dtype=torch.long)
    timing[..., 4] = 1

    def one(k: int) -> torch.Tensor:
        alone = timing.clone()
        alone[:, :, 1 - k, 4] = 0
        return torch.cat(branch(h, states, words, kinds, alone), -1)

    with torch.no_grad():
        nn.init.normal_(branch.direct.weight)
        both = torch.cat(branch(h, states, words, kinds, timing), -1)
        assert torch.allclose(both, one(0) + one(1), atol=1e-5) and one(0).abs().max() > 1e-3
        changed = states.clone()
        changed[0, 0, 2] += 5  # padding
        assert torch.equal(torch.cat(branch(h, changed, words, kinds, timing), -1), both)
        assert not torch.equal(torch.cat(branch(h, states, words, kinds * 0 + 7, timing), -1), both)
        timing[..., 4] = 0
        assert not any(torch.count_nonzero(part) for part in branch(h, states, words, kinds, timing))


def test_the_beat_turns_as_often_as_asked() -> None:
    since = torch.linspace(0, 2, 41)
    ones = torch.ones_like(since)
    timing = torch.stack([since, 2 - since, 0.7 * ones, 4 * ones, ones], -1)
    told = clause_clock(timing)
    assert told.shape == (41, CLOCK)
    first = told[:, 4 * PERIODS]  # sine of the beat
    assert int(((first[1:] < 0) & (first[:-1] >= 0)).sum()) == 4


def test_strength_zero_says_nothing(driver: Driver) -> None:
    with torch.no_grad():
        none, beside = driver.network.emotion(torch.zeros(1, 384), torch.zeros(1, 1))
    assert torch.count_nonzero(none) == 0 and beside is None


def test_without_speech_a_length_is_enough(driver: Driver) -> None:
    assert len(driver.drive(seconds=1.5, direction=told()).weights) == 45
    with pytest.raises(UserError, match="length"):
        driver.drive()


def test_feelings_move_in_straight_lines() -> None:
    direction = Direction.make([Feeling(0, "calm", 0.0), Feeling(2, "angry", 1.0)], [], Words())
    vector, strength = direction.feeling(np.array([0.0, 1.0, 2.0, 5.0]))
    assert np.allclose(strength[:, 0], [0, 0.5, 1, 1])
    assert np.allclose(np.linalg.norm(vector, axis=1), [0, 0.5, 1, 1], atol=1e-5)


def test_several_feelings_at_once_are_told_by_their_shares() -> None:
    (sad, angry), words = Words().sentence(["sad", "angry"]), Words()
    mixed = Direction.make([Feeling(0, "sad", 0.6, (("angry", 0.3),))], [], words)
    want = (0.6 * sad + 0.3 * angry) / np.linalg.norm(0.6 * sad + 0.3 * angry)
    vector, strength = mixed.feeling(np.array([0.0, 2.0]))
    assert np.allclose(vector, 0.6 * want, atol=1e-5) and np.allclose(strength, 0.6)
    alone = Direction.make([Feeling(0, "sad", 0.6, (("angry", 0.0),))], [], words)
    assert np.allclose(alone.vectors[0], sad, atol=1e-6)
    other = Direction.make([Feeling(0, "angry", 0.3, (("sad", 0.6),))], [], words)
    assert np.allclose(other.vectors, mixed.vectors, atol=1e-6) and other.strengths == [0.6]


@pytest.mark.parametrize(
    ("feelings", "clauses", "message"),
    [
        ([Feeling(1, "sad", 0.5), Feeling(1, "sad", 0.5, (("angry", 0.2),))], [], "two feelings"),
        ([Feeling(0, "sad", 0.5, (("angry", 1.2),))], [], "0 to 1"),
        ([Feeling(1, "calm"), Feeling(1, "angry")], [], "two feelings"),
        ([Feeling(0, "calm", 1.5)], [], "0 to 1"),
        ([], [Clause("wink", 2, 1)], "end after the start"),
        ([], [Clause("wink " * 600, 0, 1)], "word pieces"),
        ([], [Clause("wink", 0, 1, 1.2)], "strength above 0"),
        ([], [Clause("wink", 0, 1, 0.7, 0)], "1 to 100 times"),
    ],
)
def test_contradictions(feelings: list[Feeling], clauses: list[Clause], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Direction.make(feelings, clauses, Words())


def test_streams_survive_bad_samples(driver: Driver) -> None:
    stream = driver.stream()
    sound = voice(1.0)
    sound[5000:5100] = np.inf
    frames = np.concatenate([stream.push(sound), stream.push(np.zeros(0, np.float32)), stream.finish()])
    assert np.isfinite(frames).all() and stream.repaired == 100 and len(frames) == 30


def test_progress_and_rates(driver: Driver) -> None:
    sound, made = voice(5.0, 44_100), []
    whole = together(driver.drive(sound, 44_100, progress=made.append))
    assert len(made) > 1 and made == sorted(made) and made[-1] <= len(whole) == 150
    assert np.array_equal(together(driver.drive(sound, 44_100.0)), whole)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"gates": "shut"}, {"inject": 3}, {"inject": 0}, {"slow": -1.0}])
def test_shapes_that_could_not_hear_the_text(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="accepted"):
        DriverConfig.read({"width": 8, "hidden": 8, "dilations": [1, 2], "inject": 1, **options}, "model")


def test_mistakes(driver: Driver) -> None:
    for rate in (0, -5, 16_000.5):
        with pytest.raises(UserError, match="samples a second"):
            driver.drive(voice(0.5), rate)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="type"):
        driver.drive(np.array(["a", "b"]))
    with pytest.raises(UserError, match="not numbers"):
        driver.drive(np.full(1000, np.nan, np.float32))
    with pytest.raises(UserError, match="0 s long"):
        driver.drive(np.zeros(0, np.float32))
    with pytest.raises(UserError, match="head"):
        driver.stream(head="other")
    with pytest.raises(UserError, match="style"):
        driver.stream(style=np.zeros(3))


def test_weights_stay_in_range(driver: Driver) -> None:
    motion = driver.drive(voice(1.0) * 30)
    assert motion.weights.min() >= 0 and motion.weights.max() <= 1


def test_saving(driver: Driver, tmp_path: Path) -> None:
    sound = voice(1.0)
    driver.save(tmp_path / "a")
    again = Driver.load(tmp_path / "a")
    assert again.fingerprint == driver.fingerprint
    assert np.array_equal(together(again.drive(sound)), together(driver.drive(sound)))
    driver.save(tmp_path / "half", torch.bfloat16)
    half = together(Driver.load(tmp_path / "half").drive(sound))
    assert np.abs(half - together(driver.drive(sound))).max() < 0.05
    (tmp_path / "a" / "driver.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="not a driver"):
        Driver.load(tmp_path / "a")
    (tmp_path / "a" / "driver.json").write_text('"text"')
    with pytest.raises(UserError, match=r"driver\.json: not a JSON object"):
        Driver.load(tmp_path / "a")
    for change in ({"width": 10**6}, {"hidden": 10**7}, {"dilations": [1] * 10**5}):
        driver.save(tmp_path / "a")
        about = json.loads((tmp_path / "a" / "driver.json").read_text()) | change
        (tmp_path / "a" / "driver.json").write_text(json.dumps(about))
        began = time.process_time()
        with pytest.raises(UserError, match="not a driver of this version|width|hidden|dilations"):
            Driver.load(tmp_path / "a")
        assert time.process_time() - began < 5
    with pytest.raises(UserError, match=r"no driver\.json"):
        Driver.load(tmp_path)


def test_the_packed_default_is_small() -> None:
    assert sum(p.numel() for p in DriverNetwork(DriverConfig()).parameters()) * 2 <= 4e6
