"""The lines of docs/server.md in a shell, with curl, at a running server."""

import json
import re
import shutil
import subprocess
import wave
from pathlib import Path

import pytest

from avatargpt import export
from tests.export.avatars import write_vrm

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
PAGE = Path(__file__).parents[2] / "docs" / "server.md"


def test_the_documented_lines_answer(address: str, tmp_path: Path) -> None:
    block = re.search(r"## First steps with curl\n```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    lines = block[1].replace("http://127.0.0.1:8765", address)
    assert address in lines
    write_vrm(tmp_path / "hero.vrm", 1, False)
    with wave.open(str(tmp_path / "talk.wav"), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(bytes(32_000))
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = objects(done.stdout)
    motions, descriptions, longer, avatar, speech = answers
    (motion,) = motions["motions"]
    assert motion["prompt"] == "a person walks forward and waves" and motion["seconds"] == 4
    (file,) = tmp_path.glob("*.glb")
    assert export.load(file).seconds == pytest.approx(4, abs=0.1)
    assert descriptions["descriptions"] and longer["motions"][0]["seconds"] > 4
    assert (avatar["kind"], speech["kind"]) == ("avatar", "sound")


def objects(text: str) -> list[dict]:
    """JSON objects that stand one after the other."""
    values, place = [], 0
    while place < len(text):
        value, place = json.JSONDecoder().raw_decode(text, place)
        values.append(value)
        while place < len(text) and text[place].isspace():
            place += 1
    return values
