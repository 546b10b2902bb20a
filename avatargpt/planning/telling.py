"""How an activity is told: commands and gerunds become statements about the actor; moods, sides, articles.

Rules, not a network. Texts carry marks in place of the actor until `Person.says` fills them in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatargpt.planning.persons import Person
from instruct_data.text.english import GERUND, THIRD, also_noun, gerund_of, third_of

# verbs of activities that no caption of a motion has
_MORE = frozenset(
    """check help save feel test collect serve learn ring try teach explain scare thank wade build fill feed eat rake
    shovel load free challenge write refuse hunt strap apologise dress add welcome copy wrestle tell spot argue knead
    reward pin speak struggle talk duel improvise demand avoid laugh pack mop tease pop sprinkle bargain light untie
    award patrol mix mark praise discover explore whisk paint order swap drill split vanish score flee sharpen weigh
    unload clip chisel screw lather study flow peep strengthen meet scream trick endure tire lure soften choose wriggle
    heat snip pile plunge complain report bail organise secure introduce remember forget deal fade flinch lounge flop
    forgive trail regret daydream grapple mock coax resist taunt rinse cool fix scout ambush film
    strip correct calm rescue comfort shave drain shear ladle distract agree unleash separate prove repair describe
    scold rehearse barricade encourage surprise shape spray warn admit haggle boast exercise clamp pedal pry untangle
    vacuum fit carve rejoin congratulate reassure sleepwalk urge rally confront compete arrest teeter tempt realise joke
    scramble treat motivate smear cry appeal quarrel lasso sheathe grind weld survive shoo stitch investigate sulk
    propose patch tend retrace bandage confuse overcome excuse bombard putt smile unwrap sidle buckle gossip flirt
    borrow raid recommend smother obey blend recognise reject curse heal destroy chalk whack amuse saddle protest fail
    sift braid tune nap sort kill pay hand""".split()
)
BASES = frozenset(THIRD.values()) | _MORE
GERUNDS = {**{gerund_of(b): b for b in _MORE}, **GERUND}
# what follows a verb rather than a noun
AFTER_VERB = frozenset(
    """the a an his her its their {his} {him} {himself} {o_him} {o_his} it them everyone everybody someone something
    in on up down out off to into through from with for over around back away forward at all some along across under
    past like behind about again until before onto home one two three every each another that this and everything more
    without between against how when where whether as what some once carefully slowly calmly hard closer sideways
    backward beneath below above goodbye farewell nobody anybody after before
    four five six seven eight nine ten eleven twelve overhead upright ashore aboard aside toward towards together ahead
    upward downward inside outside beside around""".split()
)
_CLAUSE = frozenset("when where that what who while as until before how whether {he} nobody everybody everyone".split())


def statement(task: str) -> str:
    """``Scrape and stack the plates`` or ``Scraping the plates`` -> ``{^he} scrapes and stacks the plates``.

    Only where the first word is surely a verb; other tasks stay as they are.
    """
    if task[-1:] in "!?":
        return task
    words = task.rstrip(".").split()
    if len(words) < 2:
        return task
    first = words[0].lower()
    plain = [re.sub(r"[^\w{}']", "", w).lower() for w in words]
    if plain[1] not in AFTER_VERB or words[0][-1] == "," or {"is", "are", "was"} & set(plain[2:5]):
        return task
    if first in ("back", "rest", "water", "hand") and plain[1] in ("in", "on", "at", "to", "for", "home", "with"):
        return task  # "Back to work" tells of no one who backs
    gerund = first in GERUNDS
    if not gerund and first not in BASES:
        return task
    known = GERUNDS if gerund else {b: b for b in BASES}
    clause = next((i for i, w in enumerate(plain) if w in _CLAUSE), len(plain))
    if gerund and any(w in THIRD and not also_noun(w) for w in plain[2:clause]):
        return task  # "Crossing the street takes forever"
    out = ["{^he}", third_of(known[first])]
    for i in range(1, len(words)):
        joined = plain[i - 1] in ("and", "then", "or") or (words[i - 1][-1] == "," and plain[i] not in AFTER_VERB)
        joined = joined and plain[i] != "back"
        verb = joined and plain[i] in known and (i + 1 == len(words) or plain[i + 1] in AFTER_VERB)
        unknown = plain[i - 1] in ("and", "then") and plain[i] not in AFTER_VERB
        if joined and not verb and (plain[i] in known or unknown or plain[i] == "out"):
            return task  # perhaps a verb, perhaps not
        tail = words[i][len(plain[i]) :] if verb else ""
        out.append(third_of(known[plain[i]]) + tail if verb else words[i])
    return " ".join(out) + "."


def with_manner(step: str, manner: str) -> str:
    """A step with an adverb before its verb; unchanged where it has a manner already or begins otherwise."""
    words = step.split()
    if len(words) < 3 or words[0] != "{he}" or words[1] not in THIRD:
        return step
    if re.search(r"\b\w+ly\b|\b(?:with|like) ", step) or words[1] in ("is", "has", "does", "gets"):
        return step
    if " " not in manner:
        return " ".join(["{he}", manner, *words[1:]])
    if words[1] not in ("walks", "runs", "steps", "goes", "comes"):  # "with a limp" is said of walking
        return step
    head, comma, rest = step.partition(",")
    return f"{head} {manner}{comma}{rest}"


def retold(steps: Sequence[str], person: Person, first: bool, moody: bool) -> list[str]:
    """Steps in the words for a person.

    Args:
        first: the first step names the person by noun. moody: the mood is said once.
    """
    out, left = [], moody and bool(person.mood)
    for i, step in enumerate(steps):
        text = with_manner(step, person.mood) if left else step
        left = left and text == step
        out.append(tidy(sided(person.says(text, first and i == 0), person.side)))
    return out


def of_others(step: str) -> str:
    """A step in which the actor does something to {him}: an actor does that to somebody else."""
    return re.sub(r"\b(\w+s) \{him\}", lambda m: f"{m[1]} someone" if m[1] in THIRD else m[0], step)


def sided(step: str, side: str) -> str:
    """What one hand does, with the hand that the scene names."""
    other = {"left": "right", "right": "left"}.get(side, "")
    if not other or (re.search(rf"\b{side}\b", step) and re.search(rf"\b{other}\b", step)):
        return step
    return re.sub(rf"\b{other} (hand|arm|fist|palm|forearm|thumb|elbow|shoulder)\b", rf"{side} \1", step)


def tidy(text: str) -> str:
    """One space between words, ``an`` before vowels, no stray punctuation at the ends."""
    said = re.sub(r"\b([Aa]) (?=[aeio]\w)(?!one\b|once\b|eu)", r"\1n ", " ".join(text.split()))
    return said.strip(" ,;")


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    said = tidy(text)
    said = said[0].upper() + said[1:]
    return said if said[-1] in ".!?" else said + "."


def plain_task(task: str) -> str:
    """A task as a statement without case and stop, for comparing."""
    return statement(task).lower().replace("{^", "{").rstrip(".")
