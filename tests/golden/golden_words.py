"""Goldens of what is read: requests as plain captions, turns of conversations as acts, scenes as plans."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from golden_loaded import model, planner, suite
from golden_store import ROOT, Rows, evenly

from avatargpt.chat import Conversation
from avatargpt.chat.intent import open_intent
from avatargpt.evaluation.turns import receive_turn
from avatargpt.requests.clause_spec import ClauseSpec
from instruct_data.dialogue.acts import Act, Replay, write
from instruct_data.factory.dialogues import DialogueTurn, PhraseGroup, TurnMaker, phrases
from instruct_data.factory.text.everyday import everyday_requests
from instruct_data.planning import PLANNING_TASKS, SEPARATOR
from instruct_data.registry import get_task
from vqvae.errors import UserError

PROMPTS = ("prompts_known", "prompts_everyday", "prompts_unseen")
COUNT = 2_000  # everyday requests
CHAT = ROOT / "docs" / "examples" / "chat.txt"
DIRECTIONS = 12  # scenes whose plans are completed in the other directions


# --- readings: requests as plain captions

def _clause(clause: ClauseSpec) -> dict[str, Any]:
    """A clause as flat JSON; what is empty is left out."""
    out: dict[str, Any] = {
        "caption": clause.caption, "action": clause.action, "phrasing": clause.phrasing,
        "similarity": round(float(clause.similarity), 4), "lengths": " ".join(str(n) for n in clause.lengths),
    }  # fmt: skip
    if clause.turn is not None:
        out["turn"] = asdict(clause.turn)
    if clause.route is not None:
        out["route"] = asdict(clause.route)
    if clause.concurrent is not None:
        out["besides"] = _clause(clause.concurrent)
    return out


def _reading(text: str) -> list[dict[str, Any]]:
    loaded = model()
    assert loaded.phrase_index is not None and loaded.grounder is not None
    try:
        return [_clause(c) for c in loaded.phrase_index.clauses(text, loaded.grounder)]
    except UserError as e:
        return [{"refused": str(e)}]


def _requests() -> list[str]:
    """Every everyday request, and every word for a style behind "walk"."""
    book = everyday_requests()
    out = [r for name in book.classes() if name not in book.aliases for r in book.requests(name)]
    out += [f"walk {words}" for style in book.styles for words in book.style_words(style, "manner")]
    out += [f"{words} walks" for style in book.styles for words in book.style_words(style, "who")]
    return out


def readings() -> Rows:
    """What every prompt of the prompt suites, and many everyday requests, are read as."""
    rows: dict[str, Callable[[], Any]] = {}
    for name in PROMPTS:
        for i, entry in enumerate(suite(name)["prompts"]):
            rows[f"{name} {i:03d}: {entry['prompt']}"] = partial(_reading, entry["prompt"])
    requests = _requests()
    for i in evenly(len(requests), COUNT):
        rows[f"everyday {i:05d}: {requests[i]}"] = partial(_reading, requests[i])
    return rows


# --- chat_acts: turns as acts

@cache
def _intent() -> Any:
    return open_intent(model())


def _acts(turn: DialogueTurn) -> tuple[list[Act], str]:
    """The acts of a turn, and the same in a line; ``-`` = it asks back."""
    try:
        acts = _intent().understand(receive_turn(turn)) or []
    except UserError as e:
        return [], f"error: {e}"
    return acts, write(acts) if acts else "-"


@cache
def _example() -> dict[str, dict[str, str]]:
    """The turns of the example, each over what the ones before it are read as."""
    state, lines, out = Replay(np.random.default_rng(0)), CHAT.read_text(encoding="utf-8").splitlines(), {}
    for i, user in enumerate(lines):
        now = state.now
        before = tuple(lines[max(0, i - 2) : i])
        acts, line = _acts(DialogueTurn(user, (), now.text, len(now.captions), before, tuple(now.captions)))
        out[f"{i:02d}: {user}"] = {"timeline": now.text, "acts": line}
        for act in acts:
            state.apply(act)
    return out


def _turn(number: int, act: str, group: PhraseGroup, phrase: str) -> dict[str, str]:
    """A phrase of dialogues.yaml with its slots filled, over random segments: what it is read as."""
    book, rng = everyday_requests(), np.random.default_rng([number, 5])
    names = [n for n in book.classes() if n not in book.aliases][::7]
    movements = [(book.requests(n)[0], book.requests(n)[0]) for n in names]
    maker = TurnMaker(movements, [caption for _, caption in movements], [], rng)
    outline = maker.outline(group.when)
    text, wanted = maker.fill_phrase(act, group, phrase, outline)
    text = " ".join(text.split())
    turn = DialogueTurn(text, tuple(wanted), outline.text, len(outline.captions), (), tuple(outline.captions))
    return {"said": text, "timeline": outline.text, "wanted": write(wanted), "acts": _acts(turn)[1]}


def _example_rows(values: Callable[[], dict[str, Any]], prefix: str = "") -> dict[str, Callable[[], Any]]:
    """A row for every line of the example; `values` computes all of them, by the same keys without the prefix."""
    keys = [f"{i:02d}: {line}" for i, line in enumerate(CHAT.read_text(encoding="utf-8").splitlines())]
    return {prefix + key: lambda k=key: values()[k] for key in keys}


def chat_acts() -> Rows:
    """The acts of the example conversation's turns, and of every phrase that dialogues are made of."""
    rows = _example_rows(_example, "chat.txt ")
    every = [(act, g, phrase) for act, groups in phrases().turns.items() for g in groups for phrase in g.phrases]
    for i, (act, group, phrase) in enumerate(every):
        rows[f"dialogues {i:04d} {act}: {phrase}"] = partial(_turn, i, act, group, phrase)
    return rows


