"""Who acts, and retelling for another person."""

import pytest

from avatargpt.planning.persons import embedded, fill, gender_of, neutral, unnamed, who


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
    assert embedded(stored).startswith("a person lifts their hat")


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
    assert unnamed("Tariq loads the stack.", scene) == "{^he} loads the stack."
    assert unnamed("Hammer the pegs in deeper", scene) == "Hammer the pegs in deeper"
    assert unnamed("Devika sneaks along the wall", scene) == "Devika sneaks along the wall"
    assert neutral(unnamed("Tariq loads his cart.", scene), "he", False) == "{^he} loads {his} cart."


def test_it_acts_behind_so_but_not_behind_until() -> None:
    assert neutral("Nobody reacts, so it gives up.", "it", False) == "Nobody reacts, so {he} gives up."
    assert neutral("Spin the stick until it smokes.", "it", False) == "Spin the stick until {him} smokes."
