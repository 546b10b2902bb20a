"""Acts that only answer: describe, question, show, help, chat, clarify, and what this conversation cannot do."""

from __future__ import annotations

from avatargpt.chat.questions import Topic, asks_side, sharing, topic
from avatargpt.chat.registry import does
from avatargpt.chat.scene import Done, Scene, find_file, plan_lines, said_seconds, short
from avatargpt.chat.timeline import FPS, Timeline
from avatargpt.chat.viewing import open_file, sheet
from instruct_data.dialogue.acts import Act
from instruct_data.text.english import side_of
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
        path = sheet(state, scene.preview(FRAMES))
        said = "Here are the frames." if open_file(path) else f"The frames are in {path}."
        return Done(state, said, state.whole, (path,))
    if act.what == "captions":
        said = "\n".join(f"  {n}. {s.caption}" for n, s in enumerate(state.segments, 1))
        return Done(state, said or "Nothing has been made yet.")
    return Done(state, lines(state))


@does("question")
def question(scene: Scene, act: Act) -> Done:
    """Looked up in the timeline."""
    return Done(scene.state, answer(scene.state, str(act.about), scene.request))


def answer(state: Timeline, about: str, request: str) -> str:
    """What the timeline says to a question.

    Args:
        about: the topic, e.g. ``length of segment 2``.
    """
    asked = topic(about)
    if asked.files:
        return f"Files read so far: {', '.join(state.files)}." if state.files else "No file has been read."
    count = len(state.segments)
    if asked.count:
        return f"There {'is' if count == 1 else 'are'} {count} segment{'' if count == 1 else 's'}."
    if not count:
        return "Nothing has been made yet."
    if asked.plan:
        return plan_lines(state.plan) if state.plan else "There is no plan yet."
    lengths = [(b - a) / FPS for a, b in state.spans]
    if asked.extreme:
        at = lengths.index((max if asked.extreme == "longest" else min)(lengths))
        shown = short(state.segments[at].caption)
        return f"Segment {at + 1} is the {asked.extreme}: {shown}, {said_seconds(lengths[at])}."
    chosen = [n for n in asked.numbers if 1 <= n <= count]
    if asked.length:
        return _length(state, asked, lengths, chosen)
    if chosen:
        return " ".join(f"Segment {n}: {state.segments[n - 1].caption}." for n in chosen)
    return _searched(state, f"{about} {request}")


def _length(state: Timeline, asked: Topic, lengths: list[float], chosen: list[int]) -> str:
    if asked.start and chosen:
        start = state.spans[chosen[0] - 1][0] / FPS
        return f"Segment {chosen[0]} starts at {said_seconds(start)}."
    if chosen:
        total = sum(lengths[n - 1] for n in chosen)
        which = " and ".join(map(str, chosen))
        return f"Segment{'s' if len(chosen) > 1 else ''} {which}: {said_seconds(total)}."
    if asked.frames:
        fps = FPS if asked.fps is None else asked.fps
        return f"{round(state.seconds * fps)} frames at {fps:g} per second."
    return f"It lasts {said_seconds(state.seconds)}."


def _searched(state: Timeline, words: str) -> str:
    """The segments whose captions share words with the question; sides where these are asked for."""
    every = [s.caption for s in state.segments]
    found = [(n, every[n - 1]) for n in sharing(words, every)]
    if asks_side(words):
        sided = [(n, c) for n, c in found or enumerate(every, 1) if side_of(c)]
        if sided:
            return " ".join(f"Segment {n}: {side_of(c)} ({short(c)})." for n, c in sided[:6])
    rows = found or list(enumerate(every, 1))
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
