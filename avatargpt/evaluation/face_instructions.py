"""The suites `face_instructions` and `face_fresh`: events of facial instructions on the curves of the driver."""
# Fresh instructions are sorted by what they ask for beyond actions: times, counts, turns, denials, degrees. A row is a
# score with ``construct``; ``words`` are the words of the speech it goes with, with their times, where the instruction
# is anchored on them; ``not`` names actions that it denies.

import inspect
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.evaluation.face_distances import distances, score_baselines
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite, folder
from avatargpt.face.instructions.scores import fit_score
from avatargpt.face.pipeline import FacePipeline
from avatargpt.metrics.face import (
    TYPICAL,
    Lips,
    au_emo,
    au_f1,
    emotions_shown,
    events_kept,
    f1,
    read_emotions,
    score_reading,
)
from avatargpt.metrics.face_events import LOOKS, STATES, check_score, looks_at_head
from avatargpt.requests.english import unreadable
from avatargpt.speech.phones import Phone
from avatargpt.speech.words import Word
from avatargpt.train.speech_data.corpus import SpeechClip, load
from instruct_data.face.actions import action_names
from instruct_data.face.described import describe_score, feelings_described, parse_description
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score, parse_score, read_instructions
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import json_rows

OWN = "face_instructions.jsonl"
EVERYDAY = "face_everyday.jsonl"  # short and casual, as users type them; sides and times seldom stated
LEARNT = "face_learnt.txt"  # held-out texts of the corpus in the training material of the packaged readers
STEPS = (0.3, 0.7, 0.85, 1.0)  # slightly, no word, very, extremely
WORDS = ("slightly ", "", "very ", "extremely ")
DEGREES = (" slightly", "", " very strongly", " extremely")
RISE = 0.005  # least difference between steps
# Parts of the names of actions that need the mouth: with speech they give way to it.
MOUTH = tuple(
    "jaw mouth lip chew tongue yawn sigh gasp laugh smile smirk sneer frown blow cheek chin return_to".split()
)
MAX_SECONDS_OFF = 0.4  # by which a start may differ from the one in words
MAX_STRENGTH_OFF = 0.15  # by which a strength may differ from the one in words
MIN_CHANGE = 0.2  # by which a strength must change to rise or fade
# Constructs whose words name seconds; of the others order, counts and sides are compared.
TIMED = ("every", "wait", "until_end", "share", "late", "speaking")
# Rhythmic actions: without a number in words they may be done any number of times.
UNCOUNTED = ("shake_head", "chew", "laugh")
AT_REST = ("return_to_neutral", "neutral")


def evaluate(run: Run) -> dict[str, Any]:
    """The instructions of a suite on a run's driver."""
    performer = run.cache.wrap_model(FacePipeline.load(Path(run.model.source) / "driver"), "read", "perform")
    if "rows" in run.suite.options:
        return score_fresh(run.suite, performer)
    return score(run.suite, performer, run.data, run.store)


def score(suite: Suite, performer: FacePipeline, data: Path | None, store: Path | None) -> dict[str, Any]:
    """All figures; the events of the scores that people wrote are searched in the driver's curves.

    Args:
        data: folder with val.jsonl of the instruction corpus; without one the suite's own instructions alone.
        store: a cache of the speech stage, for instructions during speech; None leaves that out.
    """
    results: dict[str, Any] = {}
    sources = instruction_sources(suite, data)
    samples, passed = [], {}
    for name, scores in sources.items():
        read = [performer.read([s.text], [s.length])[0] for s in scores]  # with the length, as by --seconds
        faces = [performer.perform(s.text, score=r, seconds=s.length) for s, r in zip(scores, read, strict=True)]
        results |= measure_faces(name, faces, scores) | baseline_figures(name, scores)
        results_of = [[float(r.passed) for r in check_score(m, s)] for m, s in zip(faces, scores, strict=True)]
        passed[name] = [(s.text, values) for s, values in zip(scores, results_of, strict=True)]
        results |= {f"reading_{k}/{name}": plain(v) for k, v in score_reading(read, scores).items()}
        # From true scores: what the driver can do when the reading is right.
        from_scores = [performer.perform(s.text, score=s, seconds=s.length) for s in scores]
        results |= {k.replace("/", "_told/"): v for k, v in measure_following(name, from_scores, scores).items()}
        for m, r, s in list(zip(faces, read, scores, strict=True))[:20]:
            faults = {f"{x.event.action} at {x.event.start:g} s": x.faults for x in check_score(m, s) if x.faults}
            samples.append({"text": s.text, "read": _parts(r), "faults": faults})
    if data is not None:
        results |= all_events([*passed["own"], *passed["corpus"]], (folder() / LEARNT).read_text("utf-8").splitlines())
    results |= _measure_rise(performer)
    if store is not None:  # held-out clear voices
        speech = [c for c in load(store) if c.split == "val" and c.kind == "taught" and c.source == "clean"]
        results |= _with_speech(performer, speech, sources["own"])
    return {"results": results, "samples": samples, "baselines": [*score_baselines(())]}


