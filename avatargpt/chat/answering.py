"""Acts that only answer: describe, question, show, help, chat, clarify, and what this conversation cannot do."""

from __future__ import annotations

import re

from avatargpt.chat.registry import does
from avatargpt.chat.scene import Done, Scene, find_file, plan_lines, said_seconds, short
from avatargpt.chat.timeline import FPS, Timeline
from avatargpt.chat.viewing import open_file, sheet
from instruct_data.dialogue.acts import Act
from instruct_data.text.mirror import side_of
from vqvae.errors import UserError

FRAMES = "frames.png"
HELP = """Say what should happen, in plain English:
  a boy walks through the snow / then he falls and gets up / before that he waves, 3 seconds
  make him slower / shorten the walk / do the second step again with the left hand / make it 30 seconds / mirror it
  remove the first one / put the last one first / another take / keep a / loop it 3 times / undo
  what did he just do? / how long is it? / show the timeline / plan a picnic in the park
  load walk.bvh / describe walk.bvh / continue it / save as snow.glb
Commands, which need no understanding: /save FILE, /undo [N], /redo [N], /seed N, /list, /play, /view, /load FILE,
  /help, /quit"""


@does("describe")
def describe(scene: Scene, act: Act) -> Done:
    state = scene.state
    if act.file is not None:
        from avatargpt import export

        path = find_file(scene, act.file)
        motion = export.load(path)
        return Done(state, f"{path.name}: {_described(scene, motion)}.", motion)
    if act.segment is None:
        return Done(state, f"What I see: {_described(scene, state.round)}.", state.round)
    at = state.index(act.segment)
    start, end = state.spans[at]
    motion = state.round.slice(start, end)
    return Done(state, f"What I see in segment {at + 1}: {_described(scene, motion)}.", motion)


def _described(scene: Scene, motion: object) -> str:
    said: list[str] = scene.model.describe([motion])
    return said[0].rstrip(".") or "a motion that I have no words for"


def lines(state: Timeline) -> str:
    """The timeline for people."""
    if not state.segments:
        return "Nothing has been made yet."
    rows = []
    for n, (segment, (start, end)) in enumerate(zip(state.segments, state.spans, strict=True), 1):
        extra = [f"{segment.tempo:.3g}x"] if abs(segment.tempo - 1) > 0.005 else []
        extra += ["mirrored"] if segment.mirrored else []
        extra += [f"{len(state.takes)} takes"] if state.takes and state.chosen == n - 1 else []
        about = f"  [{', '.join(extra)}]" if extra else ""
        rows.append(f"  {n}. {start / FPS:5.1f} - {end / FPS:5.1f} s  {segment.caption}{about}")
    if state.loops > 1:
        rows.append(f"  all of it {state.loops} times")
    return "\n".join([*rows, f"  total {said_seconds(state.seconds)}"])


@does("show")
def show(scene: Scene, act: Act) -> Done:
    state = scene.state
    if act.what == "plan":
        if state.plan is None:
            raise UserError("there is no plan yet; say: plan a picnic in the park")
        return Done(state, f"{state.plan.scene} ({state.plan.planner}):\n{plan_lines(state.plan)}")
    if act.what == "frames":
        path = sheet(state, scene.previews / FRAMES)
        said = "Here are the frames." if open_file(path) else f"The frames are in {path}."
        return Done(state, said, state.whole, (path,))
    if act.what == "captions":
        said = "\n".join(f"  {n}. {s.caption}" for n, s in enumerate(state.segments, 1))
        return Done(state, said or "Nothing has been made yet.")
    return Done(state, lines(state))


@does("question")
def question(scene: Scene, act: Act) -> Done:
    """Looked up in the timeline: rules over the topic and the words of the question."""
    return Done(scene.state, answer(scene.state, str(act.about), scene.request))


