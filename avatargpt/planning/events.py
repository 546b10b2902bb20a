"""The events that a scene names itself: read by the reading network, in the order in which they happen."""
# "a nurse arrives, checks her patients, rests" has three events; "a nurse's night shift" has none.

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from avatargpt.planning.library import ScenePerson, who
from avatargpt.reading.body import remember, split_sentences
from avatargpt.reading.reader import Reader, Reading, ReadItem
from avatargpt.requests.english import GENDER_OF, WORD, lemma
from instruct_data.reading.examples import Span
from instruct_data.text.english import third_of

MIN_EVENTS = 2  # that a scene names, from which on they are its plan
NOUNS = {"he": "a man", "she": "a woman", "it": "a creature", "they": "a person"}  # of each gender
NEAR = 1  # names of an event's action
# letters between words of one event, and behind them, that the network may leave out
MAX_GAP, MAX_REST = 9, 40
ARTICLES = frozenset("a an the his her its their my your".split())  # no event ends with one
_BREAK = re.compile(r"[,.;:!?]|\b(?:and|but|then)\b")


@dataclass(frozen=True)
class SceneEvent:
    """What a scene says that happens."""

    words: str  # with the verb in the third person: "checks her patients"
    person: ScenePerson  # who does it
    seconds: float | None = None  # how long, where the scene says it
    said: str = ""  # as the scene words it
    written: str = ""  # as the network writes it

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
        said = [(words_of(r, i), i) for r in readings for i in r.items if i.written.strip()]
        events = [
            SceneEvent(third_person(s), actor, _positive(i.values.get("seconds")), s, third_person(i.written.strip()))
            for s, i in said
        ]
        lengths = [s for r in readings if (s := _positive(r.whole.get("seconds")))]
        return SceneText(tuple(events), sum(lengths) or None)


def _actor(named: ScenePerson, readings: list[Reading]) -> ScenePerson:
    """Who acts, of the gender that was read."""
    read = next((str(r.whole["person"]) for r in readings if "person" in r.whole), "they")
    gender = read if read in NOUNS else "they"  # "I", "you"
    named = replace(named, mood=who(named.noun, {}, named.gender).mood)  # a mood of one event is not of all
    if named.gender == gender:
        return named
    of_other = GENDER_OF.get(named.noun.split()[-1], gender) != gender  # "a surfer" may be anybody, "a man" not
    return replace(named, gender=gender, noun=NOUNS[gender] if of_other else named.noun)


def _positive(seconds: Any) -> float | None:
    return float(seconds) if seconds else None


def words_of(reading: Reading, item: ReadItem) -> str:
    """An event as the scene words it, from its verb on.

    The network points at words of the event, and writes it anew; where it was written with a verb of the text, that is
    where the words begin. What it writes otherwise is less exact than the words of the scene.
    """
    text, written = reading.text, item.written.strip()
    own, others = ({s for i in items for words in i.words.values() for s in words}
                   for items in ([item], [i for i in reading.items if i is not item]))  # fmt: skip
    if not (spans := sorted(own - others)):
        return written
    runs: list[Span] = []
    for start, end in spans:
        between = text[runs[-1][1] : start] if runs else ""
        if runs and len(between) <= MAX_GAP and not _BREAK.search(between) and not any(
            runs[-1][1] <= a < start for a, _ in others
        ):  # fmt: skip
            runs[-1] = runs[-1][0], end
        else:
            runs.append((start, end))
    verb = lemma(written.split()[0].lower())
    verbs = [m.start() for m in WORD.finditer(text) if lemma(m[0].lower()) == verb]
    begun = [(v, end) for start, end in runs for v in verbs if start - MAX_GAP <= v < end]
    start, end = begun[0] if begun else runs[0]
    stop = _BREAK.search(text, end)
    rest = stop.start() if stop else len(text)
    if rest - end <= MAX_REST and not any(end <= a < rest for a, _ in (*others, *spans)):
        end = rest
    if text[start:end].split()[-1].lower() in ARTICLES and (noun := WORD.search(text, end)):
        end = noun.end()
    words = text[start:end].strip()
    timed = "seconds" in item.values and third_person(words).startswith(third_person(written))
    return written if timed else words  # how long it lasts is none of them


def third_person(words: str) -> str:
    """A verb phrase in any form with its verb in the third person: "setting the table" -> "sets the table"."""
    verb, _, rest = words.partition(" ")
    return f"{third_of(lemma(verb.lower()))} {rest}".strip()