def all_events(passed: Sequence[tuple[str, Sequence[float]]], learnt: Sequence[str]) -> dict[str, Any]:
    """Events of our own instructions and of the corpus as one share: of all, and without those of learnt texts.

    Args:
        passed: per instruction its text and, per event, 1 where it is done, else 0.
        learnt: texts to leave out of ``events/unlearnt``.
    """
    left = [x for text, row in passed if text not in learnt for x in row]
    return {"events/together": figure([x for _, row in passed for x in row]), "events/unlearnt": figure(left)}


def measure_faces(name: str, faces: Sequence[FaceMotion], scores: Sequence[Score]) -> dict[str, Any]:
    """`measure_following`, and the distances from the rendered scores."""
    return measure_following(name, faces, scores) | distances(name, faces, [render(s, 1) for s in scores])


def baseline_figures(name: str, scores: Sequence[Score]) -> dict[str, Any]:
    """The same of `score_baselines`: ``FIGURE/NAME/BASELINE``."""
    return {f"{k}/{row}": v for row, faces in score_baselines(scores).items()
            for k, v in measure_faces(name, faces, scores).items()}  # fmt: skip


def measure_following(name: str, faces: Sequence[FaceMotion], scores: Sequence[Score]) -> dict[str, Any]:
    """Events done, feelings shown, and action units beside those of the rendered score."""
    events = [[r.passed for r in check_score(m, s)] for m, s in zip(faces, scores, strict=True) if s.events]
    emotions = [x for m, s in zip(faces, scores, strict=True) for x in emotions_shown(m, s)]
    rendered = [render(s, 1) for s in scores]
    single = [(m, s.emotions[0].name) for m, s in zip(faces, scores, strict=True)
              if not s.events and len(s.emotions) == 1 and s.emotions[0].name in TYPICAL]  # fmt: skip
    out = {
        f"events/{name}": figure([float(x) for row in events for x in row]),
        f"clips/{name}": figure([float(all(row)) for row in events]),
        f"auf1/{name}": plain(au_f1(faces, rendered)), f"auf1_frames/{name}": plain(au_f1(faces, rendered, "frames")),
    }  # fmt: skip
    if emotions:
        out[f"emotions/{name}"] = figure([float(x) for x in emotions])
    if single:
        motions, names = zip(*single, strict=True)
        out[f"auemo/{name}"] = plain(au_emo(motions, names))
        out[f"auemo_frames/{name}"] = plain(au_emo(motions, names, "frames"))
    return out


# Events and emotions of a score as short texts.
def _parts(score: Score) -> list[str]:
    events = [f"{e.action} {e.start:.1f}-{e.end:.1f} s, {e.intensity:g}, x{e.repeat}" for e in score.events]
    return events + [f"{f.name} {f.start:.1f}-{f.end:.1f} s, {f.intensity:g}" for f in score.emotions]


