"""Texts of plans: requests, answers of models, persons, postures."""

from pathlib import Path

import pytest

from avatargpt.planning.compose import LIE, SIT, STAND, START, StepPose, bridge, follow, violations
from avatargpt.planning.language_planner import MAX_STEP_WORDS, Malformed, check_sentence, check_steps, loops
from avatargpt.planning.library import fill, gender_of, neutral, replace_name, who, word_for_encoder
from avatargpt.planning.types import MAX_STEPS, check_plan, check_scene, check_slots, get_planning_task
from avatargpt.requests.english import looks_english
from instruct_data.planning import read_scenes, tidy
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
        get_planning_task("step_to_activity")
    with pytest.raises(UserError, match="unknown planning task 'text_to_motion'"):
        get_planning_task("text_to_motion")


def test_steps_are_tidied() -> None:
    for texts in (["he kneels", "he digs with both hands."], [' "he kneels" ', "**he digs   with both hands**"]):
        assert check_steps(texts) == ("he kneels", "he digs with both hands")


@pytest.mark.parametrize(("steps", "reason"), [
    ([], "no steps"), (["he kneels", " ", "he digs"], "step 2: empty"), (["..."], "empty"),
    (["he kneels", "He kneels."], "step 2 is step 1 again"), (["he goes on and on and on and on"], "over and over"),
    (["he digs digs digs digs"], "over and over"),
    (["he turns around and turns around and turns around"], "over and over"),
    ([f"he lifts finger {i}" for i in range(MAX_STEPS + 1)], f"at most {MAX_STEPS}"),
    (["he sees " + " ".join(f"thing{i}" for i in range(MAX_STEP_WORDS))], f"at most {MAX_STEP_WORDS}"),
    (["he kneels", "he \x1b[2J digs"], "control characters"), (["he kneels", "he d\ufffdgs"], "control characters"),
])  # fmt: skip
def test_refused_steps(steps: list[str], reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        check_steps(steps)


def test_sentences() -> None:
    assert check_sentence(' "He waits." ') == "He waits"
    for bad, reason in ((None, "NoneType"), ("a " * 61, "words"), ("he waits; he goes", "list"), ("?", "empty")):
        with pytest.raises(Malformed, match=reason):
            check_sentence(bad)


@pytest.mark.parametrize("text", [
    "Chop chop chop all day", "left, right, left, right", "New year's swim, new year's run, new year's regrets",
    "he points to the left, to the right and to the front",
])  # fmt: skip
def test_natural_repetition_is_no_loop(text: str) -> None:
    assert not loops(text)


def test_real_plans_are_accepted(shared: Path) -> None:
    activities = [a for s in read_scenes(shared / "data" / "planning" / "val.jsonl") for a in s.activities]
    assert len(activities) > 500
    for a in activities:
        assert check_steps(a.steps) == tuple(tidy(s) for s in a.steps)


@pytest.mark.parametrize(("text", "actor", "stored"), [
    ("a man lifts his left arm", "he", "{he} lifts {his} left arm"),
    ("she hides it behind her back", "she", "{he} hides it behind {his} back"),
    ("she carries him home", "she", "{he} carries {o_him} home"),
    ("he pulls her up by the hand", "he", "{he} pulls {o_him} up by the hand"),
    ("the person's arms drop", "they", "{his} arms drop"),
    ("an old woman sits on a chair", "she", "{he} sits on a chair"),
    ("he looks at himself", "he", "{he} looks at {himself}"),
])  # fmt: skip
def test_steps_lose_their_person(text: str, actor: str, stored: str) -> None:
    assert neutral(text, actor) == stored


def test_a_text_is_retold_for_anybody() -> None:
    stored = neutral("he lifts his hat and bows to her", "he")
    assert fill(stored, "she") == "she lifts her hat and bows to him"
    assert fill(stored, "he") == "he lifts his hat and bows to her"
    assert fill(stored, "they", "a gardener").startswith("a gardener lifts their hat")
    assert fill(neutral("She counts her coins.", "she", False), "he") == "He counts his coins."
    assert fill(neutral("Nobody reacts, so it gives up.", "it", False), "he") == "Nobody reacts, so he gives up."
    assert fill(neutral("It lifts the box and drops it.", "it", False), "she") == "She lifts the box and drops her."
    assert word_for_encoder(stored).startswith("a person lifts their hat")


@pytest.mark.parametrize(("scene", "gender", "noun", "mood", "side"), [
    ("A tired gardener finishes her work.", "she", "a tired gardener", "wearily", ""),
    ("An old man feeds pigeons.", "he", "an old man", "slowly", ""),
    ("A left-handed painter and his canvas.", "he", "a left-handed painter", "", "left"),
    ("My grandmother shows how to dance.", "she", "a grandmother", "", ""),
    ("Unpacking boxes in an empty flat.", "he", "a man", "", ""), ("Maria walks to school.", "she", "a woman", "", ""),
    ("Cat burglar on the roofs.", "he", "a burglar", "", ""),
    ("A snake charmer is frightened of his basket.", "he", "a man", "fearfully", ""),
    ("The shortest boy on the court gets the ball.", "he", "a boy", "", ""),
    ("A tightrope walker performs without her sister.", "she", "a tightrope walker", "", ""),
    ("One operator, a tenor and a bride want the same number.", "he", "an operator", "", ""),
    ("A lute maker sands her instrument.", "she", "a lute maker", "", ""),
    ("Bookbinding with a papermaker.", "he", "a papermaker", "", ""),
])  # fmt: skip
def test_the_actor_of_a_scene(scene: str, gender: str, noun: str, mood: str, side: str) -> None:
    person = who(scene, {"maria": "she"}, "he")
    assert (person.gender, person.noun, person.mood, person.side) == (gender, noun, mood, side)


def test_gender_by_pronouns() -> None:
    assert gender_of("she takes her coat and leaves him") == "she"
    assert gender_of("walk on") == ""

def test_a_task_that_begins_with_a_name() -> None:
    scene = "A roofing crew is short one man, so young Tariq has to haul tiles."
    assert replace_name("Tariq loads the stack.", scene) == "{^he} loads the stack."
    assert replace_name("Hammer the pegs in deeper", scene) == "Hammer the pegs in deeper"
    assert replace_name("Devika sneaks along the wall", scene) == "Devika sneaks along the wall"
    assert neutral(replace_name("Tariq loads his cart.", scene), "he", False) == "{^he} loads {his} cart."


def test_it_acts_behind_so_but_not_behind_until() -> None:
    assert neutral("Nobody reacts, so it gives up.", "it", False) == "Nobody reacts, so {he} gives up."
    assert neutral("Spin the stick until it smokes.", "it", False) == "Spin the stick until {him} smokes."


@pytest.mark.parametrize("steps", [
    ["she sits down on a chair", "she stands up and walks away"],
    ["he lies down on his back", "he sits up", "he gets up", "he runs forward"],
    ["he kneels and digs", "he springs to his feet", "he jumps twice"], ["she sits down", "she jumps up and runs away"],
    ["he climbs a ladder", "he climbs down", "he walks to the left"],
    ["she dives in head first", "she climbs out", "she runs home"], ["he kneels", "he walks on his knees to the right"],
    ["she sits on a bench", "she runs her fingers along the edge"],
    ["he picks up a box", "he puts it down", "he picks up a box"],
])  # fmt: skip
def test_possible_orders(steps: list[str]) -> None:
    assert violations(steps) == []


@pytest.mark.parametrize(("steps", "at"), [
    (["she sits down", "she waves", "she sits down on a bench"], 2),
    (["he lies down on his back", "he walks to the door"], 1), (["he stands still", "he stands up"], 1),
    (["she falls onto her stomach", "she runs away"], 1), (["he climbs a ladder", "he walks to the left"], 1),
    (["she swims with strong strokes", "she walks forward"], 1), (["he picks up a box", "he picks up a box"], 1),
])  # fmt: skip
def test_impossible_orders(steps: list[str], at: int) -> None:
    assert [i for i, _ in violations(steps)] == [at]


def test_bridges_make_a_step_possible() -> None:
    for pose, step in (
        (StepPose(LIE), "{he} walks away"), (StepPose(SIT), "{he} dances"), (StepPose(STAND, True), "{he} runs home"),
        (StepPose(STAND, False, True), "{he} walks on"),
    ):  # fmt: skip
        between = bridge(pose, step, 0)
        assert between is not None
        assert violations([between, step], pose) == []
    assert bridge(START, "{he} walks", 0) is None
    assert follow(START, "{he} lies down")[0].base == LIE


def test_marks_are_read_as_the_words_they_stand_for() -> None:
    for steps in (
        ["{he} throws {himself} headfirst and slides on {his} belly", "{he} twirls"],
        ["she throws herself headfirst and slides on her belly", "she twirls"],
    ):
        assert [i for i, _ in violations(steps)] == [1]
