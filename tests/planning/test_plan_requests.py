"""What planners may be asked."""

from __future__ import annotations

import pytest

from avatargpt.planning.types import check_plan, check_scene, check_slots, planning_task
from avatargpt.requests.english import looks_english
from vqvae.errors import UserError


@pytest.mark.parametrize("text", [
    "A boy plays in the snow", "chef cooks", "Karate lesson", "Ladle after ladle", "toddler tantrum, market floor",
    "Nélida shears the last sheep in Patagonia", "A fiancé practises his vow in a café", "burnt toast, smoke alarm",
])  # fmt: skip
def test_english(text: str) -> None:
    assert check_scene(f"  {text} ") == text


@pytest.mark.parametrize("text", [
    "Eine müde Krankenschwester beendet ihre Nachtschicht.", "Ein Junge spielt im Schnee",
    "Un garçon joue dans la neige", "Una enfermera cansada termina su turno", "Um menino brinca na neve",
    "Un ragazzo gioca nella neve", "En pojke leker i snön", "Poika leikkii lumessa", "Bir çocuk karda oynuyor",
    "asdf qwer zxcv",
])  # fmt: skip
def test_other_languages_in_latin_letters(text: str) -> None:
    assert not looks_english(text)
    with pytest.raises(UserError, match="accepted English"):
        check_scene(text)


@pytest.mark.parametrize("text", ["男孩在雪地里玩耍", "Мальчик играет в снегу", "ولد يلعب في الثلج", "少年は雪で遊ぶ"])
def test_other_scripts(text: str) -> None:
    with pytest.raises(UserError, match="accepted English"):
        check_scene(text)


@pytest.mark.parametrize(("text", "why"), [
    ("", "no words"), (" \t\n", "no words"), ("?!", "no words"), ("123", "no words"), ("word " * 5000, "5000 words"),
    ("a" * 3000, "3000 characters"), ("a man\x00 walks", "control"), ("a man \x1b[31m walks", "control"),
    ("a man \udce4 walks", "control"),
])  # fmt: skip
def test_bad_scenes(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as e:
        check_scene(text)
    assert "accepted" in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("count", [0, -1, 51])
def test_number_of_activities(count: int) -> None:
    with pytest.raises(UserError, match="accepted 1 to 50"):
        check_plan("a man walks", count)


def test_slots() -> None:
    given = {"scene": " a man walks ", "steps": " he stands up.;he walks ; "}
    tidied = {"scene": "a man walks", "steps": "he stands up; he walks"}
    assert check_slots("scene_steps_to_next_steps", given) == tidied
    for slots, why in (
        ({"scene": "a man walks"}, "steps is needed"), ({"scene": "a man", "steps": ""}, "steps is needed"),
        ({"scene": "a man", "steps": "he sits", "activity": "rest"}, "does not take activity"),
        ({"scene": "a man", "steps": "; ".join(["he sits"] * 25)}, "25 of them"),
        ({"scene": "Ein Mann und eine Frau", "steps": "he sits"}, "English"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=why):
            check_slots("scene_steps_to_next_steps", slots)


def test_unknown_task_suggests() -> None:
    with pytest.raises(UserError, match="did you mean 'steps_to_activity'.*available: .*activity_to_scene"):
        planning_task("step_to_activity")
    with pytest.raises(UserError, match="unknown planning task 'text_to_motion'"):
        planning_task("text_to_motion")
