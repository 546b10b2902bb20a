"""The table of the functions that do acts."""

from __future__ import annotations

from collections.abc import Callable

from avatargpt.chat.scene import Done, Scene
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

Doer = Callable[[Scene, Act], Done]
_DOERS: dict[str, Doer] = {}


def does(*names: str) -> Callable[[Doer], Doer]:
    """Register a function as what does these acts."""

    def register(function: Doer) -> Doer:
        _DOERS.update(dict.fromkeys(names, function))
        return function

    return register


def perform(scene: Scene, act: Act) -> Done:
    """Do one act (all but undo and redo, which are the conversation's own).

    Raises:
        UserError: it cannot be done; nothing has changed then.
    """
    if act.do not in _DOERS:
        raise UserError(f"nobody does {act.do}; accepted: {', '.join(sorted(_DOERS))}")
    return _DOERS[act.do](scene, act)
