"""Composition of a plan: the choice of activities from a whole plan, their physical order, and their wording."""
# Rules, not a network. Texts carry marks in place of the actor until `ScenePerson.says` fills them in.

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from avatargpt.planning.library import FIRST, LAST, MIDDLE, ScenePerson, Story, StoryPart
from avatargpt.planning.types import Activity
from instruct_data.text.english import GERUND, THIRD, also_noun, gerund_of, third_of

UNKNOWN, STAND, LOW, SIT, KNEEL, LIE = "unknown", "stand", "low", "sit", "kneel", "lie"
_UPRIGHT = (UNKNOWN, STAND, LOW)
_SELF = r"(?:\{himself\}|himself|herself|itself|themselves)"
_HIS = r"(?:\{his\}|his|her|its|their|the|both|one|two)"
_BEGIN = (
    r"(?:^|(?:\{he\}|\bhe|\bshe|\bit|\bperson|\bman|\bwoman|\bboy|\bgirl|\band|\bthen|,|\bbefore|;) )(?:[a-z]+ly )?"
)
_EVENTS: tuple[tuple[str, str], ...] = (
    ("fours", r"\b(?:on|to|onto) all fours|hands and knees|\bcrawls|\bon " + _HIS + r" elbows"),
    ("rise", r"\b(?:gets?|rises?|climbs?|struggles?|scrambles?|comes?|jumps?|leaps?|springs?|bounces?|is|hops?|pulls? "
     + _SELF + r"|pushes? " + _SELF + r"|hauls? " + _SELF + r"|rolls?|staggers?|shoots?|snaps?|flips?)"
     r" (?:back |slowly |quickly |stiffly |heavily |up )*(?:to|onto|on) " + _HIS + r" feet"),
    ("stand_up", r"\b(?:gets?|stands?) (?:back |slowly |quickly |stiffly |right )?up\b"
     r"(?! on| onto| to| the| a\b| close| in | against| straight| tall)"),
    ("rise", r"\b(?:straightens?|scrambles?|struggles?|stands) (?:back |slowly |quickly |stiffly |right )?up\b"),
    ("rise", r"\b(?:pops?|kips?|springs?|leaps?|jumps?|bounces?|shoots?|pushes? " + _SELF + r"|pulls? " + _SELF
     + r"|heaves? " + _SELF + r"|rises?|comes?) (?:back )?(?:up|upright)\b"
     r"(?! and down| on| onto| to (?:\{his\}|his|her) knee)"),
    ("rise", r"\brises\b(?! (?:on|onto|up on|to a (?:squat|crouch)|from side|and falls|into a crouch))|"
     r"\bto standing\b|\bstraightens\b(?! " + _HIS + r" | out)"),
    ("rise", _BEGIN + r"(?:pushes up and )?stands\b(?! up)"),
    ("sit_up", r"\bsits (?:bolt |straight |suddenly |slowly |back )?up(?:right)?\b"),
    ("sit_down", r"\b(?:sits?|squats and sits|plops?|flops?|drops?|sinks?|settles?|lowers? " + _SELF + r") "
     r"(?:slowly |heavily |carefully |gently |stiffly |hard |back )?(?:down\b(?! (?:on|onto|to) (?:" + _HIS
     + r" )?(?:knee|back|belly|stomach|side))|(?:on|onto|in|into) (?:a|the|" + _HIS + r") "
     r"(?:low |high |small )?(?:chair|seat|bench|stool|sofa|bottom|backside|box|crate|log|rock))"),
    ("sit", _BEGIN + r"sits\b(?! (?:down|up))|\bcross-legged|\bseated\b|\bsitting\b"),
    ("lie_down", r"\blies (?:back )?down\b"),
    ("lie", _BEGIN + r"lies\b(?! (?:back )?down)|\b(?:falls|drops|flops|rolls|dives|sinks|collapses|crashes|throws "
     + _SELF + r"|lands|tips|topples|lets " + _SELF + r" fall)(?!\w)[^,;]{0,24}? (?:on|onto|to) " + _HIS
     + r" (?:back|stomach|belly|side|face|chest)\b|\bflat on\b|\bthrows " + _SELF + r" flat\b|\bface down\b"
     r"|\bcollapses\b|\bdoes (?:a |\w+ )?push-ups?"),
    ("kneel", r"\bkneels\b|\b(?:to|onto|on|into) (?:" + _HIS + r" )?(?:left |right |hands and )?knees?\b"
     r"(?! (?:level|height))"),
    ("squat", r"\b(?:squats|crouches)\b"),
    ("low", r"\b(?:bends|stoops|hunches|ducks|trips|slips|tumbles|falls|dives|sinks|drops|rolls|lowers|doubles|curls"
     r"|topples|hides|huddles|cowers|tucks|shrinks|lands|reaches down|leans (?:over|down))\b"),
    ("loco", _BEGIN + r"(?:walks|runs|jogs|strides|steps|marches|tiptoes|skips|sprints|hurries|dances|paces|staggers|"
     r"limps|trudges|strolls|sneaks|waltzes|dashes|races|trots|wanders|stumbles|struts|hops|saunters|rushes|plods|"
     r"shuffles|jumps|leaps|cartwheels|pirouettes|twirls|gallops|backs|darts|charges|hobbles|swaggers|prances|wades)\b"
     r"(?! (?:back |right |straight )?(?:up\b|to " + _HIS + r" feet)| (?:" + _HIS + r"|a|one|both) (?:left |right )?"
     r"(?:hands?|fingers?|thumbs?|palms?|eyes|cloth|shoulders)"
     r"| (?:on|along on) (?:" + _HIS + r" )?(?:knees|hands|all)|[a-z ]*\bon " + _HIS + r" (?:knees|bottom|belly))"),
)  # fmt: skip
_PATTERN = re.compile("|".join(f"(?P<e{i}>{p})" for i, (_, p) in enumerate(_EVENTS)))
_NEEDS = {  # event -> poses it cannot follow, and what is wrong then
    "stand_up": ((STAND,), "stands up while standing"),
    "sit_up": ((STAND,), "sits up while standing"),
    "sit_down": ((SIT,), "sits down while sitting"),
    "lie_down": ((LIE,), "lies down while lying"),
    "squat": ((LIE, SIT), "squats without getting up"),
    "loco": ((SIT, KNEEL, LIE), "goes without getting up"),
}
_RESULT = {
    "fours": KNEEL, "rise": STAND, "stand_up": STAND, "sit_up": SIT, "sit_down": SIT, "sit": SIT, "lie_down": LIE,
    "lie": LIE, "kneel": KNEEL, "squat": LOW, "loco": STAND,
}  # fmt: skip
_ALOFT = re.compile(
    r"\bclimbs (?!down|out|over)[^,;]*\b(?:ladder|rope|rungs?|mast|pole|trellis|drainpipe|tree|rigging)\b"
)
_DOWN = re.compile(r"\b(?:down|drops|falls|off|lands|jumps|slides|lets go|over|top|through|into|onto|swings)\b")
_GROUND = re.compile(
    _BEGIN + r"(?:walks|runs|jogs|strides|marches|strolls|sits down|lies|dances|kneels|sprints|skips)\b"
)
_WET = re.compile(_BEGIN + r"(?:swims|treads water|dives (?:in|into|under|head))\b|\bin the water\b")
_DRY = re.compile(r"\bout of the water|\bclimbs|\bashore|\bpulls " + _SELF + r" (?:up|out)|\bout\b")
_TAKE = re.compile(r"\bpicks up (?:a|an|the|{his}|his|her) ([a-z ]+?)(?= (?:with|and|from|in|on|off)\b|[,;]|$)")
_GIVE = re.compile(r"\b(?:puts|sets|lays|throws|drops|hands|tosses|gives|places|lets)\b")


