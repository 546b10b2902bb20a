"""Physical order of steps: a small state machine over the words of a plan."""
# It follows the base pose (standing, low, sitting, kneeling, lying), being up on a ladder or in the water, and items
# that were picked up. Rules, not a network: a pose that no word changes stays the same.

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

UNKNOWN, STAND, LOW, SIT, KNEEL, LIE = "unknown", "stand", "low", "sit", "kneel", "lie"
_UPRIGHT = (UNKNOWN, STAND, LOW)
_SELF = r"(?:\{himself\}|himself|herself|itself|themselves)"
_OWN = r"(?:\{his\}|his|her|its|their|the|both|one|two)"
_START = (
    r"(?:^|(?:\{he\}|\bhe|\bshe|\bit|\bperson|\bman|\bwoman|\bboy|\bgirl|\band|\bthen|,|\bbefore|;) )(?:[a-z]+ly )?"
)
_EVENTS: tuple[tuple[str, str], ...] = (
    ("fours", r"\b(?:on|to|onto) all fours|hands and knees|\bcrawls|\bon " + _OWN + r" elbows"),
    ("rise", r"\b(?:gets?|rises?|climbs?|struggles?|scrambles?|comes?|jumps?|leaps?|springs?|bounces?|is|hops?|pulls? "
     + _SELF + r"|pushes? " + _SELF + r"|hauls? " + _SELF + r"|rolls?|staggers?|shoots?|snaps?|flips?)"
     r" (?:back |slowly |quickly |stiffly |heavily |up )*(?:to|onto|on) " + _OWN + r" feet"),
    ("stand_up", r"\b(?:gets?|stands?) (?:back |slowly |quickly |stiffly |right )?up\b"
     r"(?! on| onto| to| the| a\b| close| in | against| straight| tall)"),
    ("rise", r"\b(?:straightens?|scrambles?|struggles?|stands) (?:back |slowly |quickly |stiffly |right )?up\b"),
    ("rise", r"\b(?:pops?|kips?|springs?|leaps?|jumps?|bounces?|shoots?|pushes? " + _SELF + r"|pulls? " + _SELF
     + r"|heaves? " + _SELF + r"|rises?|comes?) (?:back )?(?:up|upright)\b"
     r"(?! and down| on| onto| to (?:\{his\}|his|her) knee)"),
    ("rise", r"\brises\b(?! (?:on|onto|up on|to a (?:squat|crouch)|from side|and falls|into a crouch))|"
     r"\bto standing\b|\bstraightens\b(?! " + _OWN + r" | out)"),
    ("rise", _START + r"(?:pushes up and )?stands\b(?! up)"),
    ("sit_up", r"\bsits (?:bolt |straight |suddenly |slowly |back )?up(?:right)?\b"),
    ("sit_down", r"\b(?:sits?|squats and sits|plops?|flops?|drops?|sinks?|settles?|lowers? " + _SELF + r") "
     r"(?:slowly |heavily |carefully |gently |stiffly |hard |back )?(?:down\b(?! (?:on|onto|to) (?:" + _OWN
     + r" )?(?:knee|back|belly|stomach|side))|(?:on|onto|in|into) (?:a|the|" + _OWN + r") "
     r"(?:low |high |small )?(?:chair|seat|bench|stool|sofa|bottom|backside|box|crate|log|rock))"),
    ("sit", _START + r"sits\b(?! (?:down|up))|\bcross-legged|\bseated\b|\bsitting\b"),
    ("lie_down", r"\blies (?:back )?down\b"),
    ("lie", _START + r"lies\b(?! (?:back )?down)|\b(?:falls|drops|flops|rolls|dives|sinks|collapses|crashes|throws "
     + _SELF + r"|lands|tips|topples|lets " + _SELF + r" fall)(?!\w)[^,;]{0,24}? (?:on|onto|to) " + _OWN
     + r" (?:back|stomach|belly|side|face|chest)\b|\bflat on\b|\bthrows " + _SELF + r" flat\b|\bface down\b"
     r"|\bcollapses\b|\bdoes (?:a |\w+ )?push-ups?"),
    ("kneel", r"\bkneels\b|\b(?:to|onto|on|into) (?:" + _OWN + r" )?(?:left |right |hands and )?knees?\b"
     r"(?! (?:level|height))"),
    ("squat", r"\b(?:squats|crouches)\b"),
    ("low", r"\b(?:bends|stoops|hunches|ducks|trips|slips|tumbles|falls|dives|sinks|drops|rolls|lowers|doubles|curls"
     r"|topples|hides|huddles|cowers|tucks|shrinks|lands|reaches down|leans (?:over|down))\b"),
    ("loco", _START + r"(?:walks|runs|jogs|strides|steps|marches|tiptoes|skips|sprints|hurries|dances|paces|staggers|"
     r"limps|trudges|strolls|sneaks|waltzes|dashes|races|trots|wanders|stumbles|struts|hops|saunters|rushes|plods|"
     r"shuffles|jumps|leaps|cartwheels|pirouettes|twirls|gallops|backs|darts|charges|hobbles|swaggers|prances|wades)\b"
     r"(?! (?:back |right |straight )?(?:up\b|to " + _OWN + r" feet)| (?:" + _OWN + r"|a|one|both) (?:left |right )?"
     r"(?:hands?|fingers?|thumbs?|palms?|eyes|cloth|shoulders)"
     r"| (?:on|along on) (?:" + _OWN + r" )?(?:knees|hands|all)|[a-z ]*\bon " + _OWN + r" (?:knees|bottom|belly))"),
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
    _START + r"(?:walks|runs|jogs|strides|marches|strolls|sits down|lies|dances|kneels|sprints|skips)\b"
)
_WET = re.compile(_START + r"(?:swims|treads water|dives (?:in|into|under|head))\b|\bin the water\b")
_DRY = re.compile(r"\bout of the water|\bclimbs|\bashore|\bpulls " + _SELF + r" (?:up|out)|\bout\b")
_TAKE = re.compile(r"\bpicks up (?:a|an|the|{his}|his|her) ([a-z ]+?)(?= (?:with|and|from|in|on|off)\b|[,;]|$)")
_GIVE = re.compile(r"\b(?:puts|sets|lays|throws|drops|hands|tosses|gives|places|lets)\b")


