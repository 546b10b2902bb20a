"""Every task on a device other than the CPU, with the packaged weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from avatargpt import AvatarGPT
from tests.devices import SECOND, second_device


@pytest.fixture(scope="module")
def gpt() -> Iterator[AvatarGPT]:
    model = AvatarGPT.from_pretrained(device="cpu")
    with second_device():
        yield model.to(str(SECOND))


def test_tensors_of_two_devices_do_not_meet() -> None:
    with second_device():
        there = torch.ones(3, device=SECOND)
        assert there.device == (there * 2 + torch.tensor(1.0)).device == SECOND
        assert there.cpu().numpy().sum() == 3 and float(there[1]) == 1
        with pytest.raises(RuntimeError, match="devices?"):
            there + torch.ones(3)


def test_every_task_computes_there(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.body.tasks.REFINE_STEPS", 2)
    assert gpt.device == SECOND
    motions = gpt.generate(["a person waves, then turns left 90 degrees", "someone jumps three times"], best_of=2)
    assert all(np.isfinite(m.joints).all() for m in motions)
    (sentence,) = gpt.describe(motions[0], best_of=3)
    assert sentence.split() and all(t.split() for t in gpt.describe(motions[0], num=2)[0])
    assert len(gpt.extend(motions[1], 1.0, "a person walks", best_of=2)) == len(motions[1]) + 20
    middle = gpt.in_between(motions[0], motions[1], 1.0, best_of=2)
    assert len(middle) == len(motions[0]) + len(motions[1]) + 20
    codes = [gpt.tokenizers["body"].encode(m) for m in motions]
    assert gpt.fit(codes, ["wave", "jump"]).shape == gpt.likelihood(codes, ["wave", "jump"]).shape == (2,)
    rebuilt, figures = gpt.reconstruct(motions[1].slice(0, 24))
    assert len(rebuilt) == 24 and figures["mpjpe_mm"] < 500
    assert len(gpt.face("smile, then blink", best_of=2)[0])
    assert gpt.describe_face(gpt.face("smile", best_of=1)[0])
