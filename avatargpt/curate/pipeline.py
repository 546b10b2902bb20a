"""The order of the stages: films -> shots -> tracks -> sound -> segments -> texts -> the data set and its report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from avatargpt import resources
from avatargpt.curate import dataset, gates, shots, sound
from avatargpt.curate.engines import engine
from avatargpt.curate.manifest import FilmFile, films_of, words_of_name
from avatargpt.curate.recipe import Curation
from avatargpt.curate.run import CurateRun, Piece, Progress, SegmentEntry
from avatargpt.curate.segments import STEP
from avatargpt.curate.stages import Result, StageSettings, StageTask, Stopped
from avatargpt.curate.tracks import capture_of
from vqvae.errors import UserError
from vqvae.io.files import folder_lock, sha256

BUSY = "another run works there; accepted: wait, or another -o"


def curate(
    places: Sequence[Path], output: Path, recipe: Curation, work: Path | None = None, llm: str = "",
    engine_name: str = "local", workers: int = 2, notify: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda label: nullcontext(None),
) -> dict[str, Any]:  # fmt: skip
    """Make a data set of films; the same call goes on where an earlier one was cut off.

    Args:
        places: films, and folders of them. output: folder of the data set; an earlier one is replaced at the end.
        work: folder of the stages' results; None = `output` with ``.work`` behind its name.
        llm: language model as ``--llm`` has it; empty = texts without one.
        engine_name: ``local`` or ``ray``. workers: processes.
        notify: gets a line for each stage. progress: a context that gets the label of a stage and gives what counts.

    Returns:
        What ``dataset.json`` holds.

    Raises:
        UserError: nothing to read, nothing left, extras missing, another run in `work`, bounds of calls reached.
    """
    dataset.check_target(output)
    work = work or output.with_name(output.name + ".work")
    shots.check()
    sound.check(recipe.sound)
    capture = capture_of(recipe.tracks)
    capture.ready()
    work.mkdir(parents=True, exist_ok=True)
    settings = StageSettings(str(work.resolve()), recipe.model_dump(mode="json"), llm)
    shop = settings.workshop()
    if llm:
        _ = shop.model  # a wrong name or setting is reported before any work
    with folder_lock(work, BUSY):
        films = films_of(places, work)
        run = CurateRun(recipe, shop, engine(engine_name, settings, workers), capture.fingerprint, notify, progress)
        try:
            pieces, sounds = _pieces(run, films)
            texts = _ask_texts(run, pieces) if llm else _plain(run, pieces)
            if not texts:
                raise UserError(f"{', '.join(map(str, places))}: nothing is left of {len(films)} films: {_why(run)}")
            pictures = _samples(run, texts)
        except Stopped as e:
            raise Stopped(f"stopped: {e}; what is done stays in {work}, and the same command goes on") from None
        finally:
            run.engine.close()
        return dataset.write(output, run, films, texts, sounds, pictures)


def _why(run: CurateRun) -> str:
    """The most frequent reasons."""
    counts = Counter(f"{row['stage']}: {row['reason']}" for row in run.rejects)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
    return "; ".join(f"{n} x {r}" for r, n in most) or "nobody in them"


def _pieces(run: CurateRun, films: Sequence[FilmFile]) -> tuple[list[Piece], dict[str, dict[str, Any]]]:
    """All segments that pass the gates, and the sounds of their films with words, by the film's name."""
    recipe = run.recipe
    films = [f for f in films if run.passes(f.name, gates.film_reason(f, recipe))]
    cut = run.stage("shots", [(f.name, _film_task("shots", f)) for f in films], "films")
    spans = [
        (f, about, n, shot)
        for f, about in zip(films, cut, strict=True) if about is not None
        for n, shot in enumerate(about["shots"])
        if run.passes(f"{f.name}/{n:03d}", gates.reject_shot(shot, recipe.gates))
    ]  # fmt: skip
    tasks = [
        (f"{f.name}/{n:03d}", _film_task("tracks", f, start=s["start"], end=s["end"], capture=run.capture))
        for f, _, n, s in spans
    ]
    results = run.stage("tracks", tasks, "shots")
    tracks = []
    for (f, about, n, shot), (name, task), result in zip(spans, tasks, results, strict=True):
        if result is not None and not result["tracks"]:
            run.reject(name, "tracks", "nobody is seen in it")
        for row in result["tracks"] if result is not None else ():
            if run.passes(f"{name}_{row['key']}", gates.track_reason(row, recipe.gates)):
                tracks.append((f, about, n, shot, row, run.shop.path(task, ".npz"), run.shop.address(task)))
    audible = {f.name: f for f, about, *_ in tracks if about["sound"]}
    sounds = _sounds(run, list(audible.values()))
    cuts = run.stage("segments", [
        (f"{f.name}/{n:03d}_{row['key']}",
         StageTask("segments", {"tracks": address, "track": row}, {"arrays": str(arrays)}))
        for f, _, n, _, row, arrays, address in tracks
    ], "tracks")  # fmt: skip
    cut_tracks = [
        (f"{track[0].name}/{track[2]:03d}_{track[4]['key']}", *track, result)
        for track, result in zip(tracks, cuts, strict=True) if result is not None
    ]  # fmt: skip
    rows = [(m[0], m[4], m[5], m[8]["speeds"]) for m in cut_tracks]
    again = dict(gates.copies(rows, recipe.gates))
    pieces = []
    for k, (name, f, _, n, shot, row, arrays, _, result) in enumerate(cut_tracks):
        if not run.passes(name, again.get(k)):
            continue
        words = sounds.get(f.name, {}).get("words", [])
        for a, b in result["segments"]:
            spoken = " ".join(w for w, start, end in words if start < b and end > a)
            piece = Piece(f, shot, n, row, arrays, (a, b), spoken)
            first, last = (round((t - row["start"]) / STEP) for t in (a, b))
            speeds = result["speeds"][first : max(last, first + 1)] or result["speeds"][-1:]
            if run.passes(piece.name, gates.segment_reason(row["modality"], b - a, speeds, recipe.gates)):
                pieces.append(piece)
    return pieces, sounds


