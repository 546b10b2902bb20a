"""Phone times from the driver's phone head: visemes, closures, onsets."""

import numpy as np
import pytest

from avatargpt.speech.audio import RATE
from avatargpt.speech.features import extract
from avatargpt.speech.phone_times import with_closures, with_onsets, with_visemes
from avatargpt.speech.phones import ARPABET, INDEX, VISEMES, Phone


def test_looking_alike_counts_half() -> None:
    assert sorted(p for g in VISEMES for p in g) == sorted(ARPABET)
    p = np.full((1, len(ARPABET)), 1e-6)
    p[0, INDEX["P"]] = 1.0
    seen = np.exp(with_visemes(np.log(p)))[0]
    assert seen[INDEX["P"]] == pytest.approx(1.0, abs=1e-3) and seen[INDEX["M"]] == pytest.approx(0.5, abs=1e-3)
    assert seen[INDEX["T"]] < 1e-3


def test_the_silence_before_a_burst_is_its_closure() -> None:
    heard = [Phone("SIL", 0.0, 0.5), Phone("P", 0.5, 0.53), Phone("AA", 0.53, 0.7), Phone("SIL", 0.7, 0.78),
             Phone("T", 0.78, 0.8), Phone("SIL", 0.8, 0.9), Phone("M", 0.9, 1.0)]  # fmt: skip
    found = with_closures(heard)
    assert [(p.name, round(p.start, 2), round(p.end, 2)) for p in found] == [
        ("SIL", 0.0, 0.43), ("P", 0.43, 0.53), ("AA", 0.53, 0.7), ("T", 0.7, 0.8), ("SIL", 0.8, 0.9), ("M", 0.9, 1.0),
    ]  # fmt: skip


def test_soft_sounds_after_a_pause_begin_where_the_sound_rises() -> None:
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 1e-4, RATE).astype(np.float32)
    audio[RATE // 2 :] += rng.normal(0, 0.03, RATE // 2).astype(np.float32)

    def times(phones: list[Phone]) -> list[tuple[str, float, float]]:
        return [(p.name, p.start, p.end) for p in with_onsets(phones, extract(audio, RATE))]

    heard = [Phone("SIL", 0.0, 0.58), Phone("HH", 0.58, 0.6), Phone("AH", 0.6, 0.62), Phone("L", 0.62, 0.7)]
    found = times(heard)
    start = found[0][2]
    assert start == pytest.approx(0.5, abs=0.02)  # a window of 25 ms hears it half before it ends
    middle = (start + 0.62) / 2
    assert found == [("SIL", 0.0, start), ("HH", start, middle), ("AH", middle, 0.62), ("L", 0.62, 0.7)]
    one = times([Phone("SIL", 0.0, 0.58), Phone("AA", 0.58, 0.7)])
    assert one == [("SIL", 0.0, start), ("AA", start, 0.7)]
    for same in (
        [Phone("SIL", 0.0, 0.58), Phone("P", 0.58, 0.7)],  # a closure is silent
        [Phone("SIL", 0.0, 0.05), Phone("AA", 0.05, 0.4), Phone("SIL", 0.4, 0.45), Phone("AA", 0.45, 0.7)],  # no pauses
        [Phone("SIL", 0.0, 0.3), Phone("AA", 0.3, 0.7)],  # quiet before it
    ):
        assert times(same) == [(p.name, p.start, p.end) for p in same]
    late = [Phone("SIL", 0.0, 0.9), Phone("AA", 0.9, 1.0)]
    assert times(late)[0][2] >= 0.9 - 0.12 - 1e-6
