"""``avatargpt read``: clauses in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avatargpt.__main__ import main


def test_clauses_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "walk for 3 seconds, then wave twice with the left hand", "-q"]) == 0
    walk, wave = capsys.readouterr().out.splitlines()
    assert walk.startswith("walk seconds=3 -> ") and "times=2" in wave and "side=left" in wave


def test_json_of_several_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("don't walk, just wave\nperforms brain surgery\n")
    assert main(["read", f"@{file}", "--json", "-q"]) == 0
    waves, plays = json.loads(capsys.readouterr().out)
    assert [c.get("denied", False) for c in waves["clauses"]].count(True) == 1 and waves["text"].startswith("don't")
    assert plays["clauses"][0]["known"] is False


def test_a_face(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "blink twice", "--face", "-q"]) == 0
    assert "blink twice" in capsys.readouterr().out
