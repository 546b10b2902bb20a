"""Acts that arrange segments (retime, mirror, move, loop ...), write files (save, export, play), or only answer."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from avatargpt.chat import scene as scenes
from avatargpt.chat.face_turns import with_face
from avatargpt.chat.intent import BODY_ONLY
from avatargpt.chat.scene import ActContext, ActResult, performs
from avatargpt.chat.segments import (
    faster,
    insert_segments,
    loop_segments,
    mirror_segment,
    set_length,
    with_segment,
    without_loops,
)
from avatargpt.chat.timeline import FPS, Segment, Timeline
from avatargpt.chat.turn_text import as_typed, rate_named, simplify_paths, without_unsafe
from avatargpt.chat.voices import add_voices
from instruct_data.dialogue.acts import MIN_SECONDS, Act
from instruct_data.face.described import describe_score
from vqvae.errors import UserError
from vqvae.motion import Motion

DEFAULT_SUFFIX = ".npz"
PREVIEW = "preview.gif"
MAX_FPS = 240.0


@performs("retime")
def retime(scene: ActContext, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    seconds = float(act.seconds or 0)
    state = with_segment(scene.state, at, set_length(scene, scene.state.segments[at], seconds))
    return ActResult(state, f"Segment {at + 1} lasts {scenes.duration(seconds)}.")


@performs("total")
def total(scene: ActContext, act: Act) -> ActResult:
    state = scene.state
    state.index(None)
    share = float(act.seconds or 0) * FPS / len(state.motion)
    segments, left = [], 0.0
    for segment, (start, end), often in zip(state.segments, state.spans, state.rounds, strict=True):
        # what rounding takes from one segment the next one gets, so that the whole is exact to the frame
        wanted = (end - start) * share
        frames = round(wanted + left / often)
        if frames < MIN_SECONDS * FPS:
            count = len(state.segments)
            raise UserError(f"{act.seconds:g} seconds are too short for {count} segments; at least 0.2 s each")
        left += often * (wanted - frames)
        segments.append(set_length(scene, segment, frames / FPS))
    new = state.replace_segments(segments)
    return ActResult(new, f"All of it lasts {scenes.duration(new.seconds)}.")


def _change_each(state: Timeline, act: Act, change: Callable[[Segment], Segment]) -> tuple[Timeline, int]:
    """The timeline with the segment of an act changed, or every one where it names none; and the index of that."""
    at, every = state.index(act.segment), act.segment is None
    segments = [change(s) if every or i == at else s for i, s in enumerate(state.segments)]
    return state.replace_segments(segments, None if every else at), at


@performs("speed")
def speed(scene: ActContext, act: Act) -> ActResult:
    factor = float(act.factor or 1)
    new, at = _change_each(scene.state, act, lambda segment: faster(segment, factor))
    what = "All of it" if act.segment is None else f"Segment {at + 1}"
    return ActResult(new, f"{what} runs {factor:g} times as fast: {scenes.duration(new.seconds)} in all.")


@performs("mirror")
def mirror(scene: ActContext, act: Act) -> ActResult:
    new, at = _change_each(scene.state, act, mirror_segment)
    what = "Left and right are exchanged everywhere" if act.segment is None else f"Segment {at + 1} is mirrored"
    return ActResult(new, f"{what}.")


@performs("delete")
def delete(scene: ActContext, act: Act) -> ActResult:
    state = scene.state
    at = state.index(act.segment)
    left = [s for i, s in enumerate(state.segments) if i != at]
    new = state.replace_segments(left)
    text = f"Removed segment {at + 1}, {scenes.short(state.segments[at].caption)}."
    if not left:
        return ActResult(new, f"{text} Nothing is left; undo brings it back.")
    return ActResult(new, f"{text} {len(left)} {'is' if len(left) == 1 else 'are'} left.")


@performs("move")
def move(scene: ActContext, act: Act) -> ActResult:
    state = scene.state
    at, to = state.index(act.segment), state.index(act.to)
    if at == to:
        raise UserError(f"segment {at + 1} is in that place already")
    moved = without_loops(state, at)
    left = state.replace_segments([s for i, s in enumerate(state.segments) if i != at])
    new = insert_segments(left, to, [moved])
    return ActResult(new, f"Moved: {scenes.short(moved.caption)} is segment {to + 1}.")


@performs("loop")
def loop(scene: ActContext, act: Act) -> ActResult:
    """Of one segment, or of all that stand; what is added behind them is not repeated."""
    state, times = scene.state, int(act.times or 1)
    at = state.index(act.segment)
    count = len(state.segments)
    chosen = set(range(count)) if act.segment is None else {at}
    segments = loop_segments(state, chosen, times)
    what = "It plays" if len(chosen) == count else f"Segment {at + 1} plays"
    if [s.loops for s in segments] == [s.loops for s in state.segments]:
        return ActResult(state, f"{what} {'once' if times == 1 else f'{times} times'} already.")
    new = state.replace_segments(segments, None if act.segment is None else at)
    often = "once" if times == 1 else f"{times} times"
    return ActResult(new, f"{what} {often}, {scenes.duration(new.seconds)} in all.")


@performs("rename")
def rename(scene: ActContext, act: Act) -> ActResult:
    """Of a segment, or of the activity that a stretch of them becomes."""
    state = scene.state
    first = state.index(act.segment)
    last = first if act.to is None else state.index(act.to)
    if last < first:
        raise UserError(f"segments {first + 1} to {last + 1}; accepted a first one that is not after the last one")
    name = as_typed(str(act.name), scene.request)
    segments = [
        s if not first <= i <= last else replace(s, name=name) if act.to is None else replace(s, activity=name)
        for i, s in enumerate(state.segments)
    ]
    which = f"Segment {first + 1} is" if act.to is None else f"Segments {first + 1} to {last + 1} are"
    return ActResult(state.replace_segments(segments, last), f"{which} called {name}.")


def _target(scene: ActContext, name: str) -> Path:
    """The path of a result; raises UserError for a format, a name or a place that is not accepted."""
    from avatargpt import export

    name = simplify_paths(scene.request)[1].get(name.lower()) or as_typed(name, scene.request)
    folder, last = os.path.split(
        without_unsafe(name).replace("\\", "/")
    )  # a separator everywhere, as in `simplify_paths`
    # a name begins with no dot; its folder may: ../takes/walk.glb
    last = last.strip(" .")
    if not last:
        raise UserError("the file needs a name; e.g. save as walk.glb")
    path = scene.outputs / Path(folder, last).expanduser()
    suffix = path.suffix.lower()
    form = suffix.removeprefix(".")
    if not form.isalnum() or form.isdigit():  # a part of the name: "take 1.5", "Dr. Fu walks"
        path, suffix = path.with_name(path.name + DEFAULT_SUFFIX), DEFAULT_SUFFIX
    if suffix not in export.writable():
        raise UserError(f"{path.name}: {suffix} is not written; accepted {' '.join(export.writable())}")
    return scene.within(path)


def relative(path: Path, outputs: Path) -> str:
    """The name of a file in answers and memory: within the outputs where it is there."""
    return str(path.relative_to(outputs) if path.is_relative_to(outputs) else path)


def _write(scene: ActContext, path: Path, act: Act) -> ActResult:
    """Write the whole, or a stretch as a clip of its own, at the rate that the turn names."""
    from avatargpt import export

    motion, part = scene.state.motion, ""
    first, last = 0, len(scene.state.segments) - 1
    if act.segment is not None:
        first, last = scene.state.index(act.segment), scene.state.index(act.to or act.segment)
        if last < first:
            raise UserError(f"segments {first + 1} to {last + 1}; accepted a first one that is not after the last one")
        motion = scene.state.stretch(first, last)
        part = f"segment {first + 1}, " if first == last else f"segments {first + 1} to {last + 1}, "
    holds_face = path.suffix.lower() in export.writable("avatar")
    clip = _with_face(scene, motion, first, last) if holds_face else motion
    rate, there = rate_named(scene.request), path.is_file()
    if rate is not None and not 1 <= rate <= MAX_FPS:
        raise UserError(f"{rate:g} frames per second; accepted 1 to {MAX_FPS:g}")
    with add_voices(clip, scene.state.voices(first, last) if holds_face else (), path.suffix.lower()) as clip:
        faced = clip is not motion
        clip = clip if rate is None else clip.resampled(rate)
        export.save(clip, path)
    rate_words = f" at {clip.fps:g} per second" if rate is not None else ""
    what = f"{part}{len(clip)} frames{rate_words}, {clip.seconds:.1f} s{', with a face' * faced}"
    text = f"{'Replaced' if there else 'Saved'} {relative(path, scene.outputs)}: {what}."
    return ActResult(scene.state, text, clip if isinstance(clip, Motion) else motion, (path,))


def _with_face(scene: ActContext, motion: Motion, first: int, last: int) -> Any:
    """The motion of segments `first` to `last` (indices), as an avatar where they say what its face does."""
    score = scene.state.score(first, last)
    return motion if score is None else scene.model.composer.perform(motion, score, scene.seed)


@performs("save")
def save(scene: ActContext, act: Act) -> ActResult:
    scene.state.index(None)
    return _write(scene, _target(scene, str(act.name)), act)


@performs("export")
def export_as(scene: ActContext, act: Act) -> ActResult:
    scene.state.index(None)
    stem = str(Path(scene.saved).with_suffix("")) if scene.saved else "motion"
    part = "".join(f"-{n}" for n in (act.segment, act.to) if n is not None)
    part = f"-segment{part}" if part else ""
    return _write(scene, _target(scene, f"{stem}{part}.{act.format}"), act)


@performs("play")
def play(scene: ActContext, act: Act) -> ActResult:
    from avatargpt import export

    motion = scene.state.motion
    if scene.served:  # the user's own program plays it
        return ActResult(scene.state, "Playing it.", motion)
    path = export.save(motion, scene.preview(PREVIEW))
    opened = scene.open_file(path)
    text = "Playing it." if opened else f"No desktop to play it on; the film is {path}."
    return ActResult(scene.state, text, motion, (path,))


FRAMES = "frames.png"
HELP = """Say what should happen, in plain English:
  a boy walks through the snow / then he falls and gets up / before that he waves, 3 seconds
  make him slower / shorten the walk / do the second step again with the left hand / make it 30 seconds / mirror it
  remove the first one / put the last one first / another take / keep a / loop it 3 times / undo
  what did he just do? / how long is it? / show the timeline / plan a picnic in the park
  load walk.bvh / describe walk.bvh / continue it / save as snow.glb
