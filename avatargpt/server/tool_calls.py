"""Acts of a turn as calls of the tools that a client declares, and what such calls gave as words."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, JsonValue

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.timeline import FPS, Segment, Timeline
from avatargpt.server.core import Server
from avatargpt.server.errors import Refusal
from avatargpt.server.results import Stored
from avatargpt.server.services import body_of
from instruct_data.dialogue.acts import MAX_TEXT, Act, write
from vqvae.errors import UserError

MAX_RESULT = 600  # characters of a result that is told


class Function(BaseModel):
    """A function; its arguments are read where it is called."""

    name: str = ""


class NamedFunction(BaseModel):
    """A function that is declared, chosen, or called."""

    id: str = ""
    function: Function = Function()


class Message(BaseModel):
    """A message; what is not known of it is not looked at."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, JsonValue]] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[NamedFunction] | None = None

    @property
    def text(self) -> str:
        """Its words; parts that are none are not read."""
        if isinstance(self.content, list):
            return " ".join(str(p.get("text", "")) for p in self.content if p.get("type") in ("text", "input_text"))
        return self.content or ""


def calls_of(server: Server, words: str, motion: str, names: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """The calls of a turn in a client's words, and the text where there are none; on the model's thread.

    Args:
        motion: id of the motion that is spoken of, empty = none. names: of the tools that may be called.
    """
    talk = Conversation(server.model, intent=server.intent, llm=server.llm, served=True)
    entry = _get_stored(server, motion)
    if entry is not None:
        clip = body_of(entry, "motion").resampled(FPS).canonical()
        caption = str(entry.about.get("prompt") or clip.caption or "a person moves")
        talk.memory.now = Timeline().replace_segments([Segment(caption, clip, int(entry.about.get("seed") or 0))])
        made = {"user": caption, "acts": [Act("make", text=caption[:MAX_TEXT]).to_json()], "reply": f"Made: {caption}."}
        talk.memory.turns = [{**made, "ok": True}]  # what stands was made in a turn
    try:
        acts = talk.read(words)
    except UserError as e:
        return [], str(e)
    calls, left = [], []
    for act in acts:
        called = _call(act, words, entry, names)
        if called is None:
            left.append(write([act]))
        else:
            calls.append(called)
    text = f"No declared tool does this: {'; '.join(left)}. Declared: {', '.join(names)}." if left else ""
    return [_row(name, arguments) for name, arguments in calls], text


def _get_stored(server: Server, number: str) -> Stored | None:
    try:
        entry = server.store.motion(number) if number else None
    except Refusal:
        return None
    return entry if entry is not None and entry.about["kind"] != "face" else None


def _call(act: Act, words: str, entry: Stored | None, names: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of the tool that does an act to a motion; None where no declared one does."""
    motion, about = ("", {}) if entry is None else (entry.id, entry.about)
    options: dict[str, dict[str, Any]] = {}
    if act.do in ("make", "then"):
        options["make"] = {"prompt": act.text, "seconds": act.seconds, "after": motion if act.do == "then" else ""}
    elif act.do in ("again", "replace", "retime", "total") and motion:  # anew, with other words, length or seed
        seed = int(about.get("seed") or 0) + (act.do == "again")
        seconds = act.seconds or about["seconds"]
        options["make"] = {"prompt": act.text or about.get("prompt"), "seconds": seconds, "seed": seed}
    elif act.do in ("edit", "speed", "mirror") and motion:
        options["edit"] = {"motion": motion, "text": act.change or words}
    elif act.do == "plan":
        options["long"] = {"scene": act.scene, "seconds": act.seconds}
        options["plan"] = options["long"] | {"activities": act.activities}
    elif act.do == "describe" and motion:
        options["describe"] = {"motion": motion}
    elif act.do in ("save", "export") and motion:
        form = act.format or str(act.name or "").rpartition(".")[2] or "glb"
        options["export"] = {"motion": motion, "format": form}
    for name in ("plan", "long") if act.do == "plan" else options:
        if name in names:
            return name, {k: v for k, v in options[name].items() if v not in (None, "")}
    return None


def _row(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": f"call_{secrets.token_urlsafe(12)}", "type": "function", "function": function}


def _results(messages: Sequence[Message]) -> list[tuple[str, Any]]:
    """Names of called tools and what they gave, read as JSON where it is that."""
    called: dict[str, str] = {}
    out: list[tuple[str, Any]] = []
    for message in messages:
        called |= {call.id: call.function.name for call in message.tool_calls or ()}
        if message.role == "tool":
            try:
                value = json.loads(message.text)
            except ValueError:
                value = message.text
            out.append((called.get(str(message.tool_call_id), message.name or "tool"), value))
    return out


def last_motion(messages: Sequence[Message]) -> str:
    """The id of the motion that a tool gave last; empty = none."""
    for _, value in reversed(_results(messages)):
        motions = value.get("motions") if isinstance(value, dict) else None
        if isinstance(motions, list) and motions and isinstance(motions[-1], dict) and motions[-1].get("id"):
            return str(motions[-1]["id"])
    return ""


def results_of(messages: Sequence[Message]) -> list[str]:
    """Lines about what the calls of the last turn gave; empty where none came after it."""
    last = max((i for i, m in enumerate(messages) if m.role == "user"), default=0)
    answered = [m for m in messages[last:] if m.role in ("assistant", "tool")]
    return [f"{name}: {_in_words(value)}" for name, value in _results(answered)]


def _in_words(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("motions"), list) and value["motions"]:
        return "; ".join(_motion(m) for m in value["motions"] if isinstance(m, dict))
    if isinstance(value, dict) and isinstance(value.get("descriptions"), list):
        return "; ".join(map(str, value["descriptions"]))[:MAX_RESULT]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:MAX_RESULT]


def _motion(row: dict[str, Any]) -> str:
    notes = "".join(f" ({note})" for note in row.get("notes") or ())
    links = row.get("links")
    link = f", {links['glb']}" if isinstance(links, dict) and links.get("glb") else ""
    return f"{row.get('prompt') or 'a motion'}, {row.get('seconds')} s{link}{notes}"[:MAX_RESULT]
