"""Captions of motions and faces: words, action, side, count, and the patterns that tables write."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vqvae.errors import UserError

Words = re.Pattern[str]
"""What words name something, as a table of the evaluation suites writes them: a regular expression."""
_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[^\sa-z0-9]")
_COUNTED = re.compile(
    r"\b(?:once|twice|thrice|single|(?:two|three|four|five|six|seven|eight|\d+) "
    r"(?!hands|arms|legs|fists|feet|fingers|palms|drumsticks|sticks|people)\w+)\b"
)
_BOTH = re.compile(r"\b(?:both|hands|arms|legs|feet|fists)\b")
_ONE = re.compile(r"\b(?:hand|arm|leg|foot|fist)\b")
_PERSON = re.compile(r"(?:(?:can|would) you|you|he|she|someone|a person) ")
_SOMEBODY = re.compile(r"\b(?:someone|somebody|(?:a|the) (?:person|figure|man|woman))\b")


def pattern(words: str, where: str, any_case: bool = False) -> Words:
    """A table's words as a pattern; raises UserError, with the place `where`, for no regular expression."""
    try:
        return re.compile(words, re.IGNORECASE if any_case else 0)
    except re.error as e:
        raise UserError(f"{where}: words are no pattern ({e})") from None


def template(captions: Iterable[str]) -> Words:
    """A pattern of captions with any words in place of their ``{slots}``; lower case, without a final stop."""

    def pattern_of(text: str) -> str:
        return r"[\w' -]+?".join(re.escape(p) for p in re.split(r"\{\w+\}", text.lower().rstrip(".")))

    return re.compile("|".join(pattern_of(text) for text in captions))


def raw_tokens(sentence: str) -> list[str]:
    """Lower-cased words and punctuation marks."""
    return _TOKEN.findall(sentence.lower())


def words_of(text: str) -> frozenset[str]:
    """Lower-cased words."""
    return frozenset(re.findall(r"[a-z]+", text.lower()))