Commands, which need no understanding: /save FILE, /undo [N], /redo [N], /seed N, /list, /play, /view, /load FILE,
  /help, /quit"""


@performs("describe")
def describe(scene: ActContext, act: Act) -> ActResult:
    state = scene.state
    if act.file is not None:
        from avatargpt import export

        path = scenes.find_file(scene, act.file)
        motion = export.load(path)
        return ActResult(state, f"{path.name}: {_describe_motion(scene, motion)}.", motion)
    if act.segment is None:
        seen = _describe_motion(scene, _with_face(scene, state.motion, 0, len(state.segments) - 1))
        return ActResult(state, f"What I see: {seen}.", state.motion)
    at = state.index(act.segment)
    motion = state.stretch(at, at)
    seen = _describe_motion(scene, _with_face(scene, motion, at, at))
    return ActResult(state, f"What I see in segment {at + 1}: {seen}.", motion)


def _describe_motion(scene: ActContext, motion: object) -> str:
    text: list[str] = scene.model.describe([motion])
    return text[0].rstrip(".") or "a motion that I have no words for"


def lines(state: Timeline) -> str:
    """The timeline for people."""
    if not state.segments:
        return "Nothing has been made yet."
    rows: list[str] = []
    first = {i: (activity, j) for activity, i, j in scenes.activities_of(state)}
    for n, (segment, (start, end)) in enumerate(zip(state.segments, state.spans, strict=True), 1):
        if n - 1 in first and first[n - 1][0]:
            rows.append(f"  {first[n - 1][0]}:")
        extra = [segment.name] if segment.name else []
        extra += [f"{segment.tempo:.3g}x"] if abs(segment.tempo - 1) > 0.005 else []
        extra += ["mirrored"] if segment.mirrored else []
        extra += [f"{len(state.takes)} takes"] if state.takes and state.chosen == n - 1 else []
        extra += [f"{state.rounds[n - 1]} times"] if state.rounds[n - 1] > 1 else []
        extra += [segment.note] if segment.note else []
        extra += [f"face: {describe_score(segment.score)}"] if segment.score else []
        about = f"  [{', '.join(extra)}]" if extra else ""
        rows.append(f"  {n}. {start / FPS:5.1f} - {end / FPS:5.1f} s  {segment.caption}{about}")
    return "\n".join([*rows, f"  total {scenes.duration(state.seconds)}"])


@performs("show")
def show(scene: ActContext, act: Act) -> ActResult:
    state = scene.state
    if act.what == "plan":
        if not state.segments:
            raise UserError("there is no plan yet; say: plan a picnic in the park")
        return ActResult(state, f"{'The activities' if state.planned else 'The steps'}:\n{scenes.plan_lines(state)}")
    if act.what == "frames":
        path = scenes.sheet(state, scene.preview(FRAMES))
        text = "Here are the frames." if scene.open_file(path) else f"The frames are in {path}."
        return ActResult(state, text, state.motion, (path,))
    if act.what == "captions":
        text = "\n".join(f"  {n}. {s.caption}" for n, s in enumerate(state.segments, 1))
        return ActResult(state, text or "Nothing has been made yet.")
    return ActResult(state, lines(state))


@performs("question")
def question(scene: ActContext, act: Act) -> ActResult:
    """Looked up in the timeline and its history."""
    return ActResult(scene.state, answer(scene, str(act.about)))


ABOUT = "segment 2, segments 2 to 4, second 12, whole, longest, shortest, history, files, ability"
_OF_SEGMENTS = re.compile(r"segments? (\d+)(?: (?:to|and) (\d+))?")
_OF_TIME = re.compile(r"second (\d+(?:\.\d+)?)")


def answer(scene: ActContext, about: str) -> str:
    """The answer to a question about one of `ABOUT`; raises UserError for anything else."""
    state = scene.state
    if about == "ability":
        return f"{HELP.splitlines()[0]}\n" + "\n".join(HELP.splitlines()[1:5])
    if about == "files":
        saved = f"The last file written is {scene.saved}." if scene.saved else "No file has been written."
        return f"Files read so far: {', '.join(state.files)}. {saved}" if state.files else f"No file was read. {saved}"
    if about == "history":
        rows = [f"  {said} -> {reply.splitlines()[0]}" for said, reply in scene.turns]
        return "\n".join(["So far:", *rows]) if rows else "Nothing has been said yet."
    if not state.segments:
        return "Nothing has been made yet."
    lengths = [(b - a) / FPS for a, b in state.spans]
    if about in ("longest", "shortest"):
        at = lengths.index((max if about == "longest" else min)(lengths))
        return f"The {about}: {_quote_segment(state, at)}"
    if about == "whole":
        count, often = len(lengths), state.whole_rounds
        played = f", all of it {often} times" if often > 1 else ""
        whole = f"{scenes.duration(state.seconds)} in {count} segment{'s' * (count > 1)}{played}:"
        return "\n".join([whole, *(f"  {_quote_segment(state, i)}" for i in range(count))])
    if match := _OF_TIME.fullmatch(about):
        second = float(match[1])
        at = next((i for i, (a, b) in enumerate(state.spans) if a / FPS <= second < b / FPS), -1)
        if at < 0:
            return f"Nothing new begins at second {second:g}; all of it lasts {scenes.duration(state.seconds)}."
        return f"At second {second:g}: {_quote_segment(state, at)}"
    if match := _OF_SEGMENTS.fullmatch(about):
        first, last = state.index(int(match[1])), state.index(int(match[2] or match[1]))
        rows = [_quote_segment(state, i) for i in range(first, max(first, last) + 1)]
        together = sum(lengths[first : last + 1])
        return "\n".join([*rows, *([f"Together {scenes.duration(together)}."] if len(rows) > 1 else [])])
    raise UserError(f"question: {about!r}; accepted: {ABOUT}")


def _quote_segment(state: Timeline, at: int) -> str:
    """A segment with its times, and all that is known of it."""
    segment, (start, end) = state.segments[at], state.spans[at]
    name = f" ({segment.name or segment.activity})" if segment.name or segment.activity else ""
    more = [f"played {state.rounds[at]} times"] if state.rounds[at] > 1 else []
    more += [f"{segment.tempo:.3g} times as fast"] if abs(segment.tempo - 1) > 0.005 else []
    more += ["mirrored"] if segment.mirrored else []
    more += [f"face: {describe_score(segment.score)}"] if segment.score else []
    times = f"{start / FPS:g} to {end / FPS:g} s, {scenes.duration((end - start) / FPS)}"
    return f"segment {at + 1}{name}: {scenes.short(segment.caption)} ({'; '.join([times, *more])})."


@performs("help")
def help_(scene: ActContext, act: Act) -> ActResult:
    from avatargpt import export

    formats = f"Formats written: {' '.join(export.writable())}; read: {' '.join(export.readable())}"
    return ActResult(scene.state, f"{HELP}\n{formats}")


@performs("chat")
def chat(scene: ActContext, act: Act) -> ActResult:
    if scene.state.segments:
        return ActResult(scene.state, "I only move bodies. Tell me what should happen next, or what to change.")
    return ActResult(scene.state, "I make motion from words. What should happen? E.g. a person waves; /help says more.")


@performs("clarify")
def clarify(scene: ActContext, act: Act) -> ActResult:
    return ActResult(scene.state, ask_back(scene.state))


def ask_back(state: Timeline) -> str:
    """A question back."""
    if not state.segments:
        return "What should the person do? For example: a person walks forward and waves."
    last = state.segments[-1]
    return (
        f"I did not understand that. Shall I change segment {len(state.segments)} ({scenes.short(last.caption)}), add "
        "something after it, or start anew? For example: make it slower / then he sits down / new: a person jumps."
    )


@performs("face")
def face(scene: ActContext, act: Act) -> ActResult:
    if not scene.maker.faces:
        raise UserError(BODY_ONLY)
    if not scene.state.segments:
        raise UserError("there is no body yet whose face could move; accepted: first what it does")
    at = scene.state.index(act.segment)
    segment, words = with_face(scene.model.composer, scene.state.segments[at], act)
    return ActResult(with_segment(scene.state, at, segment), f"Segment {at + 1}, face: {words}.")


@performs("speak")
def speak(scene: ActContext, act: Act) -> ActResult:
    raise UserError("this conversation does not speak; accepted: avatargpt speak FILE --body TEXT")
