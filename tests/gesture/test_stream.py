"""The network and its streams: memory, causality, feedback of tokens, equality of chunks, checks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.gesture.choice import DRAWS
from avatargpt.gesture.features import WIDTH, row_width
from avatargpt.gesture.network import (
    UNKNOWN,
    GestureDriver,
    GestureInput,
    GestureNetwork,
    GestureOptions,
)
from avatargpt.gesture.stream import FOLLOW, CodeSampler, GestureChunk, GestureStream, Smoothing, SpeechGestureStream
from tests.gesture.conftest import SHAPE, Decoder, Spelling, network, rows
from vqvae.errors import UserError

FRAMES, WORDS = 90, row_width(8)
CODES = torch.randint(0, 16, (1, 20, 2), generator=torch.Generator().manual_seed(0))


def inputs(other: bool = True) -> GestureInput:
    audio, words = (torch.from_numpy(rows(80, width))[None] for width in (12, WORDS))
    return GestureInput(audio, words, torch.zeros(1, 8), *((audio.flip(1), words.flip(1)) if other else ()))


def run(
    net: GestureNetwork, values: GestureInput, codes: torch.Tensor = CODES, segment: int = 16
) -> tuple[torch.Tensor, torch.Tensor]:
    before = torch.nn.functional.pad(codes[:, :-1], (0, 0, 1, 0), value=UNKNOWN)
    with torch.inference_mode():
        return net(values, before, codes, codes, segment)[:2]


def test_segments_of_any_length_give_the_same() -> None:
    net = network()
    motion, logits = run(net, inputs())
    assert motion.shape == (1, 80, 15) and logits.shape == (1, 20, 2, 16)
    for segment in (4, 40, 80):
        again, other_logits = run(net, inputs(), segment=segment)
        assert torch.allclose(again, motion, atol=1e-4) and torch.allclose(other_logits, logits, atol=1e-4)


def test_memory_reaches_beyond_a_segment() -> None:
    """Two layers of reach 16 look 30 frames back, across segments of 16, and no further."""
    net, unknown = network(), torch.full((1, 20, 2), UNKNOWN)
    plain, changed = inputs(other=False), inputs(other=False)
    changed.audio[:, 20] += 3
    moved = (run(net, plain, unknown)[0] - run(net, changed, unknown)[0]).abs().amax(-1)[0] > 1e-4
    assert not moved[:20].any() and moved[40] and not moved[20 + 31 :].any()


def test_sound_is_clipped_at_six_standard_deviations() -> None:
    net, unknown, out = network(), torch.full((1, 20, 2), UNKNOWN), {}
    for size in (5.9, 6.1, 60.0):
        values = inputs(other=False)
        values.audio.copy_(net.heard_mean + size * net.heard_std * torch.where(values.audio > 0, 1.0, -1.0))
        out[size] = run(net, values, unknown)[0]
    assert torch.equal(out[6.1], out[60.0]) and not torch.equal(out[5.9], out[6.1])


@pytest.mark.parametrize("name", ["audio", "words", "other_audio", "other_words"])
def test_the_future_does_not_change_the_past(name: str) -> None:
    net, plain, changed = network(), inputs(), inputs()
    getattr(changed, name)[:, 41:] *= -1
    before, after = run(net, plain)[0], run(net, changed)[0]
    assert torch.equal(before[:, :41], after[:, :41])
    assert not torch.allclose(before[:, 41:], after[:, 41:], atol=1e-3)


def test_an_absent_interlocutor_has_no_effect() -> None:
    net, one, alone = network(), inputs(), inputs(other=False)
    two = GestureInput(*(torch.cat((x, x)) for x in
                         (one.audio, one.words, one.style, one.other_audio, one.other_words)))  # fmt: skip
    two.present = torch.tensor([True, False])
    both = run(net, two, CODES.expand(2, -1, -1))[0]
    assert torch.allclose(both[0], run(net, one)[0][0], atol=1e-4)
    assert torch.allclose(both[1], run(net, alone)[0][0], atol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=1e-2)


def test_tokens_are_fed_back_and_followed() -> None:
    net, changed = network(), CODES.clone()
    changed[:, 10] = (changed[:, 10] + 1) % 16
    a, b = run(net, inputs()), run(net, inputs(), changed)
    assert torch.equal(a[0][:, :40], b[0][:, :40]) and not torch.allclose(a[0][:, 40:44], b[0][:, 40:44], atol=1e-2)
    assert torch.equal(a[1][:, 10, 0], b[1][:, 10, 0])  # a level does not depend on its own code
    assert not torch.allclose(a[1][:, 10, 1], b[1][:, 10, 1], atol=1e-2)  # but on that of the level before
    assert not torch.allclose(a[1][:, 11], b[1][:, 11], atol=1e-3)


def perform(driver: GestureDriver, chunk: int, head: str, smooth: bool, words: bool, other: bool) -> GestureChunk:
    used = [(12, 1, True), (WORDS, 2, words), (12, 3, other), (WORDS, 4, words and other)]
    arrays = [rows(FRAMES, width, seed) if use else None for width, seed, use in used]
    stream = GestureStream(driver, GestureOptions("bert", head, 3, 1.0, smooth), words, other, words and other)
    parts = [stream.push(*(None if x is None else x[i : i + chunk] for x in arrays)) for i in range(0, FRAMES, chunk)]
    return GestureChunk.concatenate([*parts, stream.finish()])


@pytest.mark.parametrize("head, smooth, words, other", [
    ("codes", False, True, True), ("codes", True, False, False), ("features", False, True, False),
    ("features", True, False, True),
])  # fmt: skip
def test_chunks_of_any_size_give_the_same_bits(
    driver: GestureDriver, head: str, smooth: bool, words: bool, other: bool
) -> None:
    whole = perform(driver, FRAMES, head, smooth, words, other)
    assert whole.features.shape == (FRAMES, 15)
    assert whole.codes.shape == (23 if head == "codes" else 0, 2)
    for chunk in (1, 3, 4, 11, 64):
        part = perform(driver, chunk, head, smooth, words, other)
        assert np.array_equal(part.features, whole.features) and np.array_equal(part.codes, whole.codes)


class Loudest:
    """Chooses the continuation whose features are largest, and bans what it began with."""

    def __init__(self) -> None:
        self.banned: list[int] = []

    def hear(self, audio: np.ndarray) -> None:
        assert audio.shape == (4, 12)

    def __call__(self, features: np.ndarray, codes: np.ndarray) -> int:
        assert features.shape == (DRAWS, 1 + 4 * codes.shape[1], 15) and codes.shape[::2] == (DRAWS, 2)
        self.banned = [int(codes[0, 0, 0])]
        return int(features.mean((1, 2)).argmax())


def test_the_chosen_draw_goes_on_whatever_the_chunks(driver: GestureDriver) -> None:
    def perform(chunk: int, chooser: Any) -> GestureChunk:
        stream = GestureStream(driver, GestureOptions(seed=3), chooser=chooser)
        parts = [stream.push(rows(FRAMES, 12)[i : i + chunk]) for i in range(0, FRAMES, chunk)]
        return GestureChunk.concatenate([*parts, stream.finish()])

    whole, single = perform(FRAMES, Loudest()), perform(FRAMES, None)
    for chunk in (1, 5, 16):
        part = perform(chunk, Loudest())
        assert np.array_equal(part.features, whole.features) and np.array_equal(part.codes, whole.codes)
    assert whole.codes.shape == single.codes.shape and whole.features.mean() > single.features.mean()


def test_a_stream_equals_the_training_pass(driver: GestureDriver) -> None:
    sampled, mean = (perform(driver, FRAMES, head, False, True, True) for head in ("codes", "features"))
    arrays = [np.concatenate([rows(FRAMES, w, s), np.repeat(rows(FRAMES, w, s)[-1:], 6, 0) * (w == 12)])
              for w, s in ((12, 1), (WORDS, 2), (12, 3), (WORDS, 4))]  # fmt: skip
    audio, words, other, other_words = (torch.from_numpy(x)[None] for x in arrays)
    codes = torch.from_numpy(np.concatenate([np.zeros((1, 2), np.int64), sampled.codes]))[None]  # first that of rest
    values = GestureInput(audio, words, torch.from_numpy(driver.style("bert"))[None], other, other_words)
    before = torch.cat((codes[:, :1], codes[:, :-1]), 1)
    with torch.inference_mode():
        following, free = (driver.network(values, b, codes, codes, 16)[1].log_softmax(-1)
                           for b in (before, torch.full_like(before, UNKNOWN)))  # fmt: skip
    logits = FOLLOW * following + (1 - FOLLOW) * free
    motion, _ = run(driver.network, values, torch.full_like(codes, UNKNOWN))
    assert np.allclose(motion[0, 4 : 4 + FRAMES].numpy(), mean.features, atol=1e-4)
    decoded = driver.tokenizer.decode_features(sampled.codes)[:FRAMES]
    # this decoder needs no more than the window; the pose before the first frame is in the window, too
    assert np.allclose(decoded[8:], sampled.features[8:], atol=1e-5)
    assert float(logits[0, 1:].softmax(-1).gather(-1, codes[0, 1:, :, None]).min()) > 1e-3


def test_the_end_of_the_sound_and_the_start_pose_have_an_effect(
    driver: GestureDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(**options: object) -> np.ndarray:
        stream = GestureStream(driver, GestureOptions(head="features", smooth=False), **options)
        return np.concatenate([stream.push(rows(FRAMES, 12)).features, stream.finish().features])

    with torch.no_grad():
        driver.network.left.weight.normal_(std=1.0)
    live, ended, later = moved(), moved(frames=FRAMES), moved(frames=10_000)
    assert np.allclose(live, later, atol=1e-4)  # an end that is far away is like none
    assert np.allclose(live[:10], ended[:10], atol=1e-4) and not np.allclose(live[-10:], ended[-10:], atol=1e-3)
    pose = np.full(15, 9.0, np.float32)
    driver.tokenizer.encode_features = lambda x: np.full((len(x) // 4, 2), int(x[0, 0]))  # type: ignore[method-assign]
    likeliest = GestureOptions(temperature=0.0)
    monkeypatch.setattr("avatargpt.gesture.stream.FOLLOW", 1.0)
    with torch.no_grad():
        driver.network.kinds.bias[-1] = 9.0  # no stroke: the token before counts
    streams = [GestureStream(driver, likeliest, start=p) for p in (None, pose)]
    codes = [GestureChunk.concatenate([s.push(rows(40, 12)), s.finish()]).codes for s in streams]
    assert not np.array_equal(*codes)


def test_sampling_by_seed_temperature_and_nucleus(driver: GestureDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = [GestureStream(driver, GestureOptions(seed=s)) for s in (1, 1, 2)]
    a, b, c = (GestureChunk.concatenate([s.push(rows(40, 12)), s.finish()]).codes for s in streams)
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    logits = np.log(np.array([0.5, 0.2, 0.29, 0.01]))
    assert CodeSampler(0)(logits) == 0
    monkeypatch.setattr("avatargpt.gesture.stream.TOP_P", 0.7)
    draw = CodeSampler(seed=0)
    counts = np.bincount([draw(logits) for _ in range(4000)], minlength=4) / 4000
    assert counts[1] == counts[3] == 0 and abs(counts[0] - 0.5 / 0.79) < 0.03
    for bad in ({"temperature": -1.0}, {"temperature": float("nan")}):
        with pytest.raises(UserError, match="accepted"):
            CodeSampler(**bad)


def test_smoothing_equals_scipy() -> None:
    from scipy.signal import savgol_filter

    def smoothed(frames: np.ndarray) -> np.ndarray:
        smoothing = Smoothing()
        return np.concatenate([smoothing.push(frames), smoothing.end()])

    x = rows(50, 5)
    for frames in (50, 9):
        assert np.allclose(smoothed(x[:frames])[4:], savgol_filter(x[:frames], 9, 2, axis=0)[4:], atol=1e-5)
    assert np.allclose(smoothed(x)[0], savgol_filter(x[:5], 5, 2, axis=0)[0], atol=1e-5)
    assert smoothed(x[:1]).shape == (1, 5) and np.allclose(smoothed(x[:3]), x[:3], atol=1e-5)


def test_two_microphones_need_not_be_in_step() -> None:
    driver = GestureDriver(network(audio_width=WIDTH, words="spelling"), tokenizer=Decoder())
    rng = np.random.default_rng(1)
    sound, answer = (0.1 * rng.standard_normal((2, 32_000))).astype(np.float32)
    nothing = np.zeros(0, np.float32)
    a, b, short = (SpeechGestureStream(driver, other=True) for _ in range(3))
    together = GestureChunk.concatenate([a.push(sound, answer), a.finish()])
    parts = [b.push(sound[:9000]), b.push(nothing, answer), b.push(sound[9000:], nothing), b.finish()]
    assert np.array_equal(GestureChunk.concatenate(parts).features, together.features)
    short.push(sound, answer[:9000])
    with pytest.raises(UserError, match="lasts"):
        short.finish()


def test_memory_of_a_stream_does_not_grow(driver: GestureDriver) -> None:
    stream = GestureStream(driver)

    def size() -> int:
        state = sum(x.untyped_storage().nbytes() for block in stream._state.memory for x in block)
        return state + sum((x if x.base is None else x.base).nbytes for x in stream._waiting.values())

    for _ in range(12):
        stream.push(rows(10, 12))
    before = size()
    for _ in range(50):
        stream.push(rows(10, 12))
    assert size() == before


def test_folders_are_loaded_and_checked(tmp_path: Path, driver: GestureDriver) -> None:
    driver.save(tmp_path)
    loaded = GestureDriver.load(tmp_path)
    assert loaded.fingerprint == driver.fingerprint and loaded.network.config == driver.network.config
    about = (tmp_path / "gesture.json").read_text()
    for bad in (about.replace('"width"', '"widht"'), about.replace('"heads": 2', '"heads": 3'), "{"):
        (tmp_path / "gesture.json").write_text(bad)
        with pytest.raises(UserError) as e:
            GestureDriver.load(tmp_path)
        assert "\n" not in str(e.value)
    with pytest.raises(UserError, match=r"no gesture\.json"):
        GestureDriver.load(tmp_path / "none")


def test_bad_rows_and_options_are_refused(driver: GestureDriver) -> None:
    good = rows(8, 12)
    for options, call in (
        ({"options": GestureOptions(head="loud")}, {}), ({"options": GestureOptions("carl")}, {}),
        ({"options": GestureOptions(2)}, {}), ({"options": GestureOptions([1.0])}, {}), ({"other_words": True}, {}),
        ({}, {"words": rows(8, WORDS)}),
    ):  # fmt: skip
        with pytest.raises(UserError, match="accepted"):
            GestureStream(driver, **options).push(good, **call)
    stream = GestureStream(driver, words=True)
    stream.push(good)
    with pytest.raises(UserError, match="frames beside"):
        stream.finish()
    tied = GestureDriver(network(tokenizer="abc"))
    tied.check_tokenizer("abc")
    assert GestureStream(tied, GestureOptions(head="features", smooth=False)).latency == 8 / 30
    assert GestureStream(driver, GestureOptions(smooth=False)).latency == 20 / 30
    config = type(driver.network.config)
    for call, message in (
        (lambda: tied.check_tokenizer("abd"), "codes of tokenizer abc, not of abd"),
        (lambda: GestureStream(tied), r"no tokenizer\.json beside the network"),
        (lambda: SpeechGestureStream(GestureDriver(network(audio="other"))), "hears by 'other'; accepted"),
        (lambda: SpeechGestureStream(GestureDriver(network(audio_width=WIDTH)), encoder=Spelling()), "words read by"),
        (lambda: config.read({**SHAPE, "width": 30}, "shape"), "accepted"),
        (lambda: config.read({**SHAPE, "rotations": [[0, 11]]}, "shape"), "accepted"),
        (lambda: config.read({**SHAPE, "positions": [[14, 17]]}, "shape"), "accepted"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            call()