def _film_task(stage: str, film: FilmFile, **inputs: Any) -> StageTask:
    return StageTask(stage, {"film": film.sha256, **inputs}, {"film": film.path})


def _sounds(run: CurateRun, films: Sequence[FilmFile]) -> dict[str, dict[str, Any]]:
    """Sounds whose language is accepted, or is not known; with the file of the samples."""
    tasks = [(f.name, _film_task("sound", f)) for f in films]
    out: dict[str, dict[str, Any]] = {}
    for (name, task), result in zip(tasks, run.stage("sound", tasks, "films"), strict=True):
        if result is None:
            continue
        language, accepted = result["language"], run.recipe.gates.languages
        if language and accepted and language not in accepted:
            run.reject(name, "sound", f"language: {language}; accepted {', '.join(accepted)}; the motion stays")
            continue
        out[name] = {**result, "file": run.shop.path(task, ".wav")}
    return out


def _ask_texts(run: CurateRun, pieces: Sequence[Piece]) -> list[SegmentEntry]:
    """Texts by the language model."""
    bodies = [p for p in pieces if p.modality == "body"]
    tasks = [
        (p.name, _film_task("descriptions", p.film, span=list(p.span), box=p.row["box"], words=p.words,
                            about=words_of_name(p.film)))
        for p in bodies
    ]  # fmt: skip
    described = [
        (p, d) for p, d in zip(bodies, run.stage("descriptions", tasks, "segments"), strict=True)
        if d is not None and run.passes(p.name, "only a head and shoulders are seen" if d["face"] else None)
    ]  # fmt: skip
    levels = _levels(run, described)
    entries = []
    for p, d in described:
        scene = levels.get(p.name, {})
        captions = [d["caption"], d["again"]]
        entries.append(SegmentEntry(p, captions, "model", {"place": d["place"], **scene}))
    faces = [p for p in pieces if p.modality == "face"]
    tasks = [
        (p.name, StageTask("instructions", {**p.inputs, "words": p.words}, {"arrays": str(p.arrays)})) for p in faces
    ]
    for p, answer in zip(faces, run.stage("instructions", tasks, "segments"), strict=True):
        if answer is not None:
            texts = [answer["instruction"], *answer["paraphrases"]]
            entries.append(SegmentEntry(p, texts, "model", {"units": answer["units"]}))
    return entries


