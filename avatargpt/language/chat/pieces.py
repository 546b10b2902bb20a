"""A turn of several orders: the pieces that may each ask for something, and one order for several things."""

from __future__ import annotations

import re
from dataclasses import replace

from avatargpt.language.chat import saving, slots
from avatargpt.language.chat.heard import Heard
from avatargpt.language.clauses import clauses
from instruct_data.dialogue.acts import Act

# a comma or "and" before a word that can only begin another order
_COMMAND = re.compile(
    r"\s*(?:,|\band\b|&)\s*(?:and\s+|then\s+)?(?=(?:export|save|loop|repeat|mirror|undo|redo|play it|delete|remove)\b)"
)


def parts(request: str) -> list[str]:
    """Pieces of a turn that may each ask for something: sentences, and what "then" joins."""
    marked = _COMMAND.sub("; ", request.replace(" | ", "; "))
    sentences = [s for s in re.split(r"(?<=[.!?;])\s+|;\s*", marked) if re.search(r"\w", s)] or [request]
    out: list[str] = []
    for sentence in sentences:
        lead = re.match(r"^(?:then|and then|next|after that|finally|now)\b", sentence)
        joined = re.search(r"\b(?:then|after that|afterwards|followed by)\b", sentence)
        pieces = clauses(sentence) if joined else [sentence]
        if lead:
            pieces = [f"{lead.group(0)} {pieces[0]}", *pieces[1:]]
        out += [pieces[0], *(f"then {p}" for p in pieces[1:])]
    return out


def each(act: Act, heard: Heard) -> list[Act]:
    """An order for every segment named, or for all, where the turn says so: "2 seconds each"; one for every file."""
    if act.do == "save" and heard.files:
        return [replace(act, name=name) for name in saving.save_names(heard.request, heard.files)] or [act]
    if act.do == "export":
        return [replace(act, format=f) for f in saving.suffixes(heard.request)] or [act]
    if act.do not in ("retime", "edit", "delete") or not heard.captions:
        return [act]
    pointed = slots.segments(heard.request, heard.captions)
    if not re.search(r"\b(?:each|every|all|everything)\b", heard.request) and act.do != "delete":
        return [act]
    if act.do == "delete":
        if not pointed and re.search(r"\b(?:everything|all|whole|entire)\b", heard.request):
            return [replace(act, segment=n) for n in range(len(heard.captions), 0, -1)]
        wanted = sorted(pointed, reverse=True) if re.search(r"\b(?:and|both|&)\b|,", heard.request) else []
    else:
        wanted = pointed if len(pointed) > 1 else list(range(1, len(heard.captions) + 1))
    return [replace(act, segment=n) for n in wanted[:8]] or [act]
