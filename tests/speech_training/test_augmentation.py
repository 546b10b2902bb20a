"""Training clips of speech: texts, augmentation."""

from collections.abc import Callable

import numpy as np
import pytest

from avatargpt.metrics.face_events import count_peaks
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, extract
from avatargpt.train.speech_data import augment, clips
from avatargpt.train.speech_data.augment import Disturber, noise
from avatargpt.train.speech_data.batches import SpeechBatches, SpeechSampling
from avatargpt.train.speech_data.clips import SOUNDS, sound_clips, sounds, still_clips
from avatargpt.train.speech_data.expressions import draw_action_clips, make_counted_clips
from tests.factories import PHONES, speech_clip, voice
from vqvae.arkit import INDEX
from vqvae.errors import UserError


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_situations_keep_length_and_time() -> None:
    x = np.zeros(RATE, np.float32)
    x[4000:4400] = voice(1.0)[4000:4400]
    for y in (augment.colour(x, rng(0)), augment.echo(x, rng(0)), augment.band(x, 200, 5000), augment.telephone(x)):
        assert len(y) == len(x) and np.isfinite(y).all()
        assert abs(int(np.abs(np.convolve(y**2, np.ones(400), "same")).argmax()) - 4200) < 300
    for seed in range(20):
        y = augment.simulate_recording(x, rng(seed), [voice(1.0, seed=seed)])
        assert len(y) == len(x) and np.abs(y).max() <= 1.0 and np.isfinite(y).all()


def test_articulation_changes_consonants_alone() -> None:
    sound = voice(2.0)
    changed = augment.articulate(sound, PHONES, rng(0))
    for p in PHONES:
        part = slice(round(p.start * RATE), round(p.end * RATE))
        assert np.array_equal(sound[part], changed[part]) == (p.name in ("AA", "IY", "UW", "AE"))


def test_bands_and_slopes_of_noise() -> None:
    spectrum = np.abs(np.fft.rfft(augment.band(noise(RATE, rng(0), 0.0), 100, 2000)))
    assert spectrum[4000:].mean() < 0.02 * spectrum[500:1500].mean()
    brown = np.abs(np.fft.rfft(noise(RATE, rng(1), 2.0)))
    assert brown[100:200].mean() > 5 * brown[1000:2000].mean()


def test_pauses_shift_later_phones() -> None:
    sound = voice(2.0)
    longer, moved = augment.insert_pauses(sound, PHONES, rng(0), 2)
    added = len(longer) / RATE - 2.0
    assert added >= 0.2 and moved[-1].end == pytest.approx(PHONES[-1].end + added, abs=1e-3) or moved[-1] == PHONES[-1]
    for old, new in zip(PHONES, moved, strict=True):
        assert new.end - new.start == pytest.approx(old.end - old.start)
        a, b = (round((p.start + 0.02) * RATE) for p in (old, new))
        assert np.allclose(sound[a : a + 300], longer[b : b + 300])


def test_codecs_keep_the_time() -> None:
    pytest.importorskip("av")
    sound = voice(2.0)
    for codec, (_, rates) in augment.CODECS.items():
        decoded = augment.encode_and_decode(sound, codec, rates[-1])
        assert len(decoded) == len(sound) and not np.array_equal(decoded, sound)
        moved = [decoded[200 + k : len(decoded) - 200 + k] for k in range(-64, 65)]
        lags = [float(np.corrcoef(sound[200:-200], m)[0, 1]) for m in moved]
        assert abs(int(np.argmax(lags)) - 64) <= 4 and max(lags) > 0.85
    a, b, c = (augment.any_coded(sound[:8000], rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize("kind", SOUNDS, ids=lambda k: k.__name__)
def test_each_kind_of_sound(kind: Callable[[float, np.random.Generator], np.ndarray]) -> None:
    sound = kind(4.0, rng(3))
    assert sound.shape == (4 * RATE,) and np.isfinite(sound).all()
    assert np.array_equal(sound, kind(4.0, rng(3))) and not np.array_equal(sound, kind(4.0, rng(4)))
    loud = np.abs(sound) > 0.05 * np.abs(sound).max()
    assert 0.0005 < loud.mean() < 0.95  # audible, with gaps


def test_clips_with_a_resting_mouth() -> None:
    peaks = [np.abs(sounds(3.0, rng(i))).max() for i in range(40)]
    assert max(peaks) <= 1.0 and min(peaks) < 0.1 < max(peaks)
    clips = list(sound_clips(3, seed=5))
    assert [c.source for c in clips] == ["sound"] * 3 and all(3 * 30 - 1 <= len(c) <= 8 * 30 for c in clips)
    assert all(c.features[:, BANDS].max() > c.features[:, BANDS].min() + 1 for c in clips)
    still, again = (list(still_clips(4, 0)) for _ in range(2))
    assert not any(c.curves.any() or c.phones.any() for c in (*clips, *still))
    assert np.array_equal(still[1].features, again[1].features)
    with pytest.raises(UserError, match="no clips of 'sound'"):
        SpeechBatches(still, sampling=SpeechSampling(sounds=0.2))
    SpeechBatches([*still, *clips], sampling=SpeechSampling(sounds=0.2))


def syllables(seconds: float = 4.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 30))
    return np.asarray(0.1 * wave * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1), np.float32)