def _levels(run: CurateRun, described: Sequence[tuple[Piece, Result]]) -> dict[str, dict[str, Any]]:
    """Scene, activity and step by the name of the segment: a scene is asked for of every line of a film's people."""
    films: dict[str, list[tuple[Piece, Result]]] = defaultdict(list)
    for p, d in described:
        films[p.film.name].append((p, d))
    longest, lines = run.recipe.text.together, [line for rows in films.values() for line in _lines(rows)]
    groups = [line[k : k + longest] for line in lines for k in range(0, len(line), longest)]
    tasks = []
    for rows in groups:
        film = rows[0][0].film
        stretches = [{"description": d["caption"], "words": p.words} for p, d in rows]
        inputs = {"title": words_of_name(film), "captions": list(film.captions), "stretches": stretches}
        tasks.append((rows[0][0].name, StageTask("scenes", inputs)))
    out: dict[str, dict[str, Any]] = {}
    for number, (rows, result) in enumerate(zip(groups, run.stage("scenes", tasks, "scenes"), strict=True)):
        if result is None:
            continue
        for activity in result["activities"]:
            for step in activity["steps"]:
                level = {"scene": result["scene"], "activity": activity["task"], "step": step["step"]}
                out[rows[step["number"] - 1][0].name] = {**level, "scene_number": number}
    return out


def _lines(rows: Sequence[tuple[Piece, Result]]) -> list[list[tuple[Piece, Result]]]:
    """Segments of a film as lines in time: people who come one after another share one, who are there together do not.

    The largest person of a shot is in the first line.
    """
    people: dict[tuple[int, int], list[tuple[Piece, Result]]] = defaultdict(list)
    for p, d in rows:
        people[p.number, p.row["person"]].append((p, d))
    lines: list[list[tuple[Piece, Result]]] = []
    for person in sorted(people.values(), key=lambda r: (r[0][0].number, -max(p.row["height"] for p, _ in r))):
        line = next((
            line for line in lines
            if not any(p.span[0] < q.span[1] and q.span[0] < p.span[1] for p, _ in person for q, _ in line)
        ), None)  # fmt: skip
        if line is None:
            lines.append(line := [])
        line += person
    return [sorted(line, key=lambda row: (row[0].number, row[0].span)) for line in lines]


def _plain(run: CurateRun, pieces: Sequence[Piece]) -> list[SegmentEntry]:
    """Texts without a language model: captions beside the film, its name, or our own network, each marked."""
    texts: dict[str, tuple[list[str], str]] = {}
    left = []
    segments = Counter((p.film.name, p.modality) for p in pieces)
    for p in pieces:
        # what is said of a film is a segment's text where the film has no other
        whole, title = segments[p.film.name, p.modality] == 1, words_of_name(p.film)
        choices = {"beside": list(p.film.captions) * whole, "name": [title] * (whole and " " in title)}
        by = next((n for n in run.recipe.text.plain if n == "describer" or choices[n]), "")
        if by == "describer":
            left.append(p)
        else:
            texts[p.name] = (choices.get(by, []), by or "nobody")
    weights = sha256(resources.weights() / "config.json") if left else ""  # what they say of themselves
    tasks = [
        (p.name, StageTask("describer", {**p.inputs, "weights": weights}, {"arrays": str(p.arrays)})) for p in left
    ]
    for p, answer in zip(left, run.stage("describer", tasks, "segments"), strict=True):
        if answer is not None:
            texts[p.name] = ([answer["caption"]], "describer")
    return [SegmentEntry(p, *texts[p.name], {}) for p in pieces if p.name in texts]


def _samples(run: CurateRun, entries: Sequence[SegmentEntry]) -> dict[str, Path]:
    """Pictures of segments from all over the data set, for the report, by the name of the segment."""
    count = min(run.recipe.dataset.samples, len(entries))
    chosen = [entries[round(k * (len(entries) - 1) / max(count - 1, 1))].piece for k in range(count)]
    tasks = [
        (p.name, StageTask("pictures", {**p.inputs, "film": p.film.sha256},
                           {"film": p.film.path, "arrays": str(p.arrays)}))
        for p in chosen
    ]  # fmt: skip
    results = run.stage("pictures", tasks, "samples")
    return {name: run.shop.path(task, ".jpg") for (name, task), r in zip(tasks, results, strict=True) if r is not None}
