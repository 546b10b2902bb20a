"""The words of a turn: checks, commands, names of files, changes of captions."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from avatargpt.requests.english import hit_at_random, lemmas, looks_english
from instruct_data.dialogue.acts import FORMATS, Act
from instruct_data.text.english import GERUND, THIRD, mirror_text, side_of, third_of
from instruct_data.text.numerals import value_of
from vqvae.errors import UserError

MAX_WORDS = 120
MAX_CHARACTERS = 1000
MIN_LANGUAGE_WORDS = 4  # words that it takes to tell a language
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colours and cursor keys of terminals
# of typed English; they are words of other languages, too
_SHORT = frozenset("i do w n u s sec secs ok hm b4".split())


def clean_turn(text: str) -> str:
    """The turn without control characters and double blanks; raises UserError for an empty, long or non-Latin one."""
    visible = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in _ESCAPE.sub(" ", text))
    words = visible.split()
    if not any(c.isalnum() or c == "?" for c in visible):
        raise UserError("I heard nothing; say what should happen, e.g. a person waves, or /help")
    if len(words) > MAX_WORDS or len(visible) > MAX_CHARACTERS:
        raise UserError(
            f"{len(words)} words in one turn; accepted at most {MAX_WORDS} (and {MAX_CHARACTERS} characters). "
            "Tell it in several turns: what happens first, then the rest"
        )
    letters = [c for c in visible if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if letters and latin < 0.7 * len(letters):
        raise UserError("I understand plain English only; please say it in English")
    return " ".join(words)


def check_english(text: str) -> None:
    """Raises UserError for a turn of some words that is in another language, or of a cat on the keyboard."""
    words = [w for w in text.lower().split() if w.strip(".,:;!?'\"") not in _SHORT and any(c.isalpha() for c in w)]
    if hit_at_random(text) or (len(words) >= MIN_LANGUAGE_WORDS and not looks_english(" ".join(words))):
        raise UserError("I understand plain English only, and this does not look like it; please say it in English")


COMMANDS = {
    "/save": "/save FILE, e.g. /save walk.glb", "/undo": "/undo or /undo N", "/redo": "/redo or /redo N",
    "/seed": "/seed N", "/list": "/list", "/play": "/play", "/view": "/view", "/load": "/load FILE", "/help": "/help",
    "/quit": "/quit",
}  # fmt: skip
BARE = {"quit": "/quit", "exit": "/quit", "quit()": "/quit", "exit()": "/quit"}
"""What people type to leave, and the command it stands for; no movement goes by these words alone."""
MAX_SEED = 2**32 - 1


def is_command(text: str) -> bool:
    """Whether a turn is a command; a path such as ``/tmp/walk.bvh`` is none."""
    return text.lower() in BARE or bool(re.match(r"/[A-Za-z]*(?:\s|$)", text))


def command(text: str) -> Act | int | None:
    """A command -> its act, a new seed for ``/seed``, None for ``/quit``; raises UserError for any other."""
    name, _, argument = BARE.get(text.lower(), text).partition(" ")
    name, argument = name.lower(), argument.strip().strip("\"'")
    if name not in COMMANDS:
        raise UserError(f"{name}: no such command; accepted: {' '.join(COMMANDS)}")
    if name in ("/save", "/load"):
        if not argument:
            raise UserError(f"{name} needs a file; {COMMANDS[name]}")
        return Act("save", name=argument) if name == "/save" else Act("load", file=argument)
    if name in ("/undo", "/redo", "/seed"):
        if not argument and name != "/seed":
            return Act(name[1:])
        if not argument.isascii() or not argument.isdigit() or int(argument) > MAX_SEED:
            raise UserError(f"{name} {argument}: accepted {COMMANDS[name]}")
        return int(argument) if name == "/seed" else Act(name[1:], steps=int(argument))
    if argument:
        raise UserError(f"{name} takes nothing behind it")
    simple = {
        "/list": Act("show", what="timeline"), "/play": Act("play"), "/view": Act("show", what="frames"),
        "/help": Act("help"), "/quit": None,
    }  # fmt: skip
    return simple[name]


FILE = re.compile(
    r"\"([^\"\n]+?\.\w{2,5}(?:#[^\"\n]+)?)\"|'([^'\n]+?\.\w{2,5}(?:#[^'\n]+)?)'|((?:\\ |[^\s\"'|;,])+\.(?:"
    + "|".join(FORMATS) + r"|gltf|wav|ogg|flac|mp3)(?:#[\w/-]+)?)(?![\w.])", re.IGNORECASE,
)  # fmt: skip
_ANIMATION = re.compile(r"(?<=\.glb)#.*|(?<=\.gltf)#.*", re.IGNORECASE)  # of a pack, behind the file's name
_RATE = re.compile(r"\b(?:at|with|in) (\d+(?:\.\d+)?) ?(?:fps|hz|frames (?:per|a) second)\b", re.IGNORECASE)
_UNSAFE = re.compile(r"[<>\"|?*]+")  # no file system everywhere takes these


def find_file_names(text: str) -> list[str]:
    """File names in a turn, as typed: quoted, with escaped blanks (as terminals paste them), or plain."""
    return [next(filter(None, m.groups())).replace("\\ ", " ") for m in FILE.finditer(text)]


def simplify_paths(text: str) -> tuple[str, dict[str, str]]:
    """The turn with every file's path cut to a plain name, and the paths of these names.

    ``describe "/tmp/My Clip.BVH"`` -> ``describe my_clip.bvh``, ``{"my_clip.bvh": "/tmp/My Clip.BVH"}``.
    """
    typed_names: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        typed = next(filter(None, match.groups())).replace("\\ ", " ")
        file = _ANIMATION.sub("", typed)
        name = re.sub(r"[^a-z0-9._-]+", "_", re.split(r"[/\\]", file)[-1].lower())
        typed_names[name] = typed
        return name

    return FILE.sub(plain, text), typed_names


def as_typed(name: str, request: str) -> str:
    """The name with the capitals and blanks that the user gave it."""
    letters = r"\s*".join(re.escape(c) for c in name if not c.isspace())
    match = re.search(letters, request, re.IGNORECASE) if letters else None
    return match[0] if match else name


def without_unsafe(name: str) -> str:
    """The name without characters that some file systems refuse."""
    return _UNSAFE.sub("_", name).strip()


def rate_named(request: str) -> float | None:
    """Frames per second that a turn asks for: "at 30 fps"."""
    match = _RATE.search(request)
    return float(match.group(1)) if match else None


_BASES = frozenset(THIRD.values())
_WHO = frozenset("he she it they him her them someone somebody".split())


def as_caption(text: str) -> str:
    """In the form of captions: ``he waves``, ``wave`` and ``waving`` become ``a person waves``."""
    words = text.split()
    if len(words) > 1 and words[0] in _WHO:
        words = words[1:]
    first = words[0]
    if first in THIRD:
        return " ".join(["a person", *words])
    base = GERUND.get(first) or (first if first in _BASES else "")
    if first in GERUND and len(words) == 2 and words[1].endswith("s"):  # "jumping jacks", in which it is no verb
        return " ".join(words)
    return " ".join(["a person", third_of(base), *words[1:]]) if base else " ".join(words)


CONTINUES = "a person goes on"  # caption of a continuation that no words ask for
QUESTION = re.compile(r"(?:what|which|who|whose|where|when|why|how)\b(?! (?:about|if)\b)[^.!]*\?")


@dataclass(frozen=True)
class ChatTurn:
    """A turn with its context.

    Attributes:
        request: the user's words, paths cut to plain file names.
        captions, lengths, names, activities: of the segments; seconds, empty = none.
        lines: the timeline as it is read, see `instruct_data.reading.examples.write_timeline`.
        takes: open for choice, 0 or 1 = none. before: the last turns with their replies, the latest last.
        last: acts of the last turn. files: plain names of the files in the request.
        undone: number of segments before the last change, None = nothing can be undone.
    """

    request: str
    captions: tuple[str, ...] = ()
    lengths: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    takes: int = 0
    before: tuple[tuple[str, str], ...] = ()
    last: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    undone: int | None = None


# times as fast; the second where it is said with "much"
TEMPO = {"faster": (1.4, 1.8), "slower": (0.7, 0.5)}
LENGTH = {"longer": (1.3, 1.8), "shorter": (0.75, 0.5)}  # times as long
LIMBS = frozenset("hand arm leg foot side way direction fist knee elbow shoulder".split())
_PART = re.compile(r"\b(left|right)[ -](hand|arm|leg|foot|knee|fist|elbow|shoulder)\b")
_BOTH = re.compile(r"\bboth (hand|arm|leg|feet|knee|fist)s?\b")


@dataclass(frozen=True)
class Change:
    """A change of a caption."""

    caption: str  # the new one
    # tempo, length: factors, 1 = none
    tempo: float = 1.0
    mirror: bool = False  # the same movement with its sides exchanged
    remake: bool = True  # the movement has to be generated again
    length: float = 1.0
    seconds: float = 0.0  # longer, negative = shorter


def change_caption(caption: str, change: str) -> Change:
    """Apply a change in the words of an act to a caption."""
    change = " ".join(change.lower().split()).rstrip(" .!")
    *before, last = change.split() or [""]
    if last in TEMPO and before in ([], ["much"]):
        return Change(caption, TEMPO[last][bool(before)], remake=False)
    if last in LENGTH and before in ([], ["much"]):
        return Change(caption, remake=False, length=LENGTH[last][bool(before)])
    if last in LENGTH and before[1:] in (["second"], ["seconds"]) and (number := value_of(before[:1])):
        return Change(caption, remake=False, seconds=number if last == "longer" else -number)
    words = change.split()
    if any(a == "other" and b.rstrip("s") in LIMBS for a, b in zip(words, words[1:], strict=False)):
        return Change(mirror_text(caption), mirror=True, remake=False)
    other_side = {"left": "right", "right": "left"}.get(side_of(caption) or "")  # that of the mirrored caption
    if other_side and side_of(change) == other_side and {*lemmas(change)} - {"left", "right", "use", "other"} <= LIMBS:
        return Change(mirror_text(caption), mirror=True, remake=False)
    return Change(_with_words(caption, change))


def _with_words(caption: str, change: str) -> str:
    """The caption with a side put in where it names that part of the body, else with the change behind it."""
    for pattern in (_PART, _BOTH):
        if match := pattern.search(change):
            limb = {"feet": "foot"}.get(match[match.lastindex or 1], match[match.lastindex or 1])
            named = rf"\b(?:(?:the|his|her) )?(?:left|right|one|the|his|her|both|a)\s+{limb}s?\b"
            limb_words = f"the {match[0]}" if pattern is _PART else match[0]
            new, count = re.subn(named, limb_words, caption, count=1)
            if count:
                return new
    return caption if change in caption else f"{caption} {change}"
