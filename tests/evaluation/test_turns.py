"""The suite `turns`: turns of labelled dialogues are judged by the acts that their authors mean."""

from typing import Any

from avatargpt.chat.turn_text import ChatTurn
from avatargpt.evaluation.turns import judge_dialogue
from instruct_data.dialogue.acts import Act, read
from vqvae.errors import UserError

DIALOGUE: dict[str, Any] = {"turns": [
    {"user": "he walks", "acts": [{"do": "make", "text": "a man walks"}], "reply": "Made.", "timeline": ["1 walks 3s"]},
    {"user": "sadly", "acts": [{"do": "edit", "segment": 1, "change": "sadly"}], "timeline": ["1 walks sadly 3s"]},
    {"user": "how long?", "acts": [{"do": "question", "topic": "whole"}], "timeline": ["1 walks sadly 3s"]},
    {"user": "do it", "acts": [{"do": "clarify", "about": "what"}], "timeline": ["1 walks sadly 3s"]},
    {"user": "twice as fast", "acts": [{"do": "speed", "segment": 1, "factor": 2}], "timeline": ["1 walks sadly 1.5s"]},
    {"user": "thanks", "acts": [{"do": "chat"}], "timeline": ["1 walks sadly 1.5s"]},
]}  # fmt: skip


class Known:
    """An intent with one answer for each turn; empty = a mistake."""

    name = "known"

    def __init__(self, *lines: str) -> None:
        self.lines, self.turns = iter(lines), list[ChatTurn]()

    def understand(self, turn: ChatTurn) -> list[Act] | None:
        self.turns.append(turn)
        if not (line := next(self.lines)):
            raise UserError("not known")
        return read(line)


def marks(*lines: str) -> dict[str, list[Any]]:
    rows = judge_dialogue(Known(*lines), DIALOGUE)
    return {name: [row[name] for row in rows] for name in ("acts", "kinds", "silent", "asked", "answered")}


def test_right_turns() -> None:
    right = marks("make: a man walks", "edit 1: sad; a person walks sadly", "question: whole", "", "speed 1 x2", "chat")
    assert all(right["acts"]) and all(right["kinds"]) and not any(right["silent"]) and not any(right["asked"])
    assert right["answered"] == [None, None, True, None, None, None]


def test_wrong_turns() -> None:
    wrong = marks("make: a man jumps high", "edit 1: x; a person runs", "question: segment 1", "delete 1", "", "undo")
    assert not any(wrong["acts"]) and wrong["silent"] == [True, True, True, True, False, True]
    assert wrong["kinds"] == [True, True, True, False, False, False] and wrong["asked"][4] and not wrong["asked"][3]
    assert wrong["answered"][2] is False


def test_a_turn_is_told_behind_the_true_ones() -> None:
    intent = Known("chat", "chat", "chat", "chat", "chat", "chat")
    judge_dialogue(intent, DIALOGUE)
    assert intent.turns[0].lines == () and intent.turns[1].lines == ("1 walks 3s",)
    assert intent.turns[1].before == (("he walks", "Made."),) and intent.turns[2].last == ("edit 1",)
    assert intent.turns[4].captions == ("walks sadly",)
