import numpy as np

from avatargpt.speech.audio import RATE
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, extract
from avatargpt.train.speech_data.augment import Disturber, add_behind, echo, noise
from avatargpt.train.speech_data.batches import Batches, Sampling
from tests.speech.conftest import clip


def syllables(seconds: float = 4.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 30))
    return np.asarray(0.1 * wave * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1), np.float32)


def heard(sound: np.ndarray) -> np.ndarray:
    return extract(sound, RATE).reshape(-1, QUARTERS, PER_QUARTER)


def test_noise_behind_features_is_like_noise_behind_the_sound() -> None:
    sound, other = syllables(), 0.01 * noise(4 * RATE, np.random.default_rng(1), 1.0)
    plain, truth = heard(sound), heard(sound + other)
    made, quiet = plain.copy(), heard(other)
    loudest = [float(np.quantile(x[..., BANDS], 0.95)) for x in (plain, quiet)]
    db = 10 * np.log10((other**2).mean() / (sound[(np.abs(sound) > 0.02)] ** 2).mean())
    add_behind(made, quiet, loudest[0] - loudest[1] + db / 10 * np.log(10))
    at = slice(30, None)
    missed, left = (np.abs(x[at, :, :BANDS] - truth[at, :, :BANDS]).mean() for x in (made, plain))
    assert missed < 0.25 * left  # most of what the noise does to the bands
    voiced = truth[at, :, BANDS + 1]
    assert np.abs(made[at, :, BANDS + 1] - voiced).mean() < 0.5 * np.abs(plain[at, :, BANDS + 1] - voiced).mean()


def test_a_room_adds_a_tail_after_a_sound_and_nothing_before_it() -> None:
    sound = np.zeros(RATE, np.float32)
    sound[8000:8200] = noise(200, np.random.default_rng(2), 0.0)
    plain = heard(sound)
    made = plain.copy()[None]
    Disturber(echo=1.0)(made, np.random.default_rng(3))
    assert np.allclose(made[0, :14], plain[:14], atol=1e-5)
    real = heard(echo(sound, np.random.default_rng(3)))
    tail = slice(17, 20)
    for x in (made[0], real):
        assert (x[tail, :, :BANDS].mean() - plain[tail, :, :BANDS].mean()) > 0.5
    assert (made[0][..., : BANDS + 1] >= plain[..., : BANDS + 1] - 1e-5).all()


def test_disturbances_keep_silence_and_are_the_same_for_a_seed() -> None:
    parts = np.stack([heard(syllables()), np.repeat(heard(np.zeros(RATE, np.float32))[-1:], 120, 0)])
    some, same, others = parts.copy(), parts.copy(), parts.copy()
    both = Disturber(colour=1.0, noise=1.0)
    for x, seed in ((some, 0), (same, 0), (others, 1)):
        both(x, np.random.default_rng(seed))
    assert np.array_equal(some, same) and not np.array_equal(some, others)
    assert np.isfinite(some).all() and not np.array_equal(some[0], parts[0])
    assert np.allclose(some[1], parts[1], atol=1e-3)  # where nobody speaks there is nothing to colour


def test_shares_say_how_many_rows_are_disturbed() -> None:
    usual = Batches([clip(seed=1)], sampling=Sampling(level=0.0, masks=0.0))
    noisy = Batches([clip(seed=1)], sampling=Sampling(level=0.0, masks=0.0, noise=0.5))
    rows, same = 0, 0
    for step in range(20):
        a, b = usual.draw(8, 60, 2, [0, step]), noisy.draw(8, 60, 2, [0, step])
        rows += 8
        same += sum(bool((x == y).all()) for x, y in zip(a.features, b.features, strict=True))
        assert bool((a.curves == b.curves).all())
    assert 0.3 < same / rows < 0.75


def test_a_room_without_speech_is_noise_at_a_level_or_silence() -> None:
    some = [Disturber(noise=0.5).room(50, np.random.default_rng([1, i])) for i in range(12)]
    found = [x for x in some if x is not None]
    assert 2 < len(found) < 10 and Disturber(noise=0.0).room(50, np.random.default_rng(0)) is None
    levels = [float(x[..., BANDS].mean()) for x in found]
    assert max(levels) - min(levels) > 1 and max(levels) < -3  # never louder than speech
    assert Disturber(noise=1.0).room(4000, np.random.default_rng(0)).shape[0] == 4000  # longer than what is kept
    assert all(x.shape == (50, QUARTERS, PER_QUARTER) and np.isfinite(x).all() for x in found)
