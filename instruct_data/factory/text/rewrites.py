"""Rewrites: prompts in users' words with the plain captions, actions and styles behind them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from instruct_data.factory.text.captions import CaptionBank, bank_style
from instruct_data.text.english import GERUND, THIRD, mirror_action, mirror_text, side_of, words
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

# A prompt that names no style may stand for clips whose style changes little of what is seen.
MILD = {"normal", "active", "youthful", "masculine", "feminine"}
_COMMON = set(words("""
a an the person someone somebody something and then of to with in on at for from by as if while it is its one two both
forward ahead straight steps step few several once again up down out very hand hands arm arms leg legs foot feet side
front slowly quickly fast hard calmly steadily body along away off
"""))  # fmt: skip


@dataclass(frozen=True)
class Rewrite:
    """One request."""

    prompt: str  # in the user's words
    plain: tuple[str, ...]  # captions in order, one per action
    actions: tuple[str | None, ...]  # the bank's keys, None where there is none
    styles: tuple[str | None, ...]  # the bank's styles, None where none is asked for
    side: str | None  # ``left``, ``right``, ``both`` or None

    @cached_property
    def target(self) -> str:
        """What the rewrite task answers: the plain captions joined by semicolons."""
        return "; ".join(self.plain)

    def mirror(self) -> Rewrite:
        """The same request for the other side of the body."""
        return Rewrite(
            mirror_text(self.prompt), tuple(mirror_text(p) for p in self.plain),
            tuple(mirror_action(a) if a else a for a in self.actions), self.styles,
            self.side and mirror_action(self.side),
        )  # fmt: skip


def _stem(word: str) -> str:
    if word in THIRD:
        return THIRD[word]
    if word in GERUND:
        return GERUND[word]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _words(text: str) -> set[str]:
    return {_stem(w) for w in re.findall(r"[a-z]+", text.lower())}


def _read(path: Path) -> list[Rewrite]:
    out = []
    for n, row in json_rows(path):
        try:
            item = Rewrite(
                str(row["prompt"]), tuple(row["plain"]), tuple(row["actions"]), tuple(row["styles"]), row["side"]
            )
        except (KeyError, TypeError) as e:
            raise UserError(f"{path}: line {n}: needs prompt, plain, actions, styles, side ({e})") from None
        if not item.plain or not len(item.plain) == len(item.actions) == len(item.styles):
            raise UserError(f"{path}: line {n}: plain, actions and styles must be lists of one length")
        out.append(item)
    if not out:
        raise UserError(f"{path}: no rewrites in it")
    return out


class Rewrites:
    """A file of requests."""

    def __init__(self, path: str | os.PathLike[str], bank: CaptionBank) -> None:
        self.items = _read(Path(path))
        self.bank = bank
        common = {_stem(w) for w in _COMMON}
        self._allowed = {
            action: common.union(*(_words(t) for t in bank.templates(action, side_of(action.replace("_", " ")))))
            for action in bank.actions
        }
        self._style_words = {
            name: set().union(*(_words(w) for kind in style.values() for w in kind))
            for name, style in bank.styles.items()
        }
        self._single: dict[str, list[Rewrite]] = {}
        for item in self.items:
            if len(item.plain) != 1 or item.actions[0] not in bank.actions:
                continue
            known = self._allowed[str(item.actions[0])] | self._style_words.get(item.styles[0] or "normal", set())
            # The plain caption adds nothing to the action and its style: any clip of these fits it.
            if all(w.endswith("ly") for w in _words(item.plain[0]) - known):
                self._add(item)
                if mirror_action(str(item.actions[0])) != item.actions[0]:
                    self._add(item.mirror())

    def _add(self, item: Rewrite) -> None:
        items = self._single.setdefault(str(item.actions[0]), [])
        if all(item.prompt != k.prompt for k in items):
            items.append(item)

    def for_action(self, action: str, style: str = "", side: str | None = None) -> list[str]:
        """Prompts that a clip of this action, style and side answers.

        Args:
            action: the corpus' class or the bank's key.
            style: the corpus' style, empty = normal. A prompt with a style needs that style; one without takes clips
                of mild styles (see `MILD`).
            side: which side of the body the clip shows; None = unknown or none. An action that names its side
                needs no `side`.

        Returns:
            May be empty.
        """
        key = self.bank.action_key(action)
        style = bank_style(style)
        key_side = side_of(key.replace("_", " ")) if key else None
        clip_side = side or key_side
        out = []
        for item in self._single.get(key, []):
            manner = item.styles[0]
            if {manner, style} != {"tired", "exhausted"} and manner != style and (manner or style not in MILD):
                continue
            sides = {s for s in (item.side, side_of(item.prompt), side_of(item.plain[0])) if s in ("left", "right")}
            if sides and sides != {clip_side}:
                continue
            out.append(item.prompt)
        return out

    def pairs(self) -> list[tuple[str, str]]:
        """Text to text: (prompt, plain captions joined by "; ")."""
        return [(i.prompt, i.target) for i in self.items]
