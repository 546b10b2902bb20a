""""Add an export or import" of CONTRIBUTING.md: `avatargpt export` writes and reads the new suffix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.__main__ import main
from avatargpt.export import formats
from tests.train.conftest import movement
from tests.walks.conftest import Section, Walk
from vqvae.errors import UserError
from vqvae.motion import Motion

STEPS = Section("Add an export or import")


def test_a_format(walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRITERS", "READERS"):
        monkeypatch.setattr(formats, name, dict(getattr(formats, name)))
    walk.module(STEPS, "avatargpt/export/xyz.py")
    walk.append(STEPS, "avatargpt/export/formats.py")

    motion = Motion(*movement("walk", 30, 1.0), 25.0)
    clip, text, back = (tmp_path / n for n in ("clip.npz", "clip.xyz", "back.npz"))
    motion.save(clip)
    lines = [line for code in STEPS.of("bash") for line in code.splitlines()]
    for line in lines:
        places = {"CLIP.npz": clip, "CLIP.xyz": text, "BACK.npz": back}
        assert main([str(places.get(w, w)) for w in line.split()[1:]]) == 0
    assert len(lines) == 2 and len(text.read_text().splitlines()) == 31
    read = Motion.load(back)
    assert read.fps == 25 and np.allclose(read.root, motion.root) and np.allclose(read.rotations, motion.rotations)

    export.save(motion, text, scale=100)
    assert np.allclose(export.load(text, scale=100).root, motion.root, atol=1e-6)
    assert ".xyz" in export.writable("body") and ".xyz" not in export.writable("face")
    text.write_text("# 25\n1 2 3\n")
    with pytest.raises(UserError, match=r"clip\.xyz: not a \.xyz file"):
        export.load(text)