# Share of the steps slightly < no word < very < extremely that rise: by scores, and as read from words.
def _measure_rise(performer: FacePipeline) -> dict[str, Any]:
    out: dict[str, list[float]] = {"told": [], "worded": []}

    def add(way: str, scores: Sequence[Score], measure: Callable[[FaceMotion], float]) -> None:
        levels = [measure(performer.perform(s.text, score=s, seconds=3.0)) for s in scores]
        out[way] += [float(b > a + RISE) for a, b in zip(levels, levels[1:], strict=False)]

    for name in action_names():
        if LOOKS[name].form not in STATES:  # a closed mouth and a neutral face have no degree
            apex = partial(lambda name, motion: float(np.percentile(LOOKS[name].signal(motion), 97)), name)
            add("told", [Score(3.0, (Event(name, 0.4, 1.6, s),)) for s in STEPS], apex)
            add("worded", performer.read([name.replace("_", " ") + d for d in DEGREES]), apex)
    for name in (n for n in emotion_names() if n != "neutral"):
        level = partial(lambda name, motion: read_emotions(motion, 1.0)[name], name)
        add("told", [Score(3.0, (), (Emotion(name, s, 0.0, 3.0),)) for s in STEPS], level)
        add("worded", performer.read([f"look {w}{name}" for w in WORDS]), level)
    return {f"rising/{way}": figure(values) for way, values in out.items()}


# Instruction, feeling and speech at once, by the driver with the true score: events done, closures lost.
def _with_speech(performer: FacePipeline, clips: Sequence[SpeechClip], scores: Sequence[Score]) -> dict[str, Any]:
    from avatargpt.train.speech_data.validation import predict

    # Mouth actions give way to speech and would fail by design.
    free = [s for s in scores if s.events and not any(w in e.action for e in s.events for w in MOUTH)]
    alone, both, events = Lips(), Lips(), []
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
            events += [float(r.passed) for r in check_score(part, replace(score, events=inside))]
    return {
        "speech_events": figure(events), "speech_closure/alone": figure(alone.closure),
        "speech_closure/directed": figure(both.closure), "speech_false_closure/directed": figure(both.closure_vowel),
    }  # fmt: skip


def instruction_sources(suite: Suite, data: Path | None) -> dict[str, list[Score]]:
    """Source -> the scores of its instructions, in order."""
    if "rows" in suite.options:
        rows = [row for _, row in json_rows(folder() / suite.options["rows"])]
        return {"fresh": [parse_score(row, str(row.get("text"))) for row in rows]}
    paths = {"own": folder() / OWN, "everyday": folder() / EVERYDAY}
    if data is not None:
        paths["corpus"] = data / "val.jsonl" if data.is_dir() else data
        if not paths["corpus"].is_file():
            raise UserError(f"--data {data}: no val.jsonl; accepted a folder of facial instructions, or none")
    return {name: [row.score for row in read_instructions(path)] for name, path in paths.items()}


def head_instructions(suite: Suite, data: Path | None) -> set[str]:
    """``SOURCE_NNN`` of the instructions with an event that the head alone shows."""
    sources = instruction_sources(suite, data)
    return {f"{source}_{n:03d}" for source, scores in sources.items() for n, s in enumerate(scores, 1)
            if any(looks_at_head(e.action) for e in s.events)}  # fmt: skip


def score_outputs(suite: Suite, faces: Mapping[str, FaceMotion], data: Path | None = None) -> dict[str, Any]:
    """Events, feelings, action units, and distances from the rendered scores, per source.

    Returns:
        ``results`` and one row per instruction: ``done`` says which of its events are seen.
    """
    results: dict[str, Any] = {}
    rows = []
    for source, scores in instruction_sources(suite, data).items():
        ids = [f"{source}_{n:03d}" for n in range(1, len(scores) + 1)]
        pairs = [(i, faces[i], s) for i, s in zip(ids, scores, strict=True) if i in faces]
        if not pairs:
            continue
        results |= measure_faces(source, [m for _, m, _ in pairs], [s for _, _, s in pairs])
        rows += [{"id": i, "text": s.text, "done": [int(x.passed) for x in check_score(m, s)]} for i, m, s in pairs]
    return {"results": results, "instructions": rows}


