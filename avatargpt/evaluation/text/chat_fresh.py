"""Fresh turns of a conversation, and chains of turns by the timeline they end in.

Of a chain everything is the product's own but the motions: what the model would make is a body that stands still, as
long as was asked for or `USUAL` seconds. So a chain asks what was understood and done to the timeline, not its looks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.intent import Intent
from avatargpt.chat.timeline import Timeline
from avatargpt.chat.turn_intent import open_intent
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite, folder
from avatargpt.evaluation.text.chat import READER, judged, read_all
from avatargpt.evaluation.text.requests import Judge
from avatargpt.requests.lexical import times
from instruct_data.dialogue.acts import outline, read, write
from instruct_data.dialogue.dialogues import Turn
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion

USUAL = 4.0
ON_TIME = 0.3  # s by which a length may differ from what was asked
STANDING = 0.97  # m


class Still:
    """A model whose motions stand still; everything else is the model's."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, texts: list[str], seconds: float | None = None, **_: Any) -> list[Motion]:
        frames = max(round((seconds or USUAL) * 20), 4)
        rotations = np.zeros((frames, 22, 4), np.float32)
        rotations[..., 0] = 1
        root = np.tile(np.array([0, STANDING, 0], np.float32), (frames, 1))
        return [Motion(rotations, root, caption=t) for t in texts]


def score(suite: Suite, model: Any, parts: Parts = UNKEPT) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``chat_fresh``; option ``rows``: file beside the suites.
        model: an `avatargpt.AvatarGPT`.

    Returns:
        ``kinds``, ``acts``, ``clarified`` as of the suite ``chat``; ``chains/turns``: share of the chains
        that end in the timeline meant (`faults`), and what was wrong in the others.
    """
    rows = [row for _, row in json_rows(folder() / suite.options["rows"])]
    turns = [_turn(row) for row in rows if "user" in row]
    chains = [row for row in rows if "turns" in row]
    told: list[dict[str, Any]] = [{"user": t.user, "acts": write(t.acts)} for t in turns]
    ends: list[dict[str, Any]] = [{"said": row["turns"]} for row in chains]
    judge = Judge()
    intent = open_intent(model)
    answers = read_all(intent, turns, parts)
    results = judged(READER, turns, answers)
    for row, answer in zip(told, answers, strict=True):
        row[READER] = write(answer) if answer else "-"

    def wrong_in(row: dict[str, Any]) -> list[str]:
        return faults(run(row["turns"], model, intent), row, judge)

    chain = parts.remembering(f"chain as {intent.name} reads it", wrong_in)
    wrong = [chain(row) for row in chains]
    results[f"chains/{READER}"] = figure([float(not w) for w in wrong])
    for end, lines in zip(ends, wrong, strict=True):
        end[READER] = lines
    return {"results": results, "turns": told, "chains": ends}


def _turn(row: dict[str, Any]) -> Turn:
    captions = tuple(s["caption"] for s in row["timeline"])
    line = outline(captions, [s["seconds"] for s in row["timeline"]])
    return Turn(row["user"], tuple(read(row["acts"])), line, len(captions), (), captions)


def run(turns: list[str], model: Any, intent: Intent) -> Timeline:
    """The timeline after some turns."""
    talk = Conversation(Still(model), intent=intent)
    for turn in turns:
        talk.say(turn)
    return talk.timeline


def faults(timeline: Timeline, row: dict[str, Any], judge: Judge) -> list[str]:
    """What differs from the timeline meant: number and order of segments, actions, lengths, counts, sides, rounds."""
    shown = timeline.segments
    out = []
    if len(shown) != len(row["final"]):
        out.append(f"{len(shown)} segments instead of {len(row['final'])}: {[s.caption for s in shown]}")
    for i, (segment, meant) in enumerate(zip(shown, row["final"], strict=False), 1):
        if not any(judge.alike(segment.caption, form) for form in (meant["action"], *meant.get("alternatives", ()))):
            out.append(f"segment {i}: {segment.caption!r} instead of {meant['action']}")
        if "seconds" in meant and abs(segment.motion.seconds - meant["seconds"]) > ON_TIME:
            out.append(f"segment {i}: {segment.motion.seconds:.2f} s instead of {meant['seconds']:g}")
        if "count" in meant and times(segment.caption)[0] != meant["count"]:
            out.append(f"segment {i}: {segment.caption!r} instead of {meant['count']} times")
        if "side" in meant and meant["side"] not in segment.caption.split():
            out.append(f"segment {i}: {segment.caption!r} instead of {meant['side']}")
    if "total" in row and abs(timeline.seconds - row["total"]) > ON_TIME:
        out.append(f"{timeline.seconds:.2f} s instead of {row['total']:g}")
    if row.get("loops", 1) != timeline.loops:
        out.append(f"{timeline.loops} rounds instead of {row.get('loops', 1)}")
    return out
