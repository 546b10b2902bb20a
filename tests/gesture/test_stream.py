from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.gesture.config import UNKNOWN, GestureOptions
from avatargpt.gesture.decoding import Sampler, Smoothing
from avatargpt.gesture.driver import GestureDriver
from avatargpt.gesture.features import WIDTH
from avatargpt.gesture.network import GestureInput, GestureNetwork, previous_codes
from avatargpt.gesture.stream import GestureChunk, GestureStream, SpeechGestureStream
from tests.gesture.conftest import SHAPE, Decoder, Spelling, Word, network, rows
from vqvae.errors import UserError

FRAMES = 90


def heard(frames: int = FRAMES, other: bool = True) -> GestureInput:
    audio, words = torch.from_numpy(rows(frames, 12))[None], torch.from_numpy(rows(frames, 8))[None]
    if not other:
        return GestureInput(audio, words, torch.zeros(1, 8))
    return GestureInput(audio, words, torch.zeros(1, 8), audio.flip(1), words.flip(1))


def run(
    net: GestureNetwork, inputs: GestureInput, codes: torch.Tensor, segment: int
) -> tuple[torch.Tensor, torch.Tensor]:
    return net(inputs, previous_codes(codes), codes, codes, segment)


@torch.inference_mode()
def test_long_segments_say_what_short_ones_say() -> None:
    net, codes = network(), torch.randint(0, 16, (1, 20, 2))
    motion, logits = run(net, heard(80), codes, 16)
    assert motion.shape == (1, 80, 15) and logits.shape == (1, 20, 2, 16)
    for segment in (4, 40, 80):
        again, said = run(net, heard(80), codes, segment)
        assert torch.allclose(again, motion, atol=1e-4) and torch.allclose(said, logits, atol=1e-4)


@torch.inference_mode()
def test_memory_reaches_beyond_a_segment() -> None:
    """Two layers of reach 16 see 30 frames back, across segments of 16, and no further."""
    net = network()
    codes = torch.full((1, 20, 2), UNKNOWN)
    plain, changed = heard(80, other=False), heard(80, other=False)
    changed.audio[:, 20] += 3
    moved = (run(net, plain, codes, 16)[0] - run(net, changed, codes, 16)[0]).abs().amax(-1)[0] > 1e-4
    assert not moved[:20].any() and moved[40] and not moved[20 + 31 :].any()


@torch.inference_mode()
@pytest.mark.parametrize("name", ["audio", "words", "other_audio", "other_words"])
def test_the_future_does_not_change_the_past(name: str) -> None:
    net, codes = network(), torch.randint(0, 16, (1, 20, 2))
    plain, changed = heard(80), heard(80)
    getattr(changed, name)[:, 41:] *= -1
    before, after = run(net, plain, codes, 16)[0], run(net, changed, codes, 16)[0]
    assert torch.equal(before[:, :41], after[:, :41])
    assert not torch.allclose(before[:, 41:], after[:, 41:], atol=1e-3)


@torch.inference_mode()
def test_who_is_absent_says_nothing() -> None:
    net, codes = network(), torch.randint(0, 16, (2, 20, 2))
    one, alone = heard(80), heard(80, other=False)
    both_rows = (one.audio, one.words, one.style, one.other_audio, one.other_words)
    two = GestureInput(*(torch.cat((x, x)) for x in both_rows))
    two.present = torch.tensor([True, False])
    both = run(net, two, codes[:1].expand(2, -1, -1), 16)[0]
    assert torch.allclose(both[0], run(net, one, codes[:1], 16)[0][0], atol=1e-4)
    assert torch.allclose(both[1], run(net, alone, codes[:1], 16)[0][0], atol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=1e-2)


@torch.inference_mode()
def test_tokens_are_fed_back_and_followed() -> None:
    net = network()
    codes = torch.randint(0, 16, (1, 20, 2))
    other = codes.clone()
    other[:, 10] = (other[:, 10] + 1) % 16
    a, b = run(net, heard(80), codes, 16), run(net, heard(80), other, 16)
    assert torch.equal(a[0][:, :40], b[0][:, :40]) and not torch.allclose(a[0][:, 40:44], b[0][:, 40:44], atol=1e-2)
    assert torch.equal(a[1][:, 10, 0], b[1][:, 10, 0])  # a level does not see its own code
    assert not torch.allclose(a[1][:, 10, 1], b[1][:, 10, 1], atol=1e-2)  # but that of the level before
    assert not torch.allclose(a[1][:, 11], b[1][:, 11], atol=1e-3)


def perform(driver: GestureDriver, chunk: int, head: str, smooth: bool, words: bool, other: bool) -> GestureChunk:
    audio, said, heard_of, told = rows(FRAMES, 12, 1), rows(FRAMES, 8, 2), rows(FRAMES, 12, 3), rows(FRAMES, 8, 4)
    stream = GestureStream(driver, GestureOptions("bert", head, 3, 1.0, smooth), words, other, words and other)
    parts = []
    for i in range(0, FRAMES, chunk):
        part = slice(i, i + chunk)
        parts.append(stream.push(audio[part], said[part] if words else None, heard_of[part] if other else None,
                                 told[part] if words and other else None))  # fmt: skip
    return GestureChunk.concatenate([*parts, stream.finish()])


