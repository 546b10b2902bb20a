"""Which reading of a turn counts: the classifier's (the default), the network's, or both together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from avatargpt.chat.classifier import LEAST, SETTLED, TurnIntent
from avatargpt.chat.intent import MOVEMENTS, Intent, ModelIntent, grounded_text
from avatargpt.language.chat import slots
from avatargpt.language.chat.heard import Heard
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

INTENTS = ("both", "network", "turns")
SURE = 0.5  # probability from which the classifier outvotes a network that says otherwise


class BothIntent:
    """The network and the classifier together.

    Where the words settle what is meant (`SETTLED`), the rules count. Where both name the same kinds of acts, the
    network's acts count, for it can also read what rules cannot (who is meant, what follows from earlier turns). Where
    they differ, the classifier counts when it is sure (`SURE`), else the network. Where only one has a possible answer,
    that one.
    """

    name = "network and classifier"

    def __init__(self, network: ModelIntent, turns: TurnIntent) -> None:
        self.network, self.turns = network, turns
        self.last = self.name

    def understand(self, heard: Heard) -> list[Act] | None:
        second, sure = self.turns.weighed(heard)
        if sure < LEAST:
            second = None
        # samples of the network take time, and are drawn only when nobody else has an answer
        first = self.network.understand(heard) if second is None else self.network.likeliest(heard)
        if first is None or second is None:
            self.last = self.network.name if second is None else self.turns.name
            return second if first is None else _grounded(first, heard)
        if sure == SETTLED:
            self.last = self.turns.name
            return second
        if [a.do for a in first] == [a.do for a in second]:
            self.last = self.name
            return _grounded(first, heard)
        self.last = self.turns.name if sure >= SURE else self.network.name
        return second if sure >= SURE else _grounded(first, heard)


def _grounded(acts: Sequence[Act], heard: Heard) -> list[Act]:
    """Captions that have nothing to do with the turn are replaced by the turn's own words."""
    movements = [a for a in acts if a.do in MOVEMENTS]
    out = []
    for act in acts:
        if act.do in MOVEMENTS and len(movements) == 1 and not grounded_text(str(act.text), heard):
            words = slots.replacement(heard.request) if act.do == "replace" else slots.movement(heard.request)
            act = replace(act, text=words)
        out.append(act)
    return out


def open_intent(model: Any, kind: str = "turns") -> Intent:
    """How this model's conversations understand turns.

    Args:
        model: an `avatargpt.AvatarGPT`; its folder may hold the classifier.
        kind: one of `INTENTS`. "turns" is the default: it heard more turns rightly (docs/chat.md). "both" needs the
            classifier, else it is the network alone.

    Raises:
        UserError: an unknown kind, or a classifier that is not there.
    """
    if kind not in INTENTS:
        raise UserError(f"intent {kind!r}; accepted: {', '.join(INTENTS)}")
    network = ModelIntent(model)
    turns = None
    if kind != "network" and model.grounder is not None:
        turns = TurnIntent.load(model.source, model.grounder, model.phrase_index)
    if kind == "turns":
        if turns is None:
            raise UserError(f"{model.source}: no classifier in this folder; accepted: --intent network")
        return turns
    return network if turns is None else BothIntent(network, turns)
