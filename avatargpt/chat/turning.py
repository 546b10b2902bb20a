"""The usual reading of a turn: the network names acts in the turn's own words, and what they point at is looked up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.chat.heard import GOES_ON, Heard
from avatargpt.chat.intent import why_not
from avatargpt.chat.naming import as_caption, file_name
from avatargpt.chat.placing import Acts, Point, at_segment, gap, longer, meant, moved, tempo
from avatargpt.chat.pointing import Target, target
from instruct_data.dialogue.acts import FORMATS, TAKE_LETTERS, Act, from_json
from instruct_data.dialogue.dialogues import ORDINALS
from instruct_data.requests.spec import TurnPart
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.reader import RequestReader

LEAST = 0.25  # less sure than this it is better to ask
ALL_STEPS = 99  # of undo: as many as there are
SOUNDS = ("wav", "flac", "ogg", "mp3")
RESTARTS = 0.8  # as sure it must be that everything is to begin anew
MOST_TAKES = 8  # of one turn
UNNAMED = "motion"  # what is saved without a name
Near = Callable[[str], Sequence[float]]


class TurnIntent:
    """The reader of turns.

    Args:
        reader: of a model folder. grounder: a sentence encoder, for what captions mean.
    """

    name = "reader"

    def __init__(self, reader: RequestReader, grounder: SentenceGrounder) -> None:
        self.reader, self.grounder = reader, grounder

    def understand(self, heard: Heard) -> list[Act] | None:
        acts, sure = self.weighed(heard)
        return acts if sure >= LEAST else None

    def weighed(self, heard: Heard) -> tuple[list[Act] | None, float]:
        """Acts, and how sure the least sure of them is (0..1)."""
        parts = self.reader.read_turn(heard.request)
        if not parts or any(p.act == "clarify" for p in parts):
            return None, 0.0
        acts = acts_of(parts, heard, self._near(heard.captions))
        sure = min(p.sure for p in parts)
        return (acts, sure) if acts and not why_not(acts, heard) else (None, 0.0)

    def _near(self, captions: Sequence[str]) -> Near:
        def near(words: str) -> Sequence[float]:
            vectors = np.asarray(self.grounder.sentence([words, *captions]))
            return [float(x) for x in vectors[1:] @ vectors[0]]

        return near


def acts_of(parts: Sequence[TurnPart], heard: Heard, near: Near | None = None) -> list[Act]:
    """What the parts of a turn ask for, given what there is; empty where one of them lacks something.

    Raises:
        UserError: a part that leaves something open, or names what is not there.
    """
    captions, lengths = list(heard.captions), list(heard.lengths)
    out: list[Act] = []
    for part in parts:
        if part.act == "chat" and len(parts) > 1:  # "Great. Save it."
            continue
        if part.act == "make" and captions and part.sure < RESTARTS:  # what is there is not thrown away on a guess
            part = part.model_copy(update={"act": "then"})
        if part.act in ("edit", "replace") and part.text and not captions:
            part = part.model_copy(update={"act": "make"})
        some = [from_json({"do": do, **values}) for do, values in _acts(part, captions, lengths, heard, near)]
        if not some:
            return []
        for act in some:
            out.append(act)
            _apply(act, captions, lengths)
    return out


def _apply(act: Act, captions: list[str], lengths: list[float]) -> None:
    """What is there once an act is done, as far as later parts of the turn may name it."""
    text = str(act.text or act.scene or act.file or "")
    usual = act.seconds or 4.0
    if act.do in ("make", "load", "long"):
        captions[:], lengths[:] = [text], [usual]
    elif act.do == "then":
        captions.append(text)
        lengths.append(usual)
    elif act.do == "before":
        captions.insert((act.segment or 1) - 1, text)
        lengths.insert((act.segment or 1) - 1, usual)
    elif act.do == "delete" and act.segment:
        del captions[act.segment - 1 : act.segment], lengths[act.segment - 1 : act.segment]


def _acts(p: TurnPart, captions: list[str], lengths: list[float], heard: Heard, near: Near | None) -> Acts:
    count = len(captions)

    def at(words: str) -> Target | None:
        return target(words, captions, near) if words else Target()

    seconds = {} if p.seconds is None else {"seconds": round(p.seconds, 3)}
    match p.act:
        case "make" | "then" | "before":
            return _movement(p, count, seconds, at)
        case "replace":
            one = at(p.of)
            if not count or not p.text or one is None:
                return []
            values: Acts = [("replace", {"segment": one.segment or count, "text": _said(p)})]
            return values + ([("retime", {"segment": one.segment or count, **seconds})] if seconds else [])
        case "edit":
            one = at(p.of)
            if one is None or not p.text or one.whole and count < 1:
                return []
            if one.whole or one.several:
                return [("edit", {"segment": n, "change": p.text}) for n in meant(one, count)]
            return [("edit", {**at_segment(one), "change": p.text})]
        case "retime" | "total":
            one = at(p.of)
            if one is None or not seconds:
                return []
            if p.act == "total" or (one.whole and not _each(p)):
                return [("total", seconds)]
            return [("retime", {"segment": n, **seconds}) for n in meant(one, count)]
        case "speed" | "faster" | "slower":
            return tempo(p, at(p.of))
        case "longer" | "shorter":
            return longer(p, at(p.of), lengths)
        case "mirror" | "again" | "describe":
            if p.act == "describe" and heard.files:
                return [("describe", {"file": heard.files[0]})]
            one = at(p.of)
            rounds = min(p.times or 1, MOST_TAKES) if p.act == "again" else 1
            return [] if one is None else [(p.act, at_segment(one))] * rounds
        case "keep":
            letter = _take(p.text or p.of, heard.takes)
            return [("keep", {"choice": letter})] if letter else []
        case "delete":
            one = at(p.of)
            if one is None or not count:
                return []
            return [("delete", {"segment": n}) for n in sorted(meant(one, count), reverse=True)]
        case "move":
            return moved(p, count, at)
        case "loop":
            if p.times is None:
                raise UserError("how often? e.g. loop it 3 times")
            return [("loop", {"times": p.times})]
        case "undo" | "redo":
            steps = ALL_STEPS if target(p.of or "it", captions, None) == Target(whole=True) else p.times
            return [(p.act, {"steps": steps} if steps and steps > 1 else {})]
        case _:
            return _other(p, heard, seconds, at)


def _other(p: TurnPart, heard: Heard, seconds: dict[str, float], at: Point) -> Acts:
    if p.act in ("load", "speak"):
        if not heard.files:
            return []
        do = "speak" if heard.files[0].rsplit(".", 1)[-1] in SOUNDS else "load"
        return [(do, {"file": heard.files[0], **({"text": p.text} if do == "speak" and _words(p, heard) else {})})]
    if p.act == "plan":
        return [("plan", {"scene": p.text, **({"activities": p.times} if p.times else {})})] if p.text else []
    if p.act == "long":
        return [("long", {**seconds, "scene": p.text})] if p.text and seconds else []
    if p.act in ("save", "export"):
        one = at(p.of)
        where = {} if one is None or one.segment is None else {"segment": one.segment}
        if heard.files:
            return [("save", {"name": f, **where}) for f in heard.files]
        formats = [w for w in f"{heard.request} {p.text}".replace(",", " ").replace(".", " ").split() if w in FORMATS]
        name = file_name(p.text, formats)
        if name:
            return [("save", {"name": f"{name}.{formats[0]}" if formats else name, **where})]
        if formats:
            return [("export", {"format": f, **where}) for f in dict.fromkeys(formats)]
        return [("save", {"name": UNNAMED, **where})] if p.act == "save" else []
    if p.act == "show":
        return [("show", {"what": p.what or "timeline"})]
    if p.act == "question":
        return [("question", {"about": _topic(p, at(p.of))})]
    if p.act == "face":
        return [("face", {"text": p.text})] if p.text else []
    return [(p.act, {})]


def _words(p: TurnPart, heard: Heard) -> bool:
    return bool(p.text) and not any(p.text.replace(" ", "") in f for f in heard.files)


def _each(p: TurnPart) -> bool:
    return "each" in p.of.split() or "every" in p.of.split() or "both" in p.of.split()


def _movement(p: TurnPart, count: int, seconds: dict[str, float], at: Point) -> Acts:
    if not p.text:
        return [] if p.act != "then" else [("then", {**seconds, "text": GOES_ON})]
    text = _said(p)
    if not count:
        return [("make", {**seconds, "text": text})]
    place = gap(p, count, at) if p.act == "before" or p.where else None
    if p.act == "make":
        return [("make", {**seconds, "text": text})]
    if place is None or place >= count:
        return [("then", {**seconds, "text": text})]
    return [("before", {"segment": place + 1, **seconds, "text": text})]


def _said(p: TurnPart) -> str:
    """The movement of a part as a caption, with how often it is done."""
    often = {None: "", 1: " once", 2: " twice"}.get(p.times, f" {p.times} times")
    return as_caption(p.text) + often


def _take(said: str, takes: int) -> str:
    """The letter of a take."""
    words = said.lower().split()
    for w in words:
        if len(w) == 1 and w in TAKE_LETTERS:
            return w
        if w.isdigit() and 1 <= int(w) <= len(TAKE_LETTERS):
            return TAKE_LETTERS[int(w) - 1]
        if w in ORDINALS:
            return TAKE_LETTERS[ORDINALS.index(w)]
    if {"last", "new", "latest"} & set(words):
        return TAKE_LETTERS[max(takes, 1) - 1]
    return "a" if {"old", "previous", "original", "earlier", "before"} & set(words) else ""


TOPICS = {
    "total_length": "total length", "frames": "total length in frames", "count": "number of segments",
    "longest": "longest segment", "shortest": "shortest segment", "files": "loaded files", "plan": "plan",
}  # fmt: skip


def _topic(p: TurnPart, one: Target | None) -> str:
    if p.topic in TOPICS:
        return TOPICS[p.topic]
    n = one.segment if one else None
    if p.topic in ("length", "start"):
        what = "length" if p.topic == "length" else "start"
        return f"{what} of segment {n}" if n else "total length"
    return f"text of segment {n}" if n else p.text or "timeline"