@pytest.mark.parametrize("head, smooth, words, other", [
    ("codes", False, True, True), ("codes", True, False, False), ("features", False, True, False),
    ("features", True, False, True),
])  # fmt: skip
def test_a_stream_equals_the_whole_to_the_bit(
    driver: GestureDriver, head: str, smooth: bool, words: bool, other: bool
) -> None:
    whole = perform(driver, FRAMES, head, smooth, words, other)
    assert whole.features.shape == (FRAMES, 15)
    assert whole.codes.shape == (23 if head == "codes" else 0, 2)
    for chunk in (1, 3, 4, 11, 64):
        made = perform(driver, chunk, head, smooth, words, other)
        assert np.array_equal(made.features, whole.features) and np.array_equal(made.codes, whole.codes)


@torch.inference_mode()
def test_a_stream_says_what_training_sees(driver: GestureDriver) -> None:
    made = perform(driver, FRAMES, "codes", False, True, True)
    mean = perform(driver, FRAMES, "features", False, True, True)
    ahead = 4
    given = [np.concatenate([rows(FRAMES, w, s), np.repeat(rows(FRAMES, w, s)[-1:], 6, 0) * (w == 12)])
             for w, s in ((12, 1), (8, 2), (12, 3), (8, 4))]  # fmt: skip
    audio, words, other, told = (torch.from_numpy(x)[None] for x in given)
    codes = torch.from_numpy(np.concatenate([np.full((1, 2), UNKNOWN), made.codes]))[None]
    style = torch.from_numpy(driver.style("bert"))[None]
    given_to = GestureInput(audio, words, style, other, told)
    _, logits = run(driver.network, given_to, codes, 16)
    motion, _ = run(driver.network, given_to, torch.full_like(codes, UNKNOWN), 16)
    assert np.allclose(motion[0, ahead : ahead + FRAMES].numpy(), mean.features, atol=1e-4)
    decoded = driver.tokenizer.decode_features(made.codes)[:FRAMES]
    assert np.allclose(decoded, made.features, atol=1e-5)  # this decoder looks no further than a window does
    drawn = logits[0, 1:].softmax(-1).gather(-1, codes[0, 1:, :, None])
    assert float(drawn.min()) > 1e-3


