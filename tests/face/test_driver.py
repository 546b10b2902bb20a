"""The driver: streams as whole clips and as in training, directions, saving, products in eight bits."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from avatargpt.face.audio_model.conditioning import Clause, Direction, Feeling
from avatargpt.face.audio_model.driver import Backbone, Driver, EightBits, Exact, eight_bits_faster
from avatargpt.face.audio_model.network import (
    CLOCK,
    PERIODS,
    SEALED,
    TIMING,
    DriverConfig,
    DriverNetwork,
    LongTermSpectrum,
    TextBatch,
    clause_clock,
    long_term_spectrum,
)
from avatargpt.metrics.face import channel, find_closed_lips, find_touching_lip
from avatargpt.speech.audio import RATE, frame_end
from avatargpt.speech.features import WIDTH, extract
from avatargpt.speech.phones import Phone
from avatargpt.speech.words import Word
from avatargpt.train.speech_data.validation import predict
from tests.factories import RandomGrounder, voice
from vqvae.errors import UserError
from vqvae.io.tensors import lower_weight, raise_weights


def two_clauses() -> Direction:
    feelings = [Feeling(0.0, "calm", 0.2), Feeling(1.0, "very angry", 0.9)]
    clauses = [Clause("wink the left eye", 0.4, 1.1), Clause("smile", 1.2, 1.6)]
    return Direction.make(feelings, clauses, RandomGrounder())


def streamed_as_trained(driver: Driver, sound: np.ndarray, direction: Direction | None = None) -> np.ndarray:
    """Curves of a stream, which must be those of training, where a clip goes through the network at once."""
    curves = driver.drive(sound, RATE, direction).curves
    trained = predict(driver.network, extract(sound, RATE), torch.device("cpu"), "rule", direction)
    # The last frames follow the decay of the sound in the stream, settled silence in training.
    assert np.abs(trained - curves)[:-2, :52].max() < 1e-5
    return curves


@pytest.mark.parametrize(("rate", "directed"), [(16_000, False), (44_100, True)])
def test_frames_are_equal_to_the_bit_for_all_chunks(driver: Driver, rate: int, directed: bool) -> None:
    sound, direction = voice(1.5, rate), two_clauses() if directed else None
    curves = driver.drive(sound, rate, direction).curves
    assert curves.shape == (45, 55)
    for ms in (10, 20, 53, 160, 500, 1000):
        stream, size = driver.stream(rate, direction=direction), rate * ms // 1000
        parts = [stream.push(sound[i : i + size]) for i in range(0, len(sound), size)]
        assert np.array_equal(np.concatenate([*parts, stream.finish()]), curves)


def test_a_stream_survives_bad_samples_and_ends_once(driver: Driver) -> None:
    stream, sound = driver.stream(), voice(1.0)
    sound[5000:5100] = np.inf
    frames = np.concatenate([stream.push(sound), stream.push(np.zeros(0, np.float32)), stream.finish()])
    assert np.isfinite(frames).all() and stream.repaired == 100 and len(frames) == 30 == stream.frames
    assert stream.finish().shape == (0, 55)
    with pytest.raises(UserError, match="finished"):
        stream.push(voice(0.5, RATE))


def test_without_speech_a_length_is_enough(driver: Driver) -> None:
    assert [len(driver.drive(seconds=k / 30)) for k in (1, 31, 32, 33)] == [1, 31, 32, 33]
    assert len(driver.drive(seconds=1.5, direction=two_clauses()).weights) == 45


def test_the_long_term_spectrum_is_the_same_frame_by_frame(driver: Driver, tmp_path: Path) -> None:
    sound = voice(3.0)
    plain = streamed_as_trained(driver, sound)
    driver.network.grow(driver.network.config.replace_fields(slow=0.8))
    assert np.allclose(driver.drive(sound).curves, plain, atol=1e-5)  # it changes nothing at first
    with torch.no_grad():
        driver.network.around.weight.normal_(std=0.1)
    curves = streamed_as_trained(driver, sound)
    assert np.abs(plain - curves).max() > 1e-2
    driver.save(tmp_path)
    loaded = Driver.load(tmp_path)
    assert loaded.network.config.slow == 0.8 and np.array_equal(loaded.drive(sound).curves, curves)
    late = driver.drive(np.concatenate([np.zeros(RATE, np.float32), sound])).curves[30:]
    assert np.abs(late - curves)[-40:-2].max() < 0.2 * np.abs(late - curves)[:20].max()  # it forgets


def test_the_long_term_spectrum_follows_the_usual_level_and_the_noise() -> None:
    speaks = np.random.default_rng(0).random(400) < 0.7
    level = np.where(speaks, 2.0, -2.0)[:, None].repeat(332, 1).astype(np.float32)
    rows = long_term_spectrum(torch.from_numpy(level)[None], 3.0)[0].numpy()
    assert np.allclose(rows[0], level[0, :160])  # of one frame the usual level and the lowest are its own
    usual, low = rows[200:, :80], rows[200:, 80:]
    assert abs(usual.mean() - 0.8) < 0.3 and abs(low.mean() + 1.0) < 0.4
    live = LongTermSpectrum(3.0)
    assert np.allclose(np.stack([live(row) for row in level]), rows, atol=1e-4)


def test_directions_act_as_in_training(driver: Driver, tmp_path: Path) -> None:
    network, sound = driver.network, voice(1.5)
    torch.manual_seed(2)
    with torch.no_grad():
        for part in (network.emotion.gate, network.motion.gate, network.motion.direct):
            part.weight.normal_(std=0.5)
    feelings = [Feeling(0.2, "happy", 0.0), Feeling(0.8, "angry", 0.9)]
    both = Direction.make(feelings, [Clause("smile", 0.3, 1.0)], RandomGrounder())
    feelings_alone = Direction.make(feelings, [], RandomGrounder())

    def curves() -> np.ndarray:
        streamed_as_trained(driver, sound, both)
        return streamed_as_trained(driver, sound, feelings_alone)

    before = curves()
    network.grow(network.config.replace_fields(feel=True))
    assert np.array_equal(curves(), before)  # nothing at first, and what the branch knew stays
    assert network.emotion.direct is not None
    with torch.no_grad():
        network.emotion.direct.weight.normal_(std=0.3)
    after = curves()
    assert np.array_equal(after[:6], before[:6]) and np.abs(after - before)[12:].max() > 0.05  # strength 0, then more
    driver.save(tmp_path)
    assert np.array_equal(Driver.load(tmp_path).drive(sound, RATE, feelings_alone).curves, after)


def test_a_gate_closes_the_lips(driver: Driver, tmp_path: Path) -> None:
    network, sound = driver.network, voice(1.0)
    before = driver.drive(sound).curves
    network.grow(network.config.replace_fields(seal=True))
    assert np.abs(driver.drive(sound).curves - before).max() < 0.05  # as good as open at first
    with torch.no_grad():
        network.seal.weight.normal_(std=8.0)
        network.seal.bias.zero_()
    sealed = streamed_as_trained(driver, sound)
    logits = network(torch.from_numpy(extract(sound, RATE))[None], torch.zeros(1, 8)).seal
    assert logits is not None and logits.shape == (1, 30)
    shut = torch.sigmoid(logits)[0, network.config.look_ahead :].detach().numpy() > 0.98
    assert shut.any() and not shut.all() and find_closed_lips(sealed)[: len(shut)][shut].all()
    free = [i for i in range(55) if i not in SEALED]
    assert np.allclose(sealed[:, free], before[:, free], atol=1e-5)
    paired = driver.drive(sound, head="recorded").curves
    driver.save(tmp_path)
    loaded = Driver.load(tmp_path)
    assert np.array_equal(loaded.drive(sound).curves, sealed)
    assert np.array_equal(loaded.drive(sound, head="recorded").curves, paired)


def test_frames_come_in_time_and_depend_on_nothing_later(driver: Driver) -> None:
    stream = driver.stream()
    assert stream.latency == pytest.approx(0.1)
    sound = voice(1.0)
    needed = frame_end(driver.network.config.look_ahead)
    assert len(stream.push(sound[: needed - 1])) == 0
    first = stream.push(sound[needed - 1 : needed])
    other = np.concatenate([sound[:needed], 0 * sound[needed:]])
    assert np.array_equal(first[0], driver.drive(other).curves[0])
    assert np.array_equal(first[0], driver.drive(sound).curves[0])


def test_a_clause_changes_the_face_only_while_it_lasts(driver: Driver) -> None:
    sound = voice(3.0)
    plain = driver.drive(sound).curves
    direction = Direction.make([], [Clause("wink", 1.0, 1.4)], RandomGrounder())
    changed = np.abs(plain - driver.drive(sound, RATE, direction).curves).max(1) > 1e-6
    assert not changed[:29].any() and changed[31:42].all()
    assert not changed[90 - 5 :].any()


def test_a_live_stream_takes_a_new_direction(driver: Driver) -> None:
    sound = voice(2.0)
    stream = driver.stream()
    before = stream.push(sound[:RATE])
    stream.direct(Direction.make([Feeling(0.0, "very angry", 1.0)], [], RandomGrounder()))
    frames = np.concatenate([before, stream.push(sound[RATE:]), stream.finish()])
    changed = np.abs(frames - driver.drive(sound).curves).max(1) > 1e-6
    assert not changed[: len(before)].any() and changed[len(before) :].all()


def test_zero_gates_begin_silent() -> None:
    torch.manual_seed(0)
    network = DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1, 2], text_width=8, inject=1)).eval()
    x = torch.randn(2, 12, 332)
    text = TextBatch(
        torch.randn(2, 12, 384), torch.ones(2, 12, 1), torch.randn(2, 3, 5, 384), torch.ones(2, 3, 5),
        torch.ones(2, 3, dtype=torch.long), torch.ones(2, 12, 3, TIMING),
    )  # fmt: skip
    with torch.no_grad():
        assert torch.equal(network(x, torch.zeros(2, 8)).curves, network(x, torch.zeros(2, 8), text).curves)


def test_clauses_at_once_add_up_and_padding_changes_nothing(driver: Driver) -> None:
    branch, h = driver.network.motion, torch.randn(1, 4, driver.network.config.width)
    states, words = torch.randn(1, 2, 3, 384), torch.tensor([[[1.0, 1, 0], [1, 1, 1]]])
    timing, kinds = torch.rand(1, 4, 2, TIMING), torch.zeros(1, 2, dtype=torch.long)
    timing[..., 4] = 1

    def alone(k: int) -> torch.Tensor:
        single = timing.clone()
        single[:, :, 1 - k, 4] = 0
        return torch.cat(branch(h, states, words, kinds, single), -1)

    with torch.no_grad():
        nn.init.normal_(branch.direct.weight)
        both = torch.cat(branch(h, states, words, kinds, timing), -1)
        assert torch.allclose(both, alone(0) + alone(1), atol=1e-5) and alone(0).abs().max() > 1e-3
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
    clock = clause_clock(timing)
    assert clock.shape == (41, CLOCK)
    first = clock[:, 4 * PERIODS]  # sine of the beat
    assert int(((first[1:] < 0) & (first[:-1] >= 0)).sum()) == 4


def test_strength_zero_changes_nothing(driver: Driver) -> None:
    with torch.no_grad():
        scale_and_shift, direct = driver.network.emotion(torch.zeros(1, 384), torch.zeros(1, 1))
    assert torch.count_nonzero(scale_and_shift) == 0 and direct is None


def test_feelings_move_in_straight_lines() -> None:
    direction = Direction.make([Feeling(0, "calm", 0.0), Feeling(2, "angry", 1.0)], [], RandomGrounder())
    vector, strength = direction.feeling(np.array([0.0, 1.0, 2.0, 5.0]))
    assert np.allclose(strength[:, 0], [0, 0.5, 1, 1])
    assert np.allclose(np.linalg.norm(vector, axis=1), [0, 0.5, 1, 1], atol=1e-5)


def test_several_feelings_at_once_count_by_their_strengths() -> None:
    (sad, angry), words = RandomGrounder().sentence(["sad", "angry"]), RandomGrounder()
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
        ([Feeling(1, "calm"), Feeling(1, "angry")], [], "two feelings"), ([Feeling(0, "calm", 1.5)], [], "0 to 1"),
        ([], [Clause("wink", 2, 1)], "end after the start"), ([], [Clause("wink " * 600, 0, 1)], "word pieces"),
        ([], [Clause("wink", 0, 1, 1.2)], "strength above 0"), ([], [Clause("wink", 0, 1, 0.7, 0)], "1 to 100 times"),
        ([], [Clause("blink once now", 0.1 * k, 60.0) for k in range(300)], "900 word pieces .*at once; .*up to 512"),
        ([], [Clause("blink", k, k + 0.3) for k in range(4001)], "4001 facial actions; accepted: up to 4000"),
    ],
)  # fmt: skip
def test_contradictions(feelings: list[Feeling], clauses: list[Clause], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Direction.make(feelings, clauses, RandomGrounder())


def test_progress_and_rates(driver: Driver) -> None:
    sound, frames = voice(5.0, 44_100), []
    curves = driver.drive(sound, 44_100, progress=frames.append).curves
    assert len(frames) > 1 and frames == sorted(frames) and frames[-1] <= len(curves) == 150
    assert np.array_equal(driver.drive(sound, 44_100.0).curves, curves)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"gates": "shut"}, {"inject": 3}, {"inject": 0}, {"slow": -1.0}])
def test_shapes_that_could_not_use_the_text(options: dict[str, object]) -> None:
    with pytest.raises(UserError, match="accepted"):
        DriverConfig.read({"width": 8, "hidden": 8, "dilations": [1, 2], "inject": 1, **options}, "model")


def test_mistakes(driver: Driver) -> None:
    rates = [(lambda rate=rate: driver.drive(voice(0.5), rate), "samples a second") for rate in (0, -5, 16_000.5)]
    for call, message in (
        *rates,
        (lambda: driver.drive(np.array(["a", "b"])), "type"),
        (lambda: driver.drive(np.full(1000, np.nan, np.float32)), "not numbers"),
        (lambda: driver.drive(np.zeros(0, np.float32)), "0 s long"),
        (lambda: driver.stream(head="other"), "head"),
        (lambda: driver.stream(style=np.zeros(3)), "style"),
        (lambda: driver.drive(), "length"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_saving(driver: Driver, tmp_path: Path) -> None:
    sound = voice(1.0)
    driver.save(tmp_path / "a")
    loaded = Driver.load(tmp_path / "a")
    assert loaded.fingerprint == driver.fingerprint
    assert np.array_equal(loaded.drive(sound).curves, driver.drive(sound).curves)
    driver.save(tmp_path / "half", torch.bfloat16)
    half = Driver.load(tmp_path / "half").drive(sound).curves
    assert np.abs(half - driver.drive(sound).curves).max() < 0.05
    for file, data, message in (("driver.safetensors", "damaged", "not a driver"),
                                ("driver.json", '"text"', r"driver\.json: not a JSON object")):  # fmt: skip
        (tmp_path / "a" / file).write_text(data)
        with pytest.raises(UserError, match=message):
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


def test_a_stream_clips_features_at_six_standard_deviations(driver: Driver) -> None:
    """As training does: a louder sound than any changes nothing any more."""
    mean, std = driver.network.mean.numpy(), driver.network.std.numpy()
    signs, style = np.resize([1, -1], WIDTH).astype(np.float32), np.zeros(8, np.float32)
    out = {x: Backbone(driver.network, style).step([mean + x * std * signs])[0][0] for x in (5.9, 6.1, 7.0, 60.0)}
    assert torch.equal(out[6.1], out[7.0]) and torch.equal(out[7.0], out[60.0]) and not torch.equal(out[5.9], out[6.1])


def test_weights_and_heads_stay_in_range(driver: Driver) -> None:
    network = DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1], inject=1, text_width=8))
    for sign in (1, -1):
        with torch.no_grad():
            network.curves.bias.fill_(9.0 * sign)
        assert Driver(network).drive(np.zeros(8000, np.float32)).head == pytest.approx(sign * 0.8)
    motion = driver.drive(voice(1.0) * 30)
    assert motion.weights.min() >= 0 and motion.weights.max() <= 1


def test_only_clauses_near_the_frame_go_through_the_network(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    clauses = [Clause("smile", k, k + 0.5) for k in range(3)] + [Clause("wink the left eye", 0.2, 2.0)]
    direction, sound = Direction.make([], clauses, RandomGrounder()), voice(3.0)
    expected = driver.drive(sound, RATE, direction).curves
    monkeypatch.setattr("avatargpt.face.audio_model.driver.MAX_WORD_PIECES", 2)
    assert np.abs(driver.drive(sound, RATE, direction).curves - expected).max() < 1e-5
    short = [Clause("blink now", 2 * k, 2 * k + 0.3) for k in range(300)]
    assert len(Direction.make([], short, RandomGrounder()).spans) == 300


@pytest.mark.parametrize(("rows", "columns"), [(384, 576), (192, 384), (7, 32)])
def test_a_product_with_weights_of_eight_bits_is_that_of_the_stored_ones(rows: int, columns: int) -> None:
    torch.manual_seed(rows)
    layer = nn.Linear(columns, rows)
    nn.init.normal_(layer.bias)
    x = torch.randn(21, columns)
    with torch.inference_mode():
        layer.weight.copy_(
            raise_weights(lower_weight("w", layer.weight.repeat(1, 1), torch.int8)).get("w", layer.weight)
        )
        exact, low_precision = Exact(layer)(x[:1]), EightBits(layer)(x.bfloat16())
        one_by_one = torch.cat([EightBits(layer)(row[None].bfloat16()) for row in x])
    assert torch.equal(low_precision, one_by_one)
    low_precision = low_precision[:1]
    assert torch.equal(exact[0], layer(x[0])) and low_precision.dtype == torch.bfloat16
    assert (low_precision - exact).abs().max() < 0.02 * exact.abs().max()
    with pytest.raises(ValueError, match="33 columns"):
        EightBits(nn.Linear(33, 8))


def test_weights_of_eight_bits_serve_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, faster in (("AVX512", True), ("AVX2", True), ("DEFAULT", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda machine=machine: machine)
        assert eight_bits_faster(192, 384) == faster
        assert not eight_bits_faster(48, 384) and not eight_bits_faster(192, 40)


@pytest.mark.parametrize(("width", "hidden", "eight"), [(64, 96, True), (48, 96, False)])
def test_a_packaged_driver_multiplies_with_what_its_folder_holds(
    tmp_path: Path, width: int, hidden: int, eight: bool
) -> None:  # fmt: skip
    torch.manual_seed(1)
    driver, sound = Driver(DriverNetwork(DriverConfig(width=width, hidden=hidden, slow=1.0))), voice(2.0)
    for layer in (driver.network.curves, driver.network.paired):
        layer.bias.data.fill_(0.3)
    driver.save(tmp_path / "full")
    driver.save(tmp_path / "packed", torch.int8)
    full, packed = Driver.load(tmp_path / "full"), Driver.load(tmp_path / "packed")
    assert not full.eight_bits and packed.eight_bits
    streamed = {head: packed.drive(sound, head=head).weights for head in ("rule", "recorded")}
    packed.eight_bits = False  # the same weights, multiplied in float32
    for head, weights in streamed.items():
        error = np.abs(weights - packed.drive(sound, head=head).weights).max()
        assert error < 0.02 and (error > 0) == (eight and eight_bits_faster(64, 96)), head  # 48 columns cannot be
    assert np.array_equal(full.drive(sound).weights, driver.drive(sound).weights)


@pytest.mark.parametrize("head", ["rule", "recorded"])
def test_phones_of_known_words_shape_the_mouth(head: str) -> None:
    packaged, sound = Driver.load(), voice(3.0)
    phones = [Phone(n, 1 + 0.15 * k, 1.15 + 0.15 * k) for k, n in enumerate(("AA", "M", "AA", "F", "AA"))]
    words = [Word("amafa", 1.0, 1.75, tuple(phones), 0.9)]
    heard, known = (packaged.drive(sound, head=head, words=w).curves for w in ((), words))
    assert find_closed_lips(known)[36:40].any() and find_touching_lip(known)[45:49].any()
    assert not find_closed_lips(heard)[36:40].any() and not find_touching_lip(heard)[45:49].any()
    assert not find_closed_lips(known)[30:34].any() and not find_closed_lips(known)[40:44].any()
    changed = (heard != known).any(1)
    # phones beside the word are known, too; the network looks 6 frames ahead of them, and 20 back
    assert not changed[:19].any() and not changed[57 + 20 :].any()
    doubtful = [Word("amafa", 1.0, 1.75, tuple(phones), 0.2)], [Word("amafa", 1.0, 1.75, (), 0.9)]
    assert all(np.array_equal(packaged.drive(sound, head=head, words=w).curves, heard) for w in doubtful)
    happy = Direction.make([Feeling(0.0, "happy")], [], RandomGrounder())
    moved = packaged.drive(sound, direction=happy, head=head, words=words).curves
    directed = packaged.drive(sound, direction=happy, head=head).curves
    smile = [channel(x, "mouthSmile")[30:52].mean() for x in (moved, known, directed)]
    assert smile[0] - smile[1] > 0.6 * smile[2] and find_closed_lips(moved)[36:40].any()
    stream = packaged.stream(head=head, words=iter(words))
    parts = [stream.push(sound[k : k + 777]) for k in range(0, len(sound), 777)] + [stream.finish()]
    assert np.array_equal(np.concatenate(parts), known)