def same_reading(read: Score, norm: Score, construct: str) -> bool:
    """Whether a reading has the norm's actions, counts and feelings, and the times and degrees that words state."""
    events = [e for e in sorted(read.events, key=lambda e: e.start) if e.action not in AT_REST]
    emotions = _merge_emotions([f for f in read.emotions if f.name != "neutral"])
    expected = _merge_emotions(norm.emotions)
    if construct in ("rise", "fade"):
        return _changes(events, emotions, norm, 1 if construct == "rise" else -1)
    if [e.action for e in events] != [e.action for e in norm.events] or len(emotions) != len(expected):
        return False
    counts = all(a.repeat == b.repeat or (b.repeat == 1 and b.action in UNCOUNTED)
                 for a, b in zip(events, norm.events, strict=True))  # fmt: skip
    if not counts or any(a[0] != b[0] for a, b in zip(emotions, expected, strict=True)):
        return False
    if construct == "degree":
        pairs = [(a.intensity, b.intensity) for a, b in zip(events, norm.events, strict=True)]
        pairs += [(a[2], b[2]) for a, b in zip(emotions, expected, strict=True)]
        return all(abs(a - b) <= MAX_STRENGTH_OFF for a, b in pairs)
    if construct not in TIMED:
        return True
    late = [a.start - b.start for a, b in zip(events, norm.events, strict=True)]
    late += [a[1] - b[1] for a, b in zip(emotions, expected, strict=True)]
    # "every two seconds" leaves open when it is done first
    first = late[0] if construct == "every" else 0.0
    return all(abs(x - first) <= max(MAX_SECONDS_OFF, 0.1 * norm.length * (construct == "share")) for x in late)


# Feelings in order, the same in a row as one: name, start, strength at its start and at its end.
def _merge_emotions(emotions: Sequence[Emotion]) -> list[tuple[str, float, float, float]]:
    out: list[tuple[str, float, float, float]] = []
    for f in sorted(emotions, key=lambda f: f.start):
        end = f.intensity if f.to is None else f.to
        if out and out[-1][0] == f.name:
            out[-1] = (*out[-1][:3], end)
        else:
            out.append((f.name, f.start, f.intensity, end))
    return out


# Whether the one action or feeling grows (way 1) or fades (-1).
def _changes(
    events: Sequence[Event], emotions: Sequence[tuple[str, float, float, float]], norm: Score, way: int
) -> bool:
    if norm.emotions:
        fits = len(emotions) == 1 and emotions[0][0] == norm.emotions[0].name
        return fits and way * (emotions[0][3] - emotions[0][2]) >= MIN_CHANGE
    if {e.action for e in events} != {e.action for e in norm.events}:
        return False
    grown = way * (events[-1].intensity - events[0].intensity) >= MIN_CHANGE
    return grown or (way > 0 and max(e.rise for e in events) > 0.3)