# The base pose (standing, low, sitting, kneeling, lying), being up on a ladder or in the water, and items that were
# picked up: a small state machine over the words of a plan. A pose that no word changes stays the same.
@dataclass(frozen=True)
class StepPose:
    """The known state of the body between two steps."""

    # ``unknown`` (not yet), ``stand``, ``low`` (bent, squatting, fallen), ``sit``, ``kneel``, ``lie``
    base: str = UNKNOWN
    aloft: bool = False  # up on a ladder or the like
    water: bool = False  # swimming
    items: frozenset[str] = frozenset()  # picked up, by name


START = StepPose()


def follow(pose: StepPose, step: str) -> tuple[StepPose, list[str]]:
    """The pose after a step, and its impossible movements (empty: none)."""
    text = step.lower()
    wrong: list[str] = []
    base = pose.base
    for match in _PATTERN.finditer(text):
        event = _EVENTS[int((match.lastgroup or "e0")[1:])][0]
        blocked, why = _NEEDS.get(event, ((), ""))
        if base in blocked:
            wrong.append(why)
        if event == "low":
            base = LOW if base in _UPRIGHT else base
        else:
            base = _RESULT[event]
    aloft, water = pose.aloft and not _DOWN.search(text), pose.water and not _DRY.search(text)
    items = pose.items
    if _GROUND.search(text):
        wrong += ["walks or sits on a ladder"] * aloft + ["walks or sits while swimming"] * water
        aloft = water = False
    if _ALOFT.search(text) and not re.search(r"\b(?:down|over|off)\b", text):
        aloft = True
    if _WET.search(text) and not re.search(r"out of the water", text):
        water = True
    if _GIVE.search(text):
        items = frozenset()
    if pick := _TAKE.search(text):
        if pick.group(1) in items:
            wrong.append(f"picks up the {pick.group(1)} twice")
        items = items | {pick.group(1)}
    return StepPose(base, aloft, water, items), wrong


