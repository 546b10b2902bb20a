"""A turn as it is typed: its check, commands, names of files, and `ChatTurn` with its context."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from avatargpt.requests.english import hit_at_random, looks_english
from instruct_data.dialogue.acts import FORMATS, Act
from vqvae.errors import UserError

MAX_WORDS = 120
MAX_CHARACTERS = 1000
MIN_LANGUAGE_WORDS = 4  # words that it takes to tell a language
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # colours and cursor keys of terminals
# of typed English; they are words of other languages, too
_SHORT = frozenset("i do w n u s sec secs ok hm b4".split())


def cleaned(text: str) -> str:
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


def named_files(text: str) -> list[str]:
    """File names in a turn, as typed: quoted, with escaped blanks (as terminals paste them), or plain."""
    return [next(filter(None, m.groups())).replace("\\ ", " ") for m in FILE.finditer(text)]


def simplified(text: str) -> tuple[str, dict[str, str]]:
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
    """The name with the capitals that the user gave it."""
    match = re.search(re.escape(name), request, re.IGNORECASE)
    return match.group(0) if match else name


def without_unsafe(name: str) -> str:
    """The name without characters that some file systems refuse."""
    return _UNSAFE.sub("_", name).strip()


def rate_named(request: str) -> float | None:
    """Frames per second that a turn asks for: "at 30 fps"."""
    match = _RATE.search(request)
    return float(match.group(1)) if match else None


CONTINUES = "a person goes on"  # caption of a continuation that no words ask for
QUESTION = re.compile(r"(?:what|which|who|whose|where|when|why|how)\b(?! (?:about|if)\b)[^.!]*\?")


@dataclass(frozen=True)
class ChatTurn:
    """A turn with its context.

    Attributes:
        request: the user's words, lower case, paths cut to plain file names. timeline: the line of `outline`.
        captions: of the segments. takes: open for choice, 0 or 1 = none. history: earlier turns, the last one last.
        files: plain names of the files in the request. planned: whether there is a plan.
        lengths: seconds of the segments.
    """

    request: str
    timeline: str
    captions: tuple[str, ...] = ()
    takes: int = 0
    history: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    planned: bool = False
    lengths: tuple[float, ...] = ()
