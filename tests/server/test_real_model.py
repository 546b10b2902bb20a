"""The packaged model behind the server."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.api import AvatarGPT
from avatargpt.options import GenerationConfig
from avatargpt.server.generation import Batch, Item


@pytest.fixture(scope="module")
def real() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


def test_same_seed_same_bytes_alone_and_in_a_batch(real):
    batch = Batch(GenerationConfig(best_of=2), None, 120.0)
    items = [Item("a person walks forward", 2.0, 1), Item("turn left 90 degrees", None, 3)]
    together = batch.generate(real, items, lambda *_: None)
    for item, (clips, captions) in zip(items, together, strict=True):
        ((alone,), same) = batch.generate(real, [item], lambda *_: None)[0]
        assert same == captions
        for name in ("rotations", "root"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(clips[0], name))


def test_a_turn_in_words(tmp_path, real):
    from starlette.testclient import TestClient

    from avatargpt.server.app import create_app
    from avatargpt.server.settings import ServerSettings

    with TestClient(create_app(ServerSettings(store=tmp_path), real), base_url="http://localhost") as client:
        number = client.post("/v1/sessions").json()["id"]
        row = client.post(f"/v1/sessions/{number}/turns", json={"text": "a person walks for 2 seconds"}).json()
        assert row["reply"]["ok"] and row["session"]["segments"][0]["seconds"] == pytest.approx(2)
        row = client.post("/v1/plans", json={"scene": "a man makes breakfast", "activities": 2}).json()
        assert len(row["activities"]) == 2 and all(a["steps"] for a in row["activities"])
        long = client.post("/v1/motions", json={"prompt": "a person walks in a circle 100 times"})
        assert long.status_code == 400, "more than one request may ask for"