def violations(steps: Sequence[str], pose: StepPose = START) -> list[tuple[int, str]]:
    """(index of the step, impossible movement) for all steps in order."""
    out = []
    for i, step in enumerate(steps):
        pose, wrong = follow(pose, step)
        out += [(i, w) for w in wrong]
    return out


BRIDGES = {
    "getting up": ("{he} gets up", "{he} stands up", "{he} gets back on {his} feet"),
    "standing": ("{he} climbs down", "{he} climbs down slowly"),
    "swimming": ("{he} climbs out of the water",),
}


def bridge(pose: StepPose, step: str, turn: int) -> str | None:
    """A step that makes `step` possible from `pose`, or None; `turn` chooses one of several wordings."""
    _, wrong = follow(pose, step)
    for reason in wrong:
        for part, wordings in BRIDGES.items():
            if part in reason or (part == "standing" and "ladder" in reason):
                wording = wordings[turn % len(wordings)]
                between, bad = follow(pose, wording)
                if not bad and not follow(replace(between, items=pose.items), step)[1]:
                    return wording
    return None


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
    """``Scrape and stack the plates`` or ``Scraping the plates`` -> ``{^he} scrapes and stacks the plates``."""
    # only where the first word is surely a verb; other tasks stay unchanged
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
    bases = GERUNDS if gerund else {b: b for b in BASES}
    clause = next((i for i, w in enumerate(plain) if w in _CLAUSE), len(plain))
    if gerund and any(w in THIRD and not also_noun(w) for w in plain[2:clause]):
        return task  # "Crossing the street takes forever"
    out = ["{^he}", third_of(bases[first])]
    for i in range(1, len(words)):
        conjoined = plain[i - 1] in ("and", "then", "or") or (words[i - 1][-1] == "," and plain[i] not in AFTER_VERB)
        conjoined = conjoined and plain[i] != "back"
        verb = conjoined and plain[i] in bases and (i + 1 == len(words) or plain[i + 1] in AFTER_VERB)
        unknown = plain[i - 1] in ("and", "then") and plain[i] not in AFTER_VERB
        if conjoined and not verb and (plain[i] in bases or unknown or plain[i] == "out"):
            return task  # perhaps a verb, perhaps not
        tail = words[i][len(plain[i]) :] if verb else ""
        out.append(third_of(bases[plain[i]]) + tail if verb else words[i])
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
    head, comma, tail = step.partition(",")
    return f"{head} {manner}{comma}{tail}"


def retold(steps: Sequence[str], person: ScenePerson, first: bool, moody: bool) -> list[str]:
    """Steps in the words for a person; `first`: the first step names it by noun; `moody`: the mood is named once."""
    out, pending = [], moody and bool(person.mood)
    for i, step in enumerate(steps):
        text = with_manner(step, person.mood) if pending else step
        pending = pending and text == step
        out.append(tidy(add_side(person.says(text, first and i == 0), person.side)))
    return out


