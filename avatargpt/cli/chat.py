"""``avatargpt chat``: a conversation on the terminal, or turns from standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import option, progress, say, warn
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.chat.conversation import Conversation, Reply

HISTORY = "turns.txt"  # of line editing, in the session folder
MAX_HISTORY = 1000  # lines
MAX_LINE = 100_000  # characters; the end of a longer line is not read


def chat(
    *,
    session: Annotated[Path | None, option("--session FOLDER", "Keep the conversation here and go on with it.")] = None,
    view: Annotated[bool, option("--view", "Draw every turn; show it where there is a desktop.")] = False,
    outputs: Annotated[
        Path | None, option("--outputs FOLDER", "Where saved files go, and nowhere else; default: here.")
    ] = None,
    faces: Annotated[bool, option("--faces", "Turns say what a face does, too; avatars are saved.")] = False,
    planner: Annotated[str, option("--planner SPEC", "Another planner, as for avatargpt plan.")] = "",
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    seed: common.AnySeed = None,
    setup: common.Setup,
) -> None:
    """Make, change, describe and save motion by talking.

    Reads turns from the terminal, or one per line from standard input: avatargpt chat < turns.txt. The exit status is
    2 where files of a turn could not be written.
    """
    from avatargpt.chat.conversation import Conversation
    from avatargpt.chat.scene import open_file

    if sys.stdin is None:
        raise UserError("stdin is closed; accepted turns on it, one a line, or a terminal")
    if outputs is not None:
        try:
            outputs.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UserError(f"--outputs {outputs}: {e.strerror}; accepted a folder, which is made if need be") from None
    llm_helper = setup.load_llm(llm, llm_limits)
    loaded = setup.load()
    talk = Conversation(
        loaded, session, planner or None, outputs=outputs, seed=seed, view=view, llm=llm_helper, tell=warn,
        faces=faces,
    )  # fmt: skip
    terminal, unwritten = sys.stdin.isatty(), 0
    with _turns(talk if terminal else None) as turns:
        if terminal and not setup.as_json:
            again = f"Going on with {len(talk.memory.turns)} turns. " if talk.resumed else ""
            say(f"{again}Say what should happen, e.g. a person waves. /help explains, /quit leaves.")
        for line in turns():
            if not line.strip() and not terminal:
                continue
            reply = _reply(talk, line, setup.quiet)
            unwritten += reply.unwritten
            _print(talk, line, reply, setup.as_json, terminal)
            for picture in _pictures(reply) if view and terminal else ():
                if not open_file(picture):
                    say(f"[{picture}]")
            if reply.over:
                break
    if unwritten:
        raise UserError(f"files of {unwritten} turns could not be written; their replies say why")


def _reply(talk: Conversation, line: str, quiet: bool) -> Reply:
    """One turn; Ctrl-C ends the turn and not the conversation."""
    from avatargpt.chat.conversation import Reply

    try:
        with progress("working", quiet) as advance:
            talk.progress = advance
            return talk.say(line)
    except common.Terminated:
        raise
    except KeyboardInterrupt:
        return Reply("Stopped; nothing has changed.", ok=False, seconds=talk.timeline.seconds)


def _print(talk: Conversation, line: str, reply: Reply, as_json: bool, terminal: bool) -> None:
    if as_json:
        row: dict[str, Any] = {"user": line.strip()[:1000], **reply.to_json(), "timeline": talk.timeline.to_json()}
        say(json.dumps(common.with_uris(row), ensure_ascii=False))
        return
    if not terminal:
        say(f"> {line.strip()[:300]}")
    say(reply.text)
    if not terminal:
        for picture in _pictures(reply):
            say(f"[{picture}]")
        say()


def _pictures(reply: Reply) -> list[Path]:
    from avatargpt.chat.scene import TURN_PICTURE

    return [f for f in reply.files if f.name == TURN_PICTURE]


@contextmanager
def _turns(talk: Conversation | None) -> Iterator[Any]:
    """The source of lines: standard input, or the terminal with line editing and a stored history."""
    if talk is None:
        yield _lines
        return
    try:
        import readline
    except ImportError:  # there is none on Windows; typing works all the same
        yield _read_lines
        return
    path = talk.store.folder / HISTORY if talk.store else None
    if path is not None and path.is_file():
        with suppress(OSError):
            readline.read_history_file(path)
    readline.set_history_length(MAX_HISTORY)
    try:
        yield _read_lines
    finally:
        if path is not None:
            with suppress(OSError):  # a history is a convenience
                readline.write_history_file(path)


def _read_lines() -> Iterator[str]:
    while True:
        try:
            yield input("> ")
        except EOFError:
            say()
            return
        except common.Terminated:
            raise
        except KeyboardInterrupt:
            say("\n/quit leaves.")
        except UnicodeDecodeError:
            say("That is no UTF-8 text.")


def _lines() -> Iterator[str]:
    """Standard input line by line; bytes that are no UTF-8 become marks, endless lines are cut."""
    stdin = sys.stdin.buffer
    while raw := stdin.readline(MAX_LINE):
        block = raw
        while block and not block.endswith(b"\n"):
            block = stdin.readline(MAX_LINE)
        yield raw.decode("utf-8", "replace")
