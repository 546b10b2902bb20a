"""The small set of commands that need no understanding: ``/save FILE``, ``/undo``, ``/list`` ..."""

from __future__ import annotations

import re

from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

COMMANDS = {
    "/save": "/save FILE, e.g. /save walk.glb", "/undo": "/undo or /undo N", "/redo": "/redo or /redo N",
    "/seed": "/seed N", "/list": "/list", "/play": "/play", "/view": "/view", "/load": "/load FILE", "/help": "/help",
    "/quit": "/quit",
}  # fmt: skip
BARE = {"quit": "/quit", "exit": "/quit", "quit()": "/quit", "exit()": "/quit"}
"""What people type to leave, and the command it stands for; no movement goes by these words alone."""
MOST_SEED = 2**32 - 1


def is_command(text: str) -> bool:
    """Whether a turn is a command; a path such as ``/tmp/walk.bvh`` is none."""
    return text.lower() in BARE or bool(re.match(r"/[A-Za-z]*(?:\s|$)", text))


def command(text: str) -> Act | int | None:
    """A command -> its act, a new seed for ``/seed``, None for ``/quit``.

    Raises:
        UserError: no such command, or one that is not complete.
    """
    name, _, rest = BARE.get(text.lower(), text).partition(" ")
    name, rest = name.lower(), rest.strip().strip("\"'")
    if name not in COMMANDS:
        raise UserError(f"{name}: no such command; accepted: {' '.join(COMMANDS)}")
    if name in ("/save", "/load"):
        if not rest:
            raise UserError(f"{name} needs a file; {COMMANDS[name]}")
        return Act("save", name=rest) if name == "/save" else Act("load", file=rest)
    if name in ("/undo", "/redo", "/seed"):
        if not rest and name != "/seed":
            return Act(name[1:])
        if not rest.isascii() or not rest.isdigit() or int(rest) > MOST_SEED:
            raise UserError(f"{name} {rest}: accepted {COMMANDS[name]}")
        return int(rest) if name == "/seed" else Act(name[1:], steps=int(rest))
    if rest:
        raise UserError(f"{name} takes nothing behind it")
    simple = {
        "/list": Act("show", what="timeline"), "/play": Act("play"), "/view": Act("show", what="frames"),
        "/help": Act("help"), "/quit": None,
    }  # fmt: skip
    return simple[name]
