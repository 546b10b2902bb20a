"""The face_instructions suite: is every event of a held-out instruction seen on the curves, with and without speech?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.face import rivals
from avatargpt.evaluation.face.distances import against
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.face.instructions.scores import fit_score
from avatargpt.face.pipeline import FacePipeline
from avatargpt.metrics.face import TYPICAL, au_emo, au_f1, emotions_shown, reading_score
from avatargpt.metrics.face_events import LOOKS, STATES, check_score
from avatargpt.metrics.lip_sync import Lips
from avatargpt.resources import suites
from avatargpt.train.speech_data.corpus import SpeechClip
from instruct_data.face.score import Emotion, Event, Score, read_instructions
from vqvae.errors import UserError
from vqvae.face import FaceMotion

OWN = "face_instructions.jsonl"
EVERYDAY = "face_everyday.jsonl"  # short and casual, as users type them; sides and times seldom said
LEARNT = "face_learnt.txt"  # the corpus' held-out texts that the packaged readers met (scripts/learnt.py)
STEPS = (0.3, 0.7, 0.85, 1.0)  # slightly, nothing said, very, extremely
WORDS = ("slightly ", "", "very ", "extremely ")
DEGREES = (" slightly", "", " very strongly", " extremely")
RISE = 0.005  # by which a stronger one has to be stronger
MOUTH = tuple(
    "jaw mouth lip chew tongue yawn sigh gasp laugh smile smirk sneer frown blow cheek chin return_to".split()
)
"""Parts of the names of actions that need the mouth: with speech they give way to it."""


def score(suite: Suite, performer: FacePipeline, data: Path | None, store: Path | None) -> dict[str, Any]:
    """All figures; the events of the scores that people wrote are looked for in the driver's curves.

    Args:
        suite: of kind ``face_instructions``.
        performer: under test.
        data: folder with val.jsonl of the instruction corpus; without one the suite's own instructions alone.
        store: a cache of the speech stage, for instructions while somebody speaks; None leaves that out.
    """
    results: dict[str, Any] = {}
    sources = {"own": suites() / OWN, "everyday": suites() / EVERYDAY}
    if data is not None:
        sources["corpus"] = instructions_of(data)
    speech = None if store is None else _speech(store)
    samples, done = [], {}
    for name, path in sources.items():
        wanted = [one.score for one in read_instructions(path)]
        read = [performer.read([s.text], [s.length])[0] for s in wanted]  # as --seconds tells it
        made = [performer.perform(s.text, score=r, seconds=s.length) for s, r in zip(wanted, read, strict=True)]
        results |= measured(name, made, wanted) | beside(name, wanted)
        done[name] = [(s.text, [float(r.done) for r in check_score(m, s)]) for m, s in zip(made, wanted, strict=True)]
        results |= {f"reading_{k}/{name}": plain(v) for k, v in reading_score(read, wanted).items()}
        told = [performer.perform(s.text, score=s, seconds=s.length) for s in wanted]
        results |= {k.replace("/", "_told/"): v for k, v in followed(name, told, wanted).items()}
        samples += _samples(made[:20], read[:20], wanted[:20])
    if data is not None:
        results |= together([*done["own"], *done["corpus"]], (suites() / LEARNT).read_text("utf-8").splitlines())
    results |= _rising(performer)
    if speech is not None:
        results |= _with_speech(performer, speech, [one.score for one in read_instructions(sources["own"])])
    return {"results": results, "samples": samples, "baselines": [*rivals.of_scores(())]}


def together(done: Sequence[tuple[str, Sequence[float]]], learnt: Sequence[str]) -> dict[str, Any]:
    """Our own and the corpus' events as one share: of all, and of all but those of texts that were learnt.

    Args:
        done: per instruction its text and, per event, 1 where it is done, else 0.
        learnt: texts to leave out of ``events/unlearnt``.
    """
    left = [x for text, row in done if text not in learnt for x in row]
    return {"events/together": figure([x for _, row in done for x in row]), "events/unlearnt": figure(left)}


def instructions_of(data: Path) -> Path:
    """The held-out instructions of a corpus: `data` itself, or ``val.jsonl`` in it.

    Raises:
        UserError: there are none.
    """
    path = data / "val.jsonl" if data.is_dir() else data
    if not path.is_file():
        raise UserError(f"--data {data}: no val.jsonl; accepted a folder of facial instructions, or none")
    return path


def measured(name: str, made: Sequence[FaceMotion], wanted: Sequence[Score]) -> dict[str, Any]:
    """What is `followed`, and the distances from the rendered scores."""
    from instruct_data.face.render import render

    return followed(name, made, wanted) | against(name, made, [render(s, 1) for s in wanted])


def beside(name: str, wanted: Sequence[Score]) -> dict[str, Any]:
    """The same of what needs no model (`rivals.of_scores`): ``FIGURE/NAME/BASELINE``."""
    return {f"{k}/{row}": v for row, faces in rivals.of_scores(wanted).items()
            for k, v in measured(name, faces, wanted).items()}  # fmt: skip


def followed(name: str, made: Sequence[FaceMotion], wanted: Sequence[Score]) -> dict[str, Any]:
    """Events done, feelings shown, and action units beside those of the rendered score."""
    from instruct_data.face.render import render

    seen = [[r.done for r in check_score(m, s)] for m, s in zip(made, wanted, strict=True) if s.events]
    felt = [x for m, s in zip(made, wanted, strict=True) for x in emotions_shown(m, s)]
    shown = [render(s, 1) for s in wanted]
    one = [(m, s.emotions[0].name) for m, s in zip(made, wanted, strict=True)
           if not s.events and len(s.emotions) == 1 and s.emotions[0].name in TYPICAL]  # fmt: skip
    out = {
        f"events/{name}": figure([float(x) for row in seen for x in row]),
        f"clips/{name}": figure([float(all(row)) for row in seen]),
        f"auf1/{name}": plain(au_f1(made, shown)), f"auf1_frames/{name}": plain(au_f1(made, shown, "frames")),
    }  # fmt: skip
    if felt:
        out[f"emotions/{name}"] = figure([float(x) for x in felt])
    if one:
        motions, names = zip(*one, strict=True)
        out[f"auemo/{name}"] = plain(au_emo(motions, names))
        out[f"auemo_frames/{name}"] = plain(au_emo(motions, names, "frames"))
    return out


def _samples(made: Sequence[FaceMotion], read: Sequence[Score], wanted: Sequence[Score]) -> list[dict[str, Any]]:
    rows = []
    for m, r, s in zip(made, read, wanted, strict=True):
        faults = {f"{x.event.action} at {x.event.start:g} s": x.faults for x in check_score(m, s) if x.faults}
        understood = [f"{e.action} {e.start:.1f}-{e.end:.1f} s, {e.intensity:g}, x{e.repeat}" for e in r.events]
        understood += [f"{f.name} {f.start:.1f}-{f.end:.1f} s, {f.intensity:g}" for f in r.emotions]
        rows.append({"text": s.text, "read": understood, "faults": faults})
    return rows


def _levels(performer: FacePipeline, scores: Sequence[Score], measure: Callable[[FaceMotion], float]) -> list[float]:
    return [measure(performer.perform(s.text, score=s, seconds=3.0)) for s in scores]


def _rising(performer: FacePipeline) -> dict[str, Any]:
    """Share of the steps slightly < nothing said < very < extremely that rise: as told, and as read from words."""
    from avatargpt.metrics.face import read_emotions
    from instruct_data.face.actions import action_names
    from instruct_data.face.emotions import emotion_names

    told: list[float] = []
    worded: list[float] = []
    for name in action_names():
        if LOOKS[name].form in STATES:  # a closed mouth and a neutral face have no degree
            continue
        scores = [Score(3.0, (Event(name, 0.4, 1.6, s),)) for s in STEPS]
        told += _steps(_levels(performer, scores, lambda m, n=name: _apex(m, n)))  # type: ignore[misc]
        said = [name.replace("_", " ") + d for d in DEGREES]
        worded += _steps(_levels(performer, performer.read(said), lambda m, n=name: _apex(m, n)))  # type: ignore[misc]
    for name in (n for n in emotion_names() if n != "neutral"):
        scores = [Score(3.0, (), (Emotion(name, s, 0.0, 3.0),)) for s in STEPS]
        told += _steps(_levels(performer, scores, lambda m, n=name: read_emotions(m, 1.0)[n]))  # type: ignore[misc]
        said = [f"look {w}{name}" for w in WORDS]
        worded += _steps(
            _levels(performer, performer.read(said), lambda m, n=name: read_emotions(m, 1.0)[n])  # type: ignore[misc]
        )
    return {"rising/told": figure(told), "rising/worded": figure(worded)}


def _apex(motion: FaceMotion, action: str) -> float:
    return float(np.percentile(LOOKS[action].signal(motion), 97))


def _steps(levels: Sequence[float]) -> list[float]:
    return [float(b > a + RISE) for a, b in zip(levels, levels[1:], strict=False)]


def _speech(store: Path) -> list[SpeechClip]:
    """Held-out clear voices of a cache."""
    from avatargpt.train.speech_data.corpus import load

    return [c for c in load(store) if c.split == "val" and c.kind == "taught" and c.source == "clean"]


def _with_speech(performer: FacePipeline, clips: Sequence[SpeechClip], wanted: Sequence[Score]) -> dict[str, Any]:
    """Instruction, feeling and speech at once, by the driver told the true score: events kept, closures lost."""
    import torch

    from avatargpt.speech.phones import Phone
    from avatargpt.train.speech_data.validation import predict

    free = [s for s in wanted if s.events and not any(w in e.action for e in s.events for w in MOUTH)]
    alone, both, kept = Lips(), Lips(), []
    for i, clip in enumerate(clips):
        score = free[i % len(free)]
        if not score.emotions:
            score = replace(score, emotions=(Emotion(("happy", "sad", "angry")[i % 3], 0.6, 0.0, score.length),))
        score = fit_score(score, max(score.length, len(clip) / 30))
        direction = performer.direction(score)
        curves = predict(performer.driver.network, clip.features, torch.device("cpu"), direction=direction)
        phones = [Phone(*p) for p in clip.phone_times]
        alone.add(predict(performer.driver.network, clip.features, torch.device("cpu")), phones, clip.curves)
        both.add(curves, phones, clip.curves)
        inside = tuple(e for e in score.events if e.end <= len(clip) / 30)
        if inside:
            part = FaceMotion.from_curves(curves)
            kept += [float(r.done) for r in check_score(part, replace(score, events=inside))]
    return {
        "speech_events": figure(kept), "speech_closure/alone": figure(alone.closure),
        "speech_closure/directed": figure(both.closure), "speech_false_closure/directed": figure(both.closure_vowel),
    }  # fmt: skip