def answer(state: Timeline, about: str, request: str) -> str:
    """What the timeline says to a question.

    Args:
        about: the topic, e.g. ``length of segment 2``.
    """
    if re.search(r"\bfiles?\b|loaded", about):
        return f"Files read so far: {', '.join(state.files)}." if state.files else "No file has been read."
    count = len(state.segments)
    if re.search(r"number of (?:segments|parts|steps|pieces)", about):
        return f"There {'is' if count == 1 else 'are'} {count} segment{'' if count == 1 else 's'}."
    if not count:
        return "Nothing has been made yet."
    if "plan" in about.split():
        return plan_lines(state.plan) if state.plan else "There is no plan yet."
    numbers = [int(n) for n in re.findall(r"\d+", re.sub(r"\d+ (?:fps|frames)|at \d+", "", about))]
    lengths = [(b - a) / FPS for a, b in state.spans]
    frames = bool(re.search(r"\bframes\b", about))
    if "longest" in about or "shortest" in about:
        pick = max if "longest" in about else min
        at = lengths.index(pick(lengths))
        which = "longest" if pick is max else "shortest"
        return f"Segment {at + 1} is the {which}: {short(state.segments[at].caption)}, {said_seconds(lengths[at])}."
    chosen = [n for n in numbers if 1 <= n <= count]
    if re.search(r"length|duration|time|seconds|frames", about):
        return _length(state, about, lengths, chosen, frames)
    if chosen:
        return " ".join(f"Segment {n}: {state.segments[n - 1].caption}." for n in chosen)
    return _searched(state, f"{about} {request}")


def _length(state: Timeline, about: str, lengths: list[float], chosen: list[int], frames: bool) -> str:
    if "start" in about and chosen:
        start = state.spans[chosen[0] - 1][0] / FPS
        return f"Segment {chosen[0]} starts at {said_seconds(start)}."
    if chosen:
        total = sum(lengths[n - 1] for n in chosen)
        which = " and ".join(map(str, chosen))
        return f"Segment{'s' if len(chosen) > 1 else ''} {which}: {said_seconds(total)}."
    if frames:
        rate = re.search(r"(\d+) fps", about)
        fps = float(rate.group(1)) if rate else FPS
        return f"{round(state.seconds * fps)} frames at {fps:g} per second."
    return f"It lasts {said_seconds(state.seconds)}."


_STOP = set("what which who how is are does do did the a an of in with to and hand side it he she they his her one "
            "segment segments whether person direction where when now number".split())  # fmt: skip


def _searched(state: Timeline, words: str) -> str:
    """The segments whose captions share words with the question; sides where these are asked for."""
    asked = {w[:5] for w in re.findall(r"[a-z]+", words.lower()) if w not in _STOP}
    found = [
        (n, s.caption) for n, s in enumerate(state.segments, 1)
        if asked & {w[:5] for w in re.findall(r"[a-z]+", s.caption.lower()) if w not in _STOP}
    ]  # fmt: skip
    if re.search(r"\b(?:hand|side|arm|leg|wrist|foot|direction|left|right)\b", words):
        sided = [(n, c) for n, c in found or enumerate((s.caption for s in state.segments), 1) if side_of(c)]
        if sided:
            return " ".join(f"Segment {n}: {side_of(c)} ({short(c)})." for n, c in sided[:6])
    rows = found or list(enumerate((s.caption for s in state.segments), 1))
    return " ".join(f"Segment {n}: {c}." for n, c in rows[:6])


@does("help")
def help_(scene: Scene, act: Act) -> Done:
    from avatargpt import export

    formats = f"Formats written: {' '.join(export.writable())}; read: {' '.join(export.readable())}"
    return Done(scene.state, f"{HELP}\n{formats}")


@does("chat")
def chat(scene: Scene, act: Act) -> Done:
    if scene.state.segments:
        return Done(scene.state, "I only move bodies. Tell me what should happen next, or what to change.")
    return Done(scene.state, "I make motion from words. What should happen? E.g. a person waves; /help says more.")


@does("clarify")
def clarify(scene: Scene, act: Act) -> Done:
    return Done(scene.state, clarifying(scene.state))


def clarifying(state: Timeline) -> str:
    """A question back."""
    if not state.segments:
        return "What should the person do? For example: a person walks forward and waves."
    last = state.segments[-1]
    return (
        f"I did not get that. Shall I change segment {len(state.segments)} ({short(last.caption)}), add something "
        "after it, or start anew? For example: make it slower / then he sits down / new: a person jumps."
    )


@does("face", "speak")
def face(scene: Scene, act: Act) -> Done:
    raise UserError(
        "this conversation moves the body only; faces and speech have commands of their own, see avatargpt --help"
    )