def of_others(step: str) -> str:
    """A step in which the actor does something to {him}, as done to somebody else."""
    return re.sub(r"\b(\w+s) \{him\}", lambda m: f"{m[1]} someone" if m[1] in THIRD else m[0], step)


def add_side(step: str, side: str) -> str:
    """A step of one hand, with the hand that the scene names."""
    other_side = {"left": "right", "right": "left"}.get(side, "")
    if not other_side or (re.search(rf"\b{side}\b", step) and re.search(rf"\b{other_side}\b", step)):
        return step
    return re.sub(rf"\b{other_side} (hand|arm|fist|palm|forearm|thumb|elbow|shoulder)\b", rf"{side} \1", step)


def tidy(text: str) -> str:
    """One space between words, ``an`` before vowels, no stray punctuation at the ends."""
    line = re.sub(r"\b([Aa]) (?=[aeio]\w)(?!one\b|once\b|eu)", r"\1n ", " ".join(text.split()))
    return line.strip(" ,;")


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    line = tidy(text)
    line = line[0].upper() + line[1:]
    return line if line[-1] in ".!?" else line + "."


def plain_task(task: str) -> str:
    """A task as a statement without case and stop, for comparing."""
    return statement(task).lower().replace("{^", "{").rstrip(".")


@dataclass
class PlanState:
    """The state of a growing plan, for its consistency."""

    pose: StepPose  # after the last step
    steps: set[str]  # so far, with marks
    tasks: set[str]  # so far, as `plain_task` gives them
    begun: bool = False  # the actor was named
    turns: int = 0  # bridges so far
    count: int = 0  # activities so far

    @classmethod
    def fresh(cls) -> Self:
        """Of an empty plan."""
        return cls(START, set(), set())

    def copy(self) -> Self:
        """A copy for trials."""
        return replace(self, steps=set(self.steps), tasks=set(self.tasks))

    def knows(self, part: StoryPart) -> bool:
        """Whether an activity, or most of its steps, is in the plan."""
        repeated = sum(s in self.steps for s in part.steps)
        return plain_task(part.task) in self.tasks or 2 * repeated > len(part.steps)


def tell(part: StoryPart, person: ScenePerson, state: PlanState) -> Activity | None:
    """An activity in the words for a person, with `state` updated; None where too few of its steps are possible."""
    # a step that the pose forbids comes after one that makes it possible, or is left out where none is known
    pose, ordered, count, turns = state.pose, [], 0, state.turns
    for step in map(of_others, part.steps):
        if step in state.steps:
            continue
        if follow(pose, step)[1]:
            between = bridge(pose, step, turns)
            if between is None:
                continue
            turns += 1
            ordered.append(between)
            pose = follow(pose, between)[0]
        ordered.append(step)
        pose = follow(pose, step)[0]
        count += 1
    if count < min(2, len(part.steps)):
        return None
    state.steps |= set(part.steps)
    state.tasks.add(plain_task(part.task))
    state.pose, state.turns = pose, turns
    state.count += 1
    steps = retold(ordered, person, not state.begun, state.count % 2 == 1)
    state.begun = state.begun or ordered[0].startswith("{he} ")
    return Activity(sentence(person.says(statement(part.task))), tuple(steps))


def stumbles(steps: Sequence[str], pose: StepPose) -> int:
    """Number of steps that are impossible after the pose and one another."""
    count = 0
    for step in steps:
        pose, wrong = follow(pose, step)
        count += bool(wrong)
    return count


StepCheck = Callable[[Sequence[str]], list[bool]]  # of each step whether a body shows it
# activities among which one is looked for whose steps can all be shown
MAX_TRIALS = 4
VARIATION = 0.04  # of the fits of activities, at temperature 1
# less for each step that the pose forbids, and that the mood does
STUMBLE_COST, REFUSAL_COST = 0.1, 0.2
# above: activities of a plan too alike; an activity done before
MAX_PLAN_COSINE, MAX_PAST_COSINE = 0.72, 0.62