# --- conversation: the example, for real

@cache
def _talk() -> dict[str, dict[str, Any]]:
    """Every reply of the example conversation, with motion made; folders are left out of what is said."""
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        talk = Conversation(model(), outputs=Path(folder), seed=0)
        for i, user in enumerate(CHAT.read_text(encoding="utf-8").splitlines()):
            row = talk.say(user).to_json()
            row["reply"] = row["reply"].replace(folder, "OUT")
            row["files"] = [Path(f).name for f in row["files"]]
            out[f"{i:02d}: {user}"] = row
    return out


def conversation() -> Rows:
    """The replies of the example conversation."""
    return _example_rows(_talk)


# --- plans

@cache
def _planned(scene: str) -> Any:
    options = suite("plans")
    return planner().plan(scene, options["options"]["activities"], options["options"]["temperature"],
                          options["seeds"][0])  # fmt: skip


def _plan(scene: str) -> dict[str, Any]:
    return _planned(scene).to_json()


def _slots(task: str, scene: str) -> dict[str, str]:
    """The slots of a planning task, from a scene and the first activity of its plan."""
    first = _planned(scene).activities[0]
    values = {"scene": scene, "activity": first.task, "steps": SEPARATOR.join(first.steps)}
    return {slot.name: values[slot.name] for slot in get_task(task).inputs}


def _answer(task: str, scene: str) -> Any:
    try:
        return planner().answer(task, _slots(task, scene), 0.7, 0)
    except UserError as e:
        return f"error: {e}"


def _continued(scene: str) -> dict[str, Any]:
    plan = _planned(scene)
    return planner().next_activity(scene, plan.activities, "a person sits down", 0.7, 1).to_json()


def _directions(scenes: list[str]) -> Iterator[tuple[str, Callable[[], Any]]]:
    for i in evenly(len(scenes), DIRECTIONS):
        for task in PLANNING_TASKS:
            yield f"{task} {i:02d}: {scenes[i]}", partial(_answer, task, scenes[i])
        yield f"next_activity {i:02d}: {scenes[i]}", partial(_continued, scenes[i])


def plans() -> Rows:
    """Plans of every scene of the suite, and every other planning direction for some of them."""
    scenes = [str(s) for s in suite("plans")["options"]["scenes"]]
    rows: dict[str, Callable[[], Any]] = {f"plan {i:02d}: {s}": partial(_plan, s) for i, s in enumerate(scenes)}
    return rows | dict(_directions(scenes))