@dataclass(frozen=True)
class Pose:
    """The known state of the body between two steps.

    Attributes:
        base: ``unknown`` (not yet), ``stand``, ``low`` (bent, squatting, fallen), ``sit``, ``kneel``, ``lie``.
        aloft: up on a ladder or the like. water: swimming. items: picked up, by name.
    """

    base: str = UNKNOWN
    aloft: bool = False
    water: bool = False
    items: frozenset[str] = frozenset()


START = Pose()


def follow(pose: Pose, step: str) -> tuple[Pose, list[str]]:
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
    aloft, water, items = pose.aloft, pose.water, pose.items
    if aloft and _DOWN.search(text):
        aloft = False
    elif aloft and _GROUND.search(text):
        wrong.append("walks or sits on a ladder")
        aloft = False
    if _ALOFT.search(text) and not re.search(r"\b(?:down|over|off)\b", text):
        aloft = True
    if water and _DRY.search(text):
        water = False
    elif water and _GROUND.search(text):
        wrong.append("walks or sits while swimming")
        water = False
    if _WET.search(text) and not re.search(r"out of the water", text):
        water = True
    if _GIVE.search(text):
        items = frozenset()
    if pick := _TAKE.search(text):
        if pick.group(1) in items:
            wrong.append(f"picks up the {pick.group(1)} twice")
        items = items | {pick.group(1)}
    return Pose(base, aloft, water, items), wrong


def violations(steps: Sequence[str], pose: Pose = START) -> list[tuple[int, str]]:
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


def bridge(pose: Pose, step: str, turn: int) -> str | None:
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
