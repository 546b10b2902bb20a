"""The studio with the packaged weights: words and a voice."""

import time

import numpy as np
import pytest

from tests.studio.conftest import Server, stretch, until
from tests.studio.test_files import a_voice, drop

SEGMENTS = "studio.studio.session?.segments ?? []"


@pytest.fixture(scope="module")
def packaged(browser, tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("store"), "--packaged")
    yield running
    running.kill()


@pytest.mark.slow
def test_words_and_a_voice(open_page, packaged):
    page = open_page(packaged.address)
    begun = time.monotonic()
    page.fill("#words", "a person walks forward")
    page.press("#words", "Enter")
    until(page, "studio.studio.player.playing && studio.time > 0.2", 60)
    print(f"words to movement: {time.monotonic() - begun:.1f} s at a load of {stretch():.1f}")
    base = "studio.studio.blend.base"
    way = page.evaluate(
        "(({rows, stride}) => [0, 2].map((k) => rows[rows.length - stride + k] - rows[k]))" + f"({base})"
    )
    assert np.hypot(*way) > 0.5
    until(page, "!studio.studio.busy")

    drop(page, "voice.wav", a_voice()[0])
    assert page.evaluate(f"({SEGMENTS}).length") == 2 and page.evaluate("studio.studio.blend.shape.joints.length") == 52