def score_fresh(suite: Suite, performer: FacePipeline) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``face_instructions`` with options ``rows``, ``questions``, ``foreign``: files beside the suites.
        performer: under test; it gets the words of the speech if its ``read`` has a parameter ``words``.

    Returns:
        As of ``face_instructions`` for one source; ``events/CONSTRUCT``: share of the events done by construct;
        ``read/CONSTRUCT``: share of the instructions that are read rightly (`same_reading`); ``denied``: share of
        denied actions that are not read; ``questions/nothing``: of questions that ask a face for nothing, the share
        that is read so; ``questions/asked``, ``questions/eyes``: of questions that ask for something, and of smiles of
        the eyes alone, the share of which that is read, and nothing that it excludes; ``foreign``: of texts in other
        languages, the share that is called so, and ``english``: of English ones that look foreign, the share that is
        not.
    """
    raw = [row for _, row in json_rows(folder() / suite.options["rows"])]
    scores = [parse_score(row, str(row.get("text"))) for row in raw]
    takes_words = "words" in inspect.signature(performer.read).parameters
    read = []
    for row, s in zip(raw, scores, strict=True):
        words = [Word(w["word"], w["start"], w["end"]) for w in row.get("words", ())]
        speech: dict[str, Any] = {"words": [words]} if takes_words else {}
        read += performer.read([s.text], [s.length], **speech)
    faces = [performer.perform(s.text, score=r, seconds=s.length) for s, r in zip(scores, read, strict=True)]
    results: dict[str, Any] = {
        k: v for k, v in measure_faces("fresh", faces, scores).items() if not k.startswith("events")
    }
    results |= {f"reading_{k}/fresh": plain(v) for k, v in score_reading(read, scores).items()}
    events: dict[str, list[float]] = defaultdict(list)
    correct: dict[str, list[float]] = defaultdict(list)
    denied, rows = [], []
    for row, m, r, s in zip(raw, faces, read, scores, strict=True):
        right = same_reading(r, s, row["construct"]) and not {e.action for e in r.events} & set(row.get("not", ()))
        # Where the words name no times, those of a right reading are as good as the norm's.
        free = right and row["construct"] not in (*TIMED, "rise", "fade")
        seen_events = [float(x.passed) for x in check_score(m, r if free else s)]
        events[row["construct"]] += seen_events
        for key in ("", f"/{row['construct']}"):
            correct[key].append(float(right))
        denied += [float(name not in {e.action for e in r.events}) for name in row.get("not", ())]
        rows.append({"text": s.text, "construct": row["construct"], "read": _parts(r), "right": int(right),
                     "done": [int(x) for x in seen_events]})  # fmt: skip
    results |= {f"read{k}": figure(v) for k, v in correct.items()}
    results |= {f"events/{k}": figure(v) for k, v in events.items() if v}
    results["events"] = figure([x for v in events.values() for x in v])
    results["denied"] = figure(denied)
    results |= {k.replace("events/fresh", "events"): v for k, v in baseline_figures("fresh", scores).items()}
    asked: dict[str, list[float]] = defaultdict(list)
    for _, row in json_rows(folder() / suite.options["questions"]):
        score = performer.read([row["text"]])[0]
        names = ({e.action for e in score.events} | {f.name for f in score.emotions}) - {*AT_REST}
        wanted, excluded = {*row.get("names", ())}, {*row.get("not", ())}
        asked[row["kind"]].append(float(wanted <= names and not excluded & names if wanted else not names))
    results |= {f"questions/{kind}": figure(values) for kind, values in asked.items()}
    called: dict[bool, list[float]] = {True: [], False: []}
    for _, row in json_rows(folder() / suite.options["foreign"]):
        called[bool(row["foreign"])].append(float(bool(unreadable(row["text"]))))
    results |= {"foreign": figure(called[True]), "english": figure([1 - x for x in called[False]])}
    return {"results": results, "instructions": rows, "baselines": [*score_baselines(())]}


RENDERING = 7_000_000  # seeds of renderings here; training draws its own from another sequence
FEELING_SECONDS = 3.0
GAP = 1.0  # seconds cut out of a clip for the in-between


def evaluate_language(run: Run) -> dict[str, Any]:
    """The suite `face_language` on a run's model."""
    suite, longest = run.suite, float(run.suite.options["longest"])
    model = run.cache.wrap_model(run.model, "face", "describe_face", "feeling", "emotion_face", "face_in_between")
    results: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for name, instructions in instruction_sources(suite, run.data).items():
        if name == "everyday":
            continue
        scores = [s for s in instructions if s.length <= longest]
        rendered = [render(s, RENDERING + i) for i, s in enumerate(scores)]
        faces = model.face([s.text for s in scores], [s.length for s in scores], seed=suite.seeds[0])
        results |= measure_following(name, faces, scores)
        descriptions = model.describe_face(rendered)
        results |= {f"{k}/{name}": plain(v) for k, v in score_descriptions(descriptions, scores).items()}
        results |= {f"{k}/{name}": plain(v) for k, v in tokens(model, rendered, scores).items()}
        results |= {f"{k}/{name}": v for k, v in between(model, rendered).items()}
        samples += [{"instruction": s.text, "shown": describe_score(s), "described": t}
                    for s, t in list(zip(scores, descriptions, strict=True))[:20]]  # fmt: skip
    return {"results": results | feelings(model, suite.seeds[0]), "samples": samples}


def score_descriptions(descriptions: Sequence[str], scores: Sequence[Score]) -> dict[str, float]:
    """How well descriptions name what was rendered: F1 of actions and feelings, exact sequences, right counts."""
    read, targets = [parse_description(t) for t in descriptions], [parse_description(describe_score(s)) for s in scores]
    actions = [(Counter(a for a, _ in r.actions), Counter(a for a, _ in w.actions))
               for r, w in zip(read, targets, strict=True)]  # fmt: skip
    feeling_pairs = [(Counter(set(r.feelings)), Counter(set(w.feelings))) for r, w in zip(read, targets, strict=True)]
    same = [[a for a, _ in r.actions] == [a for a, _ in w.actions]
            for r, w in zip(read, targets, strict=True) if w.actions]  # fmt: skip
    counts = []  # whether the count of every named target action is right; several of one name are matched in order
    for r, w in zip(read, targets, strict=True):
        told = {a: [n for b, n in r.actions if b == a] for a, _ in r.actions}
        counts += [told[a].pop(0) == n for a, n in w.actions if told.get(a)]
    return {
        "described_actions": f1(actions), "described_feelings": f1(feeling_pairs),
        "described_sequences": float(np.mean(same)) if same else float("nan"),
        "described_counts": float(np.mean(counts)) if counts else float("nan"),
    }


