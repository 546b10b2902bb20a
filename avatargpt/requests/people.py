"""Words for people and animals, their usual gender, and what a step or caption refers to. Rules on words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from instruct_data.text.english import THIRD

PRONOUNS = {
    "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "her", "herself"),
    "it": ("it", "it", "its", "itself"),
    "they": ("the person", "them", "their", "themselves"),
}
_GENDER = {
    "he": "man boy guy gentleman father dad daddy grandfather grandpa husband brother son uncle nephew king prince "
    "monk waiter groom widower postman policeman fireman fisherman cowboy wizard knight samurai matador "
    "bridegroom lad salesman businessman doorman butler dad's priest lumberjack emperor lord mr sir he him "
    "his himself",
    "she": "woman girl lady mother mum mom mummy mommy grandmother grandma granny wife sister daughter aunt niece "
    "queen princess nun waitress bride widow ballerina bridesmaid maid policewoman stuntwoman businesswoman "
    "actress hostess saleswoman witch goddess cheerleader mrs ms madam she her hers herself",
    "it": "dog cat horse robot bear monkey bird penguin dinosaur lion tiger elephant gorilla frog rabbit fox wolf "
    "dragon monster zombie android scarecrow golem drone kangaroo crab spider snake duck chicken cow pig goat "
    "it its itself",
}  # fmt: skip
GENDER_OF = {w: g for g, words in _GENDER.items() for w in words.split()}
PEOPLE = frozenset(
    """
    man woman person boy girl child kid baby toddler teenager youth guy lady player student guard soldier farmer
    monk dancer lifeguard mime cook boxer keeper goalkeeper firefighter maid groom astronaut bride nurse pupil
    gymnast mother father gardener policeman doctor clown ranger magician storyteller pilot diver cashier
    surgeon mason swordsman climber bouncer librarian acrobat driver bridesmaid miner surfer hiker swimmer
    warrior violinist golfer caveman breakdancer skater tamer beekeeper stuntwoman vampire spy potter lumberjack
    wizard rescuer worker waiter ghost chef zombie thief archer rower marshal mechanic master plumber conductor
    samurai robot detective matador cowboy postman queen king runner skier ninja sailor pirate teacher coach
    patient neighbour neighbor friend partner referee judge captain crowd audience customer boss colleague
    visitor guest tourist stranger brother sister son daughter husband wife grandmother grandfather grandma
    grandpa uncle aunt opponent rival enemy attacker intruder trainer actor actress singer knight prince
    princess priest builder painter carpenter baker butcher janitor cleaner courier figure adult teen pensioner
    widow widower intern secretary barber tailor smith blacksmith fisherman hunter shepherd driver passenger
    vendor seller trader referee fan mascot avatar hero heroine villain monster alien android mother-in-law
    granny mum mom dad puppeteer juggler drummer guitarist pianist parent team kids children people others
    everyone someone somebody crew officer sergeant police model photographer director stagehand usher bartender
    barista scientist shopper commuter cyclist jogger wrestler weaver scout shopkeeper caretaker watchman roofer
    tiler welder electrician postwoman gravedigger undertaker preacher mourner bouncer bodyguard burglar robber
    prisoner hostage gladiator legionary creature cowgirl mountaineer researcher drummer fisherwoman postwoman
    violinist viking wife's witch elf dwarf orc goblin troll giant apprentice instructor assistant
    volunteer traveller owner explorer technician engineer physiotherapist mayor walker porter attendant thrower helper
    inspector collector handler leader picker sweeper operator presenter archaeologist performer jester receptionist
    bricklayer dentist sprinter racer cellist puller ringer prompter bowler maker accountant artist rider glassblower
    sleepwalker messenger merchant survivor hairdresser footballer cobbler biologist manager plasterer zookeeper
    falconer dishwasher dresser fishmonger crier raider ventriloquist herder sculptor catcher florist shipwright
    shaman contortionist inventor weightlifter challenger tenant camper prospector fencer jumper interpreter minister
    speaker chemist shoplifter backpacker babysitter strongman tenor comedian farrier bailiff beginner usher
    paramedic lawyer scribe sorcerer veteran
    """.split()
)
_NAMED = (("woman", "she"), ("girl", "she"), ("man", "he"), ("boy", "he"))  # what a person's word ends with
GENDER_OF |= {
    w: next(g for e, g in _NAMED if w.endswith(e)) for w in PEOPLE - GENDER_OF.keys() if w.endswith(tuple(dict(_NAMED)))
}
WORD = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*")


def names(scene: str) -> list[str]:
    """Capitalised words that do not begin a sentence, and a first word that a verb follows."""
    out = []
    for sentence in re.split(r"[.!?:]\s+", scene):
        words = WORD.findall(sentence)
        for i, w in enumerate(words):
            if w[0].isupper() and (i > 0 or (len(words) > 1 and words[1] in THIRD)):
                out.append(w.lower())
    return out


_SOMEONE = re.compile(r"^(?:an? |the )?(?:person|human|figure|character|someone|somebody|individual)\b")


def strange_names(texts: Sequence[str], scene: str) -> int:
    """Number of names of people in the texts of an activity that are not in the scene."""
    return sum(n not in scene for n in {n for t in texts for n in re.findall(r"(?<=[\w,}] )[A-Z][a-z]+", t)})


def subject_of(step: str) -> str:
    """The subject of a step: the words before the verb."""
    words = step.split()
    verb = next((i for i, w in enumerate(words[:6]) if i and w.lower() in THIRD), 0)
    return " ".join(words[:verb]) if 0 < verb <= 5 and "," not in " ".join(words[:verb]) else ""


def caption_about(caption: str, subject: str, gender: str) -> str:
    """A caption about "a person" as a step about `subject`; without one, its verb phrase."""
    predicate = _SOMEONE.sub("", caption).strip()
    if predicate == caption:
        return caption
    pronouns = PRONOUNS.get(gender, PRONOUNS["they"])
    if pronouns is not PRONOUNS["they"]:
        for neutral, word in (("their", pronouns[2]), ("themselves", pronouns[3])):
            predicate = re.sub(rf"\b{neutral}\b", word, predicate)
    return f"{subject} {predicate}".strip() if subject else predicate