class ActivityChooser:
    """Takes activities from one plan; it never mixes their steps."""

    def __init__(
        self, story: Story, person: ScenePerson, rng: np.random.Generator, temperature: float,
        showable: StepCheck | None = None,
    ) -> None:  # fmt: skip
        self.story, self.person, self.showable = story, person, showable
        noise = rng.gumbel(0, VARIATION * temperature, len(story.parts)) if temperature > 0 else 0.0
        refused = [sum(person.refuses(s) for s in p.steps) for p in story.parts]
        self.worth = story.fits + noise - REFUSAL_COST * np.array(refused)
        self.chosen: list[int] = []

    def activities_of(self, count: int, state: PlanState) -> Iterator[Activity]:
        """At most `count` activities: a beginning, middles, an end; of a written scene in its order."""
        if self.story.ordered:
            for i in self._of_written(count, state):
                if (retold := tell(self.story.parts[i], self.person, state)) is not None:
                    yield retold
            return
        places = [{FIRST, MIDDLE}] if count == 1 else [{FIRST}, *({MIDDLE} for _ in range(count - 2)), {LAST}]
        for places_here in places:
            if (activity := self._best(places_here, state)) is not None:
                yield activity

    def next(self, state: PlanState, past: np.ndarray) -> Activity | None:
        """The next activity of this plan, None after its end; `past`: (n, 384) activities before."""
        parts = self.story.parts
        if self.story.ordered:
            at = self._find_reached(state, past)
            return next((a for a in (self._try(i, state) for i in range(at, len(parts))) if a is not None), None)
        used = [p for p in parts if state.knows(p)]
        if any(p.at == {LAST} for p in used):
            return None
        for places in [{FIRST, MIDDLE}] if not used else [{MIDDLE}, {LAST}]:
            if (activity := self._best(places, state, past)) is not None:
                return activity
        return None

    def left(self, state: PlanState, past: np.ndarray) -> Activity | None:
        """Whatever of this plan is not used yet."""
        return self._best({FIRST, MIDDLE, LAST}, state, past)

    def _try(self, i: int, state: PlanState) -> Activity | None:
        return None if state.knows(self.story.parts[i]) else tell(self.story.parts[i], self.person, state)

    def _best(self, places: set[int], state: PlanState, past: np.ndarray | None = None) -> Activity | None:
        """The best activity for these places; of the best few one that can be shown."""
        possible: list[tuple[int, int]] = []  # steps that cannot be shown, row
        for i in self._rank_places(places, state, past):
            trial = state.copy()
            if (activity := self._try(i, trial)) is not None:
                possible.append((0 if self.showable is None else self.showable(activity.steps).count(False), i))
                if not possible[-1][0] or len(possible) == MAX_TRIALS:
                    break
        if not possible:
            return None
        chosen = min(possible, key=lambda p: p[0])[1]
        self.chosen.append(chosen)
        return self._try(chosen, state)

    def _rank_places(self, places: set[int], state: PlanState, past: np.ndarray | None) -> Sequence[int]:
        parts, vectors = self.story.parts, self.story.vectors
        rows = [i for i, p in enumerate(parts) if p.at & places and i not in self.chosen]
        rows = [i for i in rows if not any(vectors[i] @ vectors[k] > MAX_PLAN_COSINE for k in self.chosen)]
        if past is not None and len(past):
            rows = [i for i in rows if float((past @ vectors[i]).max()) < MAX_PAST_COSINE or self.story.ordered]
        worth = {i: self.worth[i] - STUMBLE_COST * stumbles(parts[i].steps, state.pose) for i in rows}
        return sorted(rows, key=lambda i: -worth[i])

    def _of_written(self, count: int, state: PlanState) -> list[int]:
        """Rows in order: the first and the last, and between them the best."""
        rows = [i for i, p in enumerate(self.story.parts) if not state.knows(p)]
        if len(rows) <= count:
            return rows
        if count == 1:
            return [max(rows[:-1], key=lambda i: self.worth[i])]
        inner = sorted(rows[1:-1], key=lambda i: -self.worth[i])[: count - 2]
        return sorted([rows[0], *inner, rows[-1]])

    def _find_reached(self, state: PlanState, past: np.ndarray) -> int:
        """Row after the last activity of this plan that is used, or is like the last one done."""
        rows = [i for i, p in enumerate(self.story.parts) if state.knows(p)]
        if not rows and len(past):
            cosine = self.story.vectors @ past[-1]
            rows = [int(cosine.argmax())] if cosine.max() >= MAX_PAST_COSINE else []
        return max(rows) + 1 if rows else 0
