"""What mutants of the verbs and of the command `task` have outlived."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt import AvatarGPT
from avatargpt.cli import app
from avatargpt.verbs.describe import DescribeRequest
from avatargpt.verbs.files import CaptureRequest
from avatargpt.verbs.join import InbetweenRequest, find_inbetween
from avatargpt.verbs.request import make_request
from tests.clips import gliding
from vqvae.errors import UserError


@pytest.mark.parametrize("value", ["3", "x", ""])
def test_texts_are_no_numbers(value: str) -> None:
    with pytest.raises(UserError, match=f"num: '{value}'; accepted: a number"):
        make_request(DescribeRequest, gliding(20), num=value)


def test_the_length_in_a_slot_comes_before_that_of_the_request() -> None:
    (clip,) = AvatarGPT.from_pretrained().run_task("text_to_motion", {"caption": "walk", "seconds": 1}, seconds=3)
    assert len(clip) == 20


def test_a_film_ends_after_it_begins() -> None:
    with pytest.raises(UserError, match="end 2: accepted after start 2"):
        make_request(CaptureRequest, "film.mp4", start=2, end=2).check()


@pytest.mark.parametrize(("given", "used"), [(None, 16), (3, 3)])
def test_candidates_between_two_bodies(given: int | None, used: int) -> None:
    asked: list[Any] = []
    editing = SimpleNamespace(in_between=lambda *args: asked.append(args))
    start, end = gliding(20), gliding(30)
    request = InbetweenRequest(start, end, 1.5, "walk", 7, given, True)
    find_inbetween(SimpleNamespace(body=SimpleNamespace(editing=editing)), request)  # type: ignore[arg-type]
    assert asked == [(start, end, 1.5, "walk", 7, used, True)]


def test_a_folder_of_tasks_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["task", "scene_to_activity", "scene=a kitchen", "--tasks", str(tmp_path / "nowhere")]
    assert app.run(run) == 2 and "nowhere" in capsys.readouterr().err