def quarters(sound: np.ndarray) -> np.ndarray:
    return extract(sound, RATE).reshape(-1, QUARTERS, PER_QUARTER)


def test_noise_added_to_features_resembles_noise_added_to_the_sound() -> None:
    sound, background = syllables(), 0.01 * noise(4 * RATE, rng(1), 1.0)
    plain, expected = quarters(sound), quarters(sound + background)
    result, quiet = plain.copy(), quarters(background)
    loudest = [float(np.quantile(x[..., BANDS], 0.95)) for x in (plain, quiet)]
    db = 10 * np.log10((background**2).mean() / (sound[(np.abs(sound) > 0.02)] ** 2).mean())
    augment.add_background(result, quiet, loudest[0] - loudest[1] + db / 10 * np.log(10))
    at = slice(30, None)
    error, change = (np.abs(x[at, :, :BANDS] - expected[at, :, :BANDS]).mean() for x in (result, plain))
    assert error < 0.25 * change  # most of the effect on the bands
    voiced = expected[at, :, BANDS + 1]
    assert np.abs(result[at, :, BANDS + 1] - voiced).mean() < 0.5 * np.abs(plain[at, :, BANDS + 1] - voiced).mean()


def test_an_echo_adds_a_tail_after_a_sound_and_nothing_before_it() -> None:
    sound = np.zeros(RATE, np.float32)
    sound[8000:8200] = noise(200, rng(2), 0.0)
    plain = quarters(sound)
    result = plain.copy()[None]
    Disturber(echo=1.0)(result, rng(3))
    assert np.allclose(result[0, :14], plain[:14], atol=1e-5)
    tail = slice(17, 20)
    for x in (result[0], quarters(augment.echo(sound, rng(3)))):
        assert (x[tail, :, :BANDS].mean() - plain[tail, :, :BANDS].mean()) > 0.5
    assert (result[0][..., : BANDS + 1] >= plain[..., : BANDS + 1] - 1e-5).all()


def test_formants_move_and_pitch_stays() -> None:
    tone = np.full((1, 40, QUARTERS, PER_QUARTER), -8.0, np.float32)
    tone[..., 40] = 0.0
    peaks = set()
    for seed in range(6):
        moved = tone.copy()
        Disturber(formants=1.0)(moved, rng(seed))
        assert np.array_equal(moved[..., BANDS:], tone[..., BANDS:])
        assert moved.max() <= 1e-5 and moved.min() >= -8 - 1e-5 and (moved[0] == moved[0, 0]).all()
        peaks.add(int(moved[0, 0, 0, :BANDS].argmax()))
    assert min(peaks) < 40 < max(peaks) and max(peaks) - min(peaks) < 14


def test_disturbances_keep_silence_and_depend_on_the_seed() -> None:
    parts = np.stack([quarters(syllables()), np.repeat(quarters(np.zeros(RATE, np.float32))[-1:], 120, 0)])
    a, b, c = parts.copy(), parts.copy(), parts.copy()
    disturb = Disturber(colour=1.0, noise=1.0)
    for x, seed in ((a, 0), (b, 0), (c, 1)):
        disturb(x, rng(seed))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert np.isfinite(a).all() and not np.array_equal(a[0], parts[0])
    assert np.allclose(a[1], parts[1], atol=1e-3)


def test_the_share_of_disturbed_rows() -> None:
    settings = [SpeechSampling(level=0.0, masks=0.0, noise=share) for share in (0.0, 0.5)]
    clean, noisy = (SpeechBatches([speech_clip(seed=1)], sampling=s).draw(160, 60, 2, [0]) for s in settings)
    assert bool((clean.curves == noisy.curves).all())
    assert 0.4 < float((clean.features == noisy.features).all(-1).all(-1).float().mean()) < 0.6


def test_a_room_without_speech_is_noise_at_a_level_or_silence() -> None:
    noisy = Disturber(noise=0.5)
    draws = [noisy.room(50, rng(1, i)) for i in range(12)]
    rooms = [x for x in draws if x is not None]
    assert 2 < len(rooms) < 10 and Disturber(noise=0.0).room(50, rng(0)) is None
    levels = [float(x[..., BANDS].mean()) for x in rooms]
    assert max(levels) - min(levels) > 1 and max(levels) < -3  # never louder than speech
    assert all(x.shape == (50, QUARTERS, PER_QUARTER) and np.isfinite(x).all() for x in rooms)
    noisy.noise = 1.0
    assert noisy.room(4000, rng(0)).shape[0] == 4000  # longer than the stored noise