def feelings(model: Any, seed: int) -> dict[str, Any]:
    """Feelings read from rendered faces, shown on generated ones, and rising with the requested number."""
    names = [n for n in emotion_names() if n != "neutral"]
    targets = [Score(FEELING_SECONDS, (), (Emotion(n, s, 0.0, FEELING_SECONDS),)) for n in names for s in STEPS]
    read = model.feeling([render(s, RENDERING + 5_000 + i) for i, s in enumerate(targets)])
    right = [s.emotions[0].name in parse_description(r).feelings[:1] for r, s in zip(read, targets, strict=True)]
    strength = [r.strip() == feelings_described(s) for r, s in zip(read, targets, strict=True)]
    faces = [model.emotion_face(names, s, FEELING_SECONDS, seed=seed) for s in STEPS]
    rows = [[faces[k][i] for k in range(len(STEPS))] for i in range(len(names))]
    shown_right = [x for i, row in enumerate(rows) for k, m in enumerate(row)
                   for x in emotions_shown(m, targets[i * len(STEPS) + k])]  # fmt: skip
    levels = [[read_emotions(m, 1.0)[n] for m in row] for n, row in zip(names, rows, strict=True)]
    rising = [float(b > a + RISE) for row in levels for a, b in zip(row, row[1:], strict=False)]
    return {
        "face_to_emotion": figure([float(x) for x in right]),
        "face_to_emotion_degree": figure([float(x) for x in strength]),
        "emotion_to_face": figure([float(x) for x in shown_right]), "emotion_to_face_rising": figure(rising),
    }  # fmt: skip


def tokens(model: Any, faces: Sequence[FaceMotion], scores: Sequence[Score]) -> dict[str, float]:
    """Faces through the tokenizer and back: mean error of the weights, of the head in degrees, and the shares of blinks
    and events that remain: the ceiling of any answer in tokens."""
    tokenizer = model.facial.tokenizers["face"]
    before = [tokenizer.spec.encode(f) for f in faces]
    after = [tokenizer.decode_features(tokenizer.encode_features(x))[: len(x)] for x in before]
    error = np.abs(np.concatenate(after) - np.concatenate(before))
    remaining = events_kept(before, after)
    rebuilt = [tokenizer.spec.decode(x) for x in after]
    seen_events = [r.passed for m, s in zip(rebuilt, scores, strict=True) for r in check_score(m, s)]
    return {
        "tokenizer_events": float(np.mean(seen_events)) if seen_events else float("nan"),
        "tokenizer_weights": float(error[:, :52].mean()), "tokenizer_head": float(np.degrees(error[:, 52:].mean())),
        "tokenizer_blinks": remaining.get("blinks", float("nan")),
    }  # fmt: skip


def between(model: Any, faces: Sequence[FaceMotion]) -> dict[str, Any]:
    """The middle second of clips, generated from both sides: mean error of the weights, beside a straight line's.

    ``between_change``: how much the generated middle moves, over how much the real one does (mean change from frame to
    frame); a straight line hardly moves.
    """
    errors, lines, moves = [], [], []
    for face in faces:
        n, gap = len(face), round(GAP * face.fps)
        if n < 3 * gap:
            continue
        a = (n - gap) // 2
        start, middle, end = face.slice(0, a), face.slice(a, a + gap), face.slice(a + gap, n)
        generated = model.face_in_between(start, end, GAP, seed=0).slice(a, a + gap)
        t = (np.arange(gap) + 1)[:, None] / (gap + 1)
        line = start.weights[-1] * (1 - t) + end.weights[0] * t
        errors.append(float(np.abs(generated.weights - middle.weights).mean()))
        lines.append(float(np.abs(line - middle.weights).mean()))
        moves.append([np.abs(np.diff(m.weights, axis=0)).mean() for m in (generated, middle)])
    if not errors:
        return {}
    generated_moves, real_moves = np.array(moves).sum(0)
    return {"between_error": figure(errors), "between_error_line": figure(lines),
            "between_change": plain(float(generated_moves / real_moves))}  # fmt: skip
