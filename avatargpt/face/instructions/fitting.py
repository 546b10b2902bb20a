"""A score in a clip of another length: spread over it, held to its end, or filling it; arithmetic on times."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from instruct_data.face.score import MAX_SECONDS, Emotion, Event, Score
from vqvae.errors import UserError

Named = Literal["", "lasting", "clock"]
SHORT = 1e-6
SPREAD = 1.5  # times as long as a score a clip may be for its actions to be spread over it
TAIL, NEARLY = 0.4, 0.5  # s that a clip goes on after its last action, as written and at most to be filled
FILLED = 2.5  # times as long as its actions a clip may be for them to fill it
BRIEF = ("blink", "wink_left", "wink_right")  # done once they take as long in any clip


def spread(score: Score, seconds: float) -> Score:
    """The score for a clip that is to last so many seconds, where these are a little more than its own: all times grow.

    A rule: what is done is spread over up to `SPREAD` times its own length; in a clip that is longer still, or shorter,
    it stays as it is (`fitted`). A single blink or wink only comes later.
    """
    if not 1 < seconds / score.length <= SPREAD or seconds > MAX_SECONDS:
        return score
    grown = _paced(score, seconds)
    both = zip(grown.events, score.events, strict=True)
    brief = (replace(g, duration=e.duration) if _brief(e) else g for g, e in both)
    return replace(grown, events=tuple(brief))


def filled(score: Score, seconds: float, named: Named = "") -> Score:
    """A reading for a clip of a wanted length: all times grow or shrink until its actions fill the clip.

    A rule: they end `TAIL` seconds before the clip does. They stay as they are where they end up to `NEARLY` seconds
    before it, where the instruction names seconds and they fit, where it names them by the clock, and where the clip is
    more than `FILLED` times as long. A single blink or wink only comes later.

    Args:
        named: how the instruction names seconds, if at all.
    """
    end = max((e.end for e in score.events), default=0.0)
    last = max(seconds - TAIL, 0.5 * seconds)
    if not end or seconds > MAX_SECONDS or last > FILLED * end or (end > seconds and named == "clock"):
        return score
    if 0 <= seconds - end <= NEARLY or (end <= seconds and named):
        return held(score, seconds)
    by, after = last / end, (seconds - last) / max(score.length - end, SHORT)

    def moved(time: float) -> float:
        time = min(time, score.length)
        return time * by if time <= end else last + (time - end) * after

    events = tuple(
        replace(e, start=e.start * by, duration=e.duration * (1 if by > 1 and _brief(e) else by)) for e in score.events
    )
    emotions = tuple(replace(f, start=moved(f.start), end=moved(f.end)) for f in score.emotions)
    return replace(score, length=seconds, events=events, emotions=emotions)


def check_times(score: Score, seconds: float) -> None:
    """Refuses seconds that the instruction names and a clip of so many does not have.

    Raises:
        UserError: an action or feeling that begins after the clip's end.
    """
    starts = [*((e.start, e.action) for e in score.events), *((f.start, f.name) for f in score.emotions)]
    late = sorted(one for one in starts if one[0] >= seconds)
    if late and score.timed:
        what = f"{late[0][1].replace('_', ' ')} at {late[0][0]:g} s"
        raise UserError(f"{score.text[:60]!r}: {what}; accepted before {round(seconds, 2):g}, the end of the clip")


def _brief(e: Event) -> bool:
    return e.action in BRIEF and e.repeat == 1


def _felt_for(score: Score, seconds: float, length: float) -> tuple[Emotion, ...]:
    """Feelings that last to the score's end (within half a second) last to the new one, others are cut there."""
    return tuple(
        one
        for f in score.emotions
        if f.start < seconds - SHORT
        for one in _until(f, seconds if f.end >= score.length - 0.5 else min(f.end, seconds))
        if one.start < length - SHORT
    )


def _until(f: Emotion, end: float) -> list[Emotion]:
    """A feeling that ends then; one that grows or fades does so as fast as before, and then stays as it is."""
    if f.to is None or end == f.end:
        return [replace(f, end=end)]
    if end < f.end:
        return [replace(f, end=end, to=f.at(end))]
    return [f, replace(f, intensity=f.to, start=f.end, end=end, to=None)]


def held(score: Score, seconds: float) -> Score:
    """The score with another length: actions as they are, feelings held to it or cut."""
    return replace(score, length=seconds, emotions=_felt_for(score, seconds, seconds))


def _paced(score: Score, seconds: float) -> Score:
    """All times grow or shrink until the score is `seconds` long."""
    by = seconds / score.length
    events = tuple(replace(e, start=e.start * by, duration=e.duration * by) for e in score.events)
    emotions = tuple(replace(f, start=f.start * by, end=f.end * by) for f in score.emotions)
    return replace(score, length=seconds, events=events, emotions=emotions)


def fitted(score: Score, seconds: float) -> Score:
    """The score for a clip of so many seconds: squeezed into a shorter one, if anything in it would be cut off; in a
    longer one the last feelings go on.

    Feelings that last to the score's end (within half a second) are held to the clip's; actions stay where they are.
    Where the instruction says seconds by the clock, what goes on after the clip's end is cut off. The score's own
    length stays, too: sound may be longer than any score.
    """
    if seconds < score.length:
        if score.timed:
            begun = [e for e in score.events if e.start < seconds]
            cut = tuple(replace(e, duration=min(e.duration, seconds - e.start)) for e in begun)
            return held(replace(score, events=cut), seconds)
        fits = all(e.end <= seconds for e in score.events) and all(f.start < seconds - NEARLY for f in score.emotions)
        return held(score, seconds) if score.events and fits else _paced(score, seconds)
    return replace(score, emotions=_felt_for(score, seconds, score.length))


def placed(score: Score, seconds: float, spreads: bool, felt: bool = False) -> Score:
    """The score as a clip of so many seconds performs it, and as long as the clip (at most as a score can be).

    Args:
        spreads: times may grow and shrink with the clip; otherwise they stay as they are written.
        felt: other feelings take the place of its own.

    Raises:
        UserError: times that stay, or that the instruction names, and something that begins after the clip's end.
    """
    check_times(score, seconds)
    if spreads:
        score = spread(score, seconds)
    if spreads or seconds > score.length:
        score = fitted(score, seconds)
    return replace(score, length=min(seconds, MAX_SECONDS), emotions=() if felt else score.emotions)