def test_tokens_are_drawn_by_seed_and_the_likeliest_without_temperature(driver: GestureDriver) -> None:
    audio = rows(40, 12)
    streams = [GestureStream(driver, GestureOptions(seed=s)) for s in (1, 1, 2)]
    a, b, c = (GestureChunk.concatenate([s.push(audio), s.finish()]).codes for s in streams)
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    logits = np.log(np.array([0.5, 0.2, 0.29, 0.01]))
    assert Sampler(0)(logits) == 0
    draw = Sampler(top_p=0.7, seed=0)
    counts = np.bincount([draw(logits) for _ in range(4000)], minlength=4) / 4000
    assert counts[1] == counts[3] == 0 and abs(counts[0] - 0.5 / 0.79) < 0.03
    for bad in ({"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}):
        with pytest.raises(UserError, match="accepted"):
            Sampler(**bad)


def test_smoothing_is_that_of_scipy() -> None:
    from scipy.signal import savgol_filter

    def smoothed(frames: np.ndarray) -> np.ndarray:
        smoothing = Smoothing()
        return np.concatenate([smoothing.push(frames), smoothing.end()])

    x = rows(50, 5)
    assert np.allclose(smoothed(x)[4:], savgol_filter(x, 9, 2, axis=0)[4:], atol=1e-5)
    assert np.allclose(smoothed(x)[0], savgol_filter(x[:5], 5, 2, axis=0)[0], atol=1e-5)
    assert smoothed(x[:1]).shape == (1, 5) and np.allclose(smoothed(x[:3]), x[:3], atol=1e-5)
    assert np.allclose(smoothed(x[:9])[4:], savgol_filter(x[:9], 9, 2, axis=0)[4:], atol=1e-5)


def sounding() -> GestureDriver:
    return GestureDriver(network(audio_width=WIDTH, words="spelling"), tokenizer=Decoder())


@pytest.mark.parametrize("seconds", [0.01, 2.0])
def test_sound_in_motion_out(seconds: float) -> None:
    driver = sounding()
    rng = np.random.default_rng(0)
    sound, answer = (0.1 * rng.standard_normal((2, round(seconds * 22_050)))).astype(np.float32)
    words = [Word("well", 0.2, 0.5), Word("no", 0.9, 1.2)]

    def run(chunk: int, other: bool, encoder: Spelling | None, late: bool = False) -> GestureChunk:
        told = words if encoder else []
        stream = SpeechGestureStream(driver, 22_050, encoder, told[:1] if late else told, other)
        if late:
            stream.say(told[1:])
        parts = []
        for i in range(0, len(sound), chunk):
            parts.append(stream.push(sound[i : i + chunk], answer[i : i + chunk] if other else None))
        return GestureChunk.concatenate([*parts, stream.finish(), stream.finish()])

    whole = run(len(sound), True, Spelling())
    assert len(whole.features) == max(1, int(seconds * 30))
    assert np.array_equal(run(700, True, Spelling()).features, whole.features)
    if seconds > 1:
        without = run(700, False, Spelling()), run(700, True, None)
        assert all(np.abs(w.features - whole.features).max() > 1e-3 for w in without)
        assert len(run(700, True, Spelling(), late=True).features) == len(whole.features)


def test_two_microphones_need_not_keep_step() -> None:
    driver = sounding()
    rng = np.random.default_rng(1)
    sound, answer = (0.1 * rng.standard_normal((2, 32_000))).astype(np.float32)
    nothing = np.zeros(0, np.float32)
    a, b = (SpeechGestureStream(driver, other=True) for _ in range(2))
    first = GestureChunk.concatenate([a.push(sound, answer), a.finish()])
    parts = [b.push(sound[:9000]), b.push(nothing, answer), b.push(sound[9000:], nothing), b.finish()]
    assert np.array_equal(GestureChunk.concatenate(parts).features, first.features)
    short = SpeechGestureStream(driver, other=True)
    short.push(sound, answer[:9000])
    with pytest.raises(UserError, match="lasts"):
        short.finish()


def test_memory_of_a_stream_does_not_grow(driver: GestureDriver) -> None:
    stream = GestureStream(driver)

    def held() -> int:
        state = [kept for block in stream._state.memory for kept in block]
        return sum(x.untyped_storage().nbytes() for x in state) + sum(w.base.nbytes if w.base is not None else w.nbytes
                                                                     for w in stream._waiting.values())  # fmt: skip

    for _ in range(12):
        stream.push(rows(10, 12))
    before = held()
    for _ in range(50):
        stream.push(rows(10, 12))
    assert held() == before


def test_folders_come_back_and_are_checked(tmp_path: Path, driver: GestureDriver) -> None:
    driver.save(tmp_path)
    again = GestureDriver.load(tmp_path)
    assert again.fingerprint == driver.fingerprint and again.network.config == driver.network.config
    about = (tmp_path / "gesture.json").read_text()
    for bad in (about.replace('"width"', '"widht"'), about.replace('"heads": 2', '"heads": 3'), "{"):
        (tmp_path / "gesture.json").write_text(bad)
        with pytest.raises(UserError) as e:
            GestureDriver.load(tmp_path)
        assert "\n" not in str(e.value)
    with pytest.raises(UserError, match=r"no gesture\.json"):
        GestureDriver.load(tmp_path / "none")


def test_bad_rows_are_told_in_one_line(driver: GestureDriver) -> None:
    good = rows(8, 12)
    spoilt = good.copy()
    spoilt[3, 2] = np.nan
    for bad in (rows(8, 11), good[0], spoilt, good.astype(str)):
        with pytest.raises(UserError, match="audio"):
            GestureStream(driver).push(bad)
    for options, call in (
        ({"options": GestureOptions(head="loud")}, {}), ({"options": GestureOptions("carl")}, {}),
        ({"options": GestureOptions(2)}, {}), ({"options": GestureOptions([1.0])}, {}), ({"other_words": True}, {}),
        ({}, {"words": rows(8, 8)}), ({"words": True}, {"words": rows(8, 9)}),
    ):  # fmt: skip
        with pytest.raises(UserError, match="accepted"):
            GestureStream(driver, **options).push(good, **call)
    stream = GestureStream(driver, words=True)
    stream.push(good)
    with pytest.raises(UserError, match="frames beside"):
        stream.finish()
    tied = GestureDriver(network(tokenizer="abc"))
    tied.check_tokenizer("abc")
    with pytest.raises(UserError, match="codes of tokenizer abc, not of abd"):
        tied.check_tokenizer("abd")
    with pytest.raises(UserError, match=r"no tokenizer\.json beside the network"):
        GestureStream(tied)
    assert GestureStream(tied, GestureOptions(head="features", smooth=False)).latency == 8 / 30
    assert GestureStream(driver, GestureOptions(smooth=False)).latency == 20 / 30
    with pytest.raises(UserError, match="hears by 'other'"):
        SpeechGestureStream(GestureDriver(network(audio="other")))
    with pytest.raises(UserError, match="words read by"):
        SpeechGestureStream(GestureDriver(network(audio_width=WIDTH)), encoder=Spelling())
    for changed in ({"width": 30}, {"rotations": [[0, 11]]}, {"positions": [[14, 17]]}):
        with pytest.raises(UserError, match="accepted"):
            type(driver.network.config).read({**SHAPE, **changed}, "shape")