def bare(text: str) -> str:
    """A text without capitals, stops and double spaces."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


def tells_count(caption: str) -> bool:
    """Whether a caption names a number of repetitions."""
    return _COUNTED.search(caption.lower()) is not None


def both_against_one(first: str, second: str) -> bool:
    """Whether one text is about both hands (arms, legs, feet), the other about a single one."""
    both = [bool(_BOTH.search(t)) for t in (first, second)]
    return both[0] != both[1] and all(b or _ONE.search(t) for b, t in zip(both, (first, second), strict=True))


def of_anybody(text: str) -> str:
    """A caption whoever it is about: "a man waves" and "someone waves" are one."""
    return _SOMEBODY.sub("who", text)


def begins_with_person(request: str) -> bool:
    """Whether a request begins with a person: "he stands still", "can you stand still"."""
    return _PERSON.match(request) is not None


# The first match names the action, so the special ones stand before the general ones.
_ACTIONS = (
    ("cartwheel", r"cartwheel|sideways over the hands|over the hands sideways"),
    ("handstand", r"handstand|on the hands and kick|upside.down"),
    ("flip", r"\bflip|somersault|flic flac|turns? over (backward|to the side)"),
    ("roll", r"\broll(s|ing|ed)?\b"),
    ("crawl", r"crawl|all fours|hands and knees"),
    ("get up", r"gets? up (from|off)|(face down|on (his|her|the) (back|belly|stomach|side)).*(gets? up|stands?|rises?)"
               r"|rises from (lying|the floor)|stands? up from lay|pushes up from the floor|lying .* (gets? up|stand)"),
    ("fall", r"\bfalls?\b|falling|drops flat|loses footing"),
    ("climb", r"climb|playground|\bframe\b|hangs? (from|by|with)|grips? a bar|\bdangl"),
    ("dribble", r"dribbl|basketball|bounc\w+ (a|the) ball"),
    ("sword", r"sword|blade|slash|\bcuts? (through|an?)|swipes?\b"),
    ("kick", r"\bkick"),
    ("punch", r"punch|\bbox(es|ing)?\b|\bfists?\b|\bjabs?\b"),
    ("fight", r"martial|karate|fighter"),
    ("jumping jack", r"jumping jack"),
    ("trunk twist", r"twists? the (upper )?(body|trunk)|twists? at the waist"),
    ("arm circles", r"circles? (the|both|his|her) arms|arms? (in )?circles|arms up and down"),
    ("touch toes", r"touch(es)? (the|his|her|their) toes"),
    ("raise knees", r"(raises?|lifts?) (the|his|her|both) knees"),
    ("dance", r"\bdanc|salsa|ballet|pirouette|arabesque|\bjete|to the beat|\bwaltz"),
    ("jump", r"\bjump|\bhop(s|ping|ped)?\b|\bleap"),
    ("squat", r"\bsquat|\bcrouch|ducks?\b"),
    ("bow", r"\bbow(s|ed|ing)?\b(?! legs)|bends? forward|(lowers|dips) the head|tips? the upper body"),
    ("guide", r"\bguid|shows? the way|direct(s|ing)? (somebody|someone|a|people)|ushers?|(leads?|points?|pointing) the "
              r"(way|route)|invites? someone to go|invites? somebody to go"),
    ("call", r"\bcalls?\b|calling|shouts?|attention and invites|to come over"),
    ("wave", r"\bwav(e|es|ing|ed)\b|goodbye|bye|farewell|moves? side to side|shakes? it|rocks? the (left|right) hand"
             r"|hand back and forth|parting|signals? with two|says? hello"),
    ("run", r"\brun(s|ning)?\b|\bran\b|\bjog|\bdash|\bsprint|\brush|charges? forward|darts? off|bolts?|races?\b"
            r"|hurr(y|ies)|at (top |full |running )?speed|long, fast strides"),
    ("turn", r"\bturn|\bpivot|steers?|\bcurve|swings? around|heads (left|right)|rounds? a corner|rotat|veers?"
             r"|changes? direction"),
    ("raise", r"\brais|lifts?\b|lifting|puts? (up|the \w+ hands?|both|one|two|a hand)|hands? (up|overhead)|reach(es)? "
              r"(up|for|over)|up in the air|elevat|sticks? the|stretch(es)? (the|both)|pushes? the|holds? up"
              r"|brings? the|arms? (up|overhead)|palms? (up|high)|putting up|hands? high|signals? with a raised"
              r"|responds?|answers? by"),
    ("walk back", r"backward|to the rear|backs? up|straight back|in reverse|\bretreat|gives? ground"
                  r"|steps? back|walks? back|goes? back"),
    ("walk sideways", r"diagonal|sideways|at a slant|drifts?|ahead and to the (left|right)|(left|right) while still"
                      r"|(leftward|rightward)|moves? (left|right)|while facing|strafes?"
                      r"|forward and to the (left|right)"),
    ("walk", r"\bwalk|\bstep|stride|strid|\bstroll|on foot|advances?|moves? (ahead|forward)|paces?\b|zombie|sneak|prowl"
             r"|creep|tiptoe|marches?|goes? (ahead|forward)|proceeds?|makes? (his|her|their) way"),
)  # fmt: skip
# Phrases that hold a keyword without meaning it.
_NOISE = re.compile(r"without turning( \w+)?|no strength left|asks? for a turn|turn to speak|energy left|answer a call")
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in _ACTIONS)
ACTIONS = tuple(name for name, _ in _ACTIONS)
_BOTH_LIMBS = re.compile(
    r"\bboth\b|\btwo (\w+ )?(hands|arms|palms)|left and (the )?right|(hands|arms) (up|overhead|in the air)"
    r"|the two (hands|arms)|\b(hands|arms)\b"
)


def action_of(sentence: str) -> str:
    """The action a sentence names, one of `ACTIONS`, or "" when no keyword is in it."""
    text = _NOISE.sub(" ", sentence.lower())
    return next((name for name, pattern in _COMPILED if pattern.search(text)), "")


def side_of(sentence: str) -> str:
    """``left``, ``right``, ``both`` or "" (no side, or left and right separately)."""
    text = _NOISE.sub(" ", sentence.lower())
    left, right = (bool(re.search(rf"\b{side}(ward|wards|-handed)?\b", text)) for side in ("left", "right"))
    if re.search(r"\bboth\b|left and (the )?right|two (\w+ )?(hands|arms)|the two", text):
        return "both"
    if left != right:
        return "left" if left else "right"
    if left and right:
        return _active_side(text)
    return "both" if _BOTH_LIMBS.search(text) else ""


def _active_side(text: str) -> str:
    """Of two sides the one that does not rest ("keeps the right arm down, lifts the left")."""
    resting = re.search(
        r"(leaves?|keeps?|lets?|leaving|keeping|with) the (left|right) (arm|hand)[^,;]*?(hang|down|still|rest)", text
    )
    if resting:
        return "right" if resting.group(2) == "left" else "left"
    named = re.search(r"(left|right) (hand|arm)", text)
    return named.group(1) if named else ""
