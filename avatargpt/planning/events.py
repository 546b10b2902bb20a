"""The events that a scene names itself: read by the reading network, in the order in which they happen."""
# "a nurse arrives, checks her patients, rests" has three events; "a nurse's night shift" has none.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from avatargpt.planning.library import ScenePerson, who
from avatargpt.reading.body import remember, split_sentences
from avatargpt.reading.reader import Reader, Reading
from avatargpt.requests.english import lemma
from instruct_data.text.english import third_of

MIN_EVENTS = 2  # that a scene names, from which on they are its plan
NOUNS = {"he": "a man", "she": "a woman", "it": "a creature", "they": "a person"}  # of each gender
NEAR = 1  # names of an event's action


@dataclass(frozen=True)
class SceneEvent:
    """What a scene says that happens."""

    words: str  # with the verb in the third person: "checks her patients"
    person: ScenePerson  # who does it
    seconds: float | None = None  # how long, where the scene says it

    @property
    def task(self) -> str:
        """A short sentence about the actor: "She checks her patients."."""
        return self.person.says(f"{{^he}} {self.words}.")

    @property
    def marked(self) -> str:
        """The step that it is by itself, with the mark of its actor: "{he} checks her patients"."""
        return f"{{he}} {self.words}"


@dataclass(frozen=True)
class SceneText:
    """A scene as it was read."""

    events: tuple[SceneEvent, ...] = ()  # in order; empty for a situation that names none
    seconds: float | None = None  # of the whole, where the scene says it


# text -> who acts in it
Actor = Callable[[str], ScenePerson]


class EventReader:
    """Reads the events of scenes."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._readings: dict[str, list[Reading]] = {}  # of scenes: a plan reads one several times

    def read(self, scene: str, person: Actor | None = None) -> SceneText:
        """The events of a scene, and how long all of it is to be.

        Args:
            person: who acts in a text; None = whom the text names. Whether that is a man, a woman, one of them or none
                is what the network reads.

        Raises:
            UserError: a sentence is longer than the reader takes.
        """
        if scene not in self._readings:
            read = self.reader.read(split_sentences(scene), "events", NEAR, write=True)
            remember(self._readings, scene, read)
        readings = self._readings[scene]
        actor = _actor((person or (lambda text: who(text, {}, "they")))(scene), readings)
        events = [
            SceneEvent(third_person(item.written), actor, _positive(item.values.get("seconds")))
            for reading in readings for item in reading.items if item.written.strip()
        ]  # fmt: skip
        lengths = [s for r in readings if (s := _positive(r.whole.get("seconds")))]
        return SceneText(tuple(events), sum(lengths) or None)


def _actor(named: ScenePerson, readings: list[Reading]) -> ScenePerson:
    """Who acts, of the gender that was read."""
    read = next((str(r.whole["person"]) for r in readings if "person" in r.whole), "they")
    gender = read if read in NOUNS else "they"  # "I", "you"
    named = replace(named, mood=who(named.noun, {}, named.gender).mood)  # a mood of one event is not of all
    return named if named.gender == gender else replace(named, gender=gender, noun=NOUNS[gender])


def _positive(seconds: Any) -> float | None:
    return float(seconds) if seconds else None


def third_person(words: str) -> str:
    """A verb phrase in any form with its verb in the third person: "setting the table" -> "sets the table"."""
    verb, _, rest = words.partition(" ")
    return f"{third_of(lemma(verb.lower()))} {rest}".strip()
