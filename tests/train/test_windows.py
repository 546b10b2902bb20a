"""Windows of clips that stay on disk are those of clips in memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from avatargpt.train.data.windows import BLOCK, FeatureFile, Windows
from vqvae.errors import UserError

WIDTH = 37


def made(folder: Path, hold: list[slice]) -> tuple[Windows, list[np.ndarray]]:
    rng = np.random.default_rng(3)
    clips = [rng.normal(size=(n, WIDTH)).astype(np.float32) * 3 + 1 for n in (BLOCK + 5, 20, 300, 1, BLOCK, 77)]
    file = FeatureFile(folder)
    for clip in clips:
        file.add(clip)
    return Windows(file, ["walk", "bow", "walk", "bow", "run", "run"], np.zeros(6, bool), hold), clips


def test_clips_come_back(tmp_path: Path) -> None:
    windows, clips = made(tmp_path / "not" / "there yet", [])
    assert windows.clips.lengths.tolist() == [len(c) for c in clips]
    for kept, clip in zip(windows.clips, clips, strict=True):
        np.testing.assert_array_equal(kept, clip)
    np.testing.assert_array_equal(windows.clips[-1], clips[-1])
    np.testing.assert_array_equal(windows.clips.frames(2, 10, 50), clips[2][10:50])
    with pytest.raises(IndexError):
        windows.clips[6]
    assert os.listdir(tmp_path) == []  # the file has no name


def test_statistics_are_numpys_to_the_bit(tmp_path: Path) -> None:
    windows, clips = made(tmp_path, [])
    everything = np.concatenate(clips).astype(np.float64)
    mean, std = windows.statistics()
    np.testing.assert_array_equal(mean, everything.mean(0).astype(np.float32))
    np.testing.assert_array_equal(std, everything.std(0).astype(np.float32))


@pytest.mark.parametrize("hold", [[], [slice(0, 2), slice(5, 9)]])
def test_batches_are_cut_from_the_clips(tmp_path: Path, hold: list[slice]) -> None:
    windows, clips = made(tmp_path, hold)
    batch = windows.batch(40, 64, [1, 2], 0.5, 0.5)
    np.testing.assert_array_equal(batch, windows.batch(40, 64, [1, 2], 0.5, 0.5))
    starts = {clip[i].tobytes(): (n, i) for n, clip in enumerate(clips) for i in range(len(clip))}
    for row in batch:
        n, at = starts[row[0].tobytes()]
        real = clips[n][at : at + 64]
        np.testing.assert_array_equal(row[: len(real)], real)
        held = np.delete(row[len(real) :], np.r_[tuple(hold)] if hold else [], axis=1)
        np.testing.assert_array_equal(held, np.broadcast_to(np.delete(real[-1], np.r_[tuple(hold)] if hold else []),
                                                            held.shape))  # fmt: skip
        assert not any(row[len(real) :, channels].any() for channels in hold)


def test_clips_of_other_widths_are_refused(tmp_path: Path) -> None:
    windows, _ = made(tmp_path, [])
    with pytest.raises(UserError, match="5 channels among such of 37"):
        windows.clips.add(np.zeros((3, 5), np.float32))