def test_sounds_behind_speech_and_alone() -> None:
    bank = [c.features.reshape(-1, QUARTERS, PER_QUARTER) for c in sound_clips(2, seed=5)]
    speech = np.zeros((2, 40, QUARTERS, PER_QUARTER), np.float32)
    disturbed = speech.copy()
    Disturber(sounds=1.0, bank=bank)(disturbed, rng(1))
    assert (disturbed[..., : BANDS + 1] >= -1e-6).all() and (disturbed != speech).any((1, 2, 3)).all()
    alone = Disturber(sounds=1.0, bank=bank).room(40, rng(1))
    assert alone is not None and alone.shape == (40, QUARTERS, PER_QUARTER)
    assert Disturber(bank=bank).room(40, rng(1)) is None


def test_utterances_have_a_sensible_length() -> None:
    lines = clips.utterances(clips.own_texts(None), np.random.default_rng(0), 50)
    assert len(set(lines)) == 50 and all(20 <= len(t) <= 110 for t in lines)
    with pytest.raises(UserError):
        clips.utterances([], np.random.default_rng(0), 3)


def test_validation_texts_do_not_depend_on_the_other_texts() -> None:
    texts = clips.own_texts(None)
    training, validation = clips.split_texts(texts)
    assert 0.03 < len(validation) / len(texts) < 0.07 and sorted(training + validation) == sorted(texts)
    assert not {" ".join(t.lower().split()) for t in training} & {" ".join(t.lower().split()) for t in validation}
    assert clips.split_texts(["x", validation[0].upper(), training[0]])[1][-1:] == [validation[0].upper()]
    with pytest.raises(UserError, match="held_out: 2; accepted up to 1"):
        options = clips.SpeechData(clips=0, held_out=2)
        next(clips.synthetic_clips(training, validation[:1], options, None))  # type: ignore[arg-type]


def test_drawn_clips_show_their_clauses() -> None:
    drawn = list(draw_action_clips(6, 0, "train"))
    assert any(c.clauses for c in drawn) and any(c.feelings for c in drawn)
    for c in drawn:
        if c.clauses and not c.feelings:
            clause = c.clauses[0]
            inside = c.curves[round(clause.start * 30) : round(clause.end * 30)]
            before = c.curves[: max(1, round((clause.start - 0.3) * 30))]
            assert np.abs(inside).max() > np.abs(before).max()


def test_counted_clips_repeat_as_often_as_they_say() -> None:
    counted = list(make_counted_clips(30, 0, "train"))
    assert {c.clauses[0].repeat for c in counted} >= {2, 3, 4, 5} and any(len(c.clauses) == 2 for c in counted)
    assert any(c.feelings for c in counted)
    for c in counted:
        clause = next(x for x in c.clauses if x.repeat > 1)
        if len(c.clauses) > 1 or c.feelings or clause.action not in ("blink", "wink_left", "wink_right"):
            continue
        inside = c.curves[round(30 * clause.start) : round(30 * clause.end)]
        lid = inside[:, INDEX["eyeBlinkRight" if clause.action.endswith("right") else "eyeBlinkLeft"]]
        assert count_peaks(lid, 0.6 * lid.max(), 0.75 * lid.max()) == clause.repeat


def test_short_sentences_are_joined() -> None:
    def joined(*names: str) -> list[clips.AlignedSentence]:
        splits = ["val" if "val" in name else "train" for name in names]
        sentences = [clips.AlignedSentence(n, voice(2.0), list(PHONES), s) for n, s in zip(names, splits, strict=True)]
        return list(clips.join_sentences(sentences, np.random.default_rng(0)))

    out = joined("a/fr/1", "a/fr/2", "a/fr/3", "a/fr/4", "a/es/1", "a/es/2")
    assert [s.name for s in out] == ["a/fr/1", "a/fr/4", "a/es/1"]
    long = out[0]
    assert len(long.audio) >= clips.MIN_SECONDS * RATE and len(long.phones) == 3 * len(PHONES)
    assert all(a.end <= b.start + 1e-6 for a, b in zip(long.phones, long.phones[1:], strict=False))
    at = round((long.phones[len(PHONES)].start - PHONES[0].start) * RATE)
    assert np.array_equal(long.audio[at : at + 2 * RATE], voice(2.0))
    assert [s.split for s in joined("x/1", "x/2val")] == ["train", "val"]


def test_shares_of_sources() -> None:
    sources = ("espeak", "espeak", "espeak", "espeak", "lj", "stamps")
    cache = [speech_clip(seed=i) for i in range(6)]
    for c, source in zip(cache, sources, strict=True):
        c.name = f"{source}/x"
    weights = SpeechBatches(cache, sampling=SpeechSampling(paired=0.0, shares={"stamps": 0.5, "lj": 0.2}))._weights[
        False
    ]
    assert weights is not None
    assert weights[5] == pytest.approx(0.5) and weights[4] == pytest.approx(0.2)
    assert weights[:4].sum() == pytest.approx(0.3)
    for shares, message in (
        ({"stamps": 0.8, "lj": 0.4}, "parts of 1"), ({"nobody": 0.1}, "no clips of 'nobody'.* espeak, lj, stamps"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            SpeechBatches(cache, sampling=SpeechSampling(shares=shares))
