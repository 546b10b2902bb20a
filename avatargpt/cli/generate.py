"""``avatargpt generate``: text to body motion, and ``avatargpt read``: the request in a text, without motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import argument, option, takes
from vqvae.errors import UserError
from vqvae.io.files import parsing, read_text

if TYPE_CHECKING:
    from instruct_data.requests.spec import MotionRequest


@takes("generate")
def generate(
    text: Annotated[str, argument("TEXT", "What happens, in words; @FILE gives one per line.")],
    output: common.Outputs,
    asked: dict[str, Any],
    waypoints: Annotated[
        Path | None, option("--waypoints CSV", "Places to go by: x,z in metres a line, z ahead, x to the left.")
    ] = None,
    character: common.Character = None,
    root: common.Root = "hips",
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    adapter: common.Adapter = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
    help_all: common.HelpAll = False,
) -> None:
    """Text to body motion, or to a body with a face.

    Several results (@FILE or -n) are written as STEM/00.ext, STEM/01.ext ...; a .png shows all of them. The reading of
    the text is printed on stderr. --times, --turn and the like set what the words leave open, of every movement.
    """
    from avatargpt.verbs.generate import GenerateRequest, make_motions, read_prompts
    from avatargpt.verbs.request import make_request, resolve_sources
    from avatargpt.verbs.sources import load_source

    texts, batch = common.read_texts(text)
    places = None if waypoints is None else _waypoints(waypoints)
    request = make_request(GenerateRequest, texts, waypoints=places, **asked)
    request.check()
    if llm.strip() and (request.controls or request.kind == "avatar"):
        raise UserError("--llm: the language model reads them all; accepted: without a face, --times, --turn and such")
    request = resolve_sources(request, load_source)
    many, kind = batch or request.num > 1, request.kind
    common.check_targets(output, many, kind, count=request.num * len(texts), character=character)
    on = common.on_character(character, root, kind)
    language_model = common.language_model(llm, llm_limits, device, threads)
    loaded = common.load_model(model, device, threads, quiet, dtype, adapter)
    common.warn_unreadable(texts, loaded)
    if language_model is not None and not request.literal:
        from avatargpt.body.language_reader import LanguageReader

        loaded.body.model.reader = LanguageReader(language_model, loaded.body.model, common.warn)
    with common.progress("reading", quiet):
        reading = read_prompts(loaded, request)
    if not quiet:
        for line in (line for division in reading.divisions for line in division.lines):
            common.say(line, err=True)
    if not (quiet or request.literal or reading.divisions):
        for each, words in zip(reading.requests, texts, strict=True):
            which = f"read {words!r} as" if len(texts) > 1 else "read as"
            common.say(f"{which}: {', then '.join(each.captions)}", err=True)
    stated = _state_notes(on)
    with common.text_warnings(stated), common.progress("generating", quiet) as advance:
        made = make_motions(loaded, request, reading, advance)
    details: list[dict[str, Any]]
    details = [{"read_as": list(r.captions), "known": r.known} for r in reading.requests for _ in range(request.num)]
    if reading.divisions:
        details = [row | {"parts": m.parts} for row, m in zip(details, made, strict=True)]
    motions = [m.motion for m in made]
    files = common.write_results(output, motions, many, on)
    motions = [replace(m, notes=tuple(map(stated, m.notes))) for m in motions]
    common.print_results(motions, files, as_json, details)


def _state_notes(on: dict[str, Any]) -> Callable[[str], str]:
    """Notes as they hold of the files: velocities of the ground in a character's unit along its axes."""
    from vqvae.moving_ground import MovingGround, ground_note
    from vqvae.transfer import in_file

    def state_note(note: str) -> str:
        if not (on and isinstance(note, MovingGround)):
            return note
        character, reading = on["character"], on["character"].reading
        return ground_note(note.beginning, in_file(note.velocity, reading), reading.rest.up, character.unit)

    return state_note


def _waypoints(file: Path) -> list[tuple[float, float]]:
    from avatargpt.requests.clause_spec import Route
    from vqvae.io.data_files import finite_number

    points = []
    for n, line in enumerate(read_text(file, 1 << 20, "accepted a file of x,z a line").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                x, z = (finite_number(v) for v in line.split(","))
                points.append((x, z))
            except ValueError:
                raise UserError(f"--waypoints {file} line {n}: {line.strip()[:40]!r}; accepted x,z in metres") from None
    if not 0 < len(points) <= 100:
        raise UserError(f"--waypoints {file}: {len(points)} points; accepted 1 to 100")
    with parsing(file, "waypoints"):
        Route.through(points, "")
    return points


def read(
    text: Annotated[str, argument("TEXT", "A request in words; @FILE gives one per line.")],
    face: Annotated[bool, option("--face", "As an instruction to a face, not to a body.")] = False,
    model: common.Model = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """What a request asks for: actions in order with sides, counts, seconds, and whether they are known.

    A line per clause: its action and attributes, and the movement that it is shown by.
    """
    texts, batch = common.read_texts(text, emoji=face)
    common.warn_unreadable(texts)
    rows: list[Any]
    if face:
        rows, lines = _face_scores(texts, model)
    else:
        requests = _requests(texts, model, threads, quiet)
        rows = [request_row(r) for r in requests]
        lines = [line for r in requests for line in (*[f"{r.text}:"] * batch, *request_lines(r))]
    if as_json:
        common.print_json(rows if (len(rows) > 1 if face else batch) else rows[0])
        return
    for line in lines:
        common.say(line)


def request_row(request: MotionRequest) -> dict[str, Any]:
    """A request for machines: of every clause its `name` (None = not known), the nearest known action and its words; of
    the whole the words that nothing shows."""
    row = request.model_dump(exclude_defaults=True)
    clauses = []
    for clause, told in zip(request.clauses, row["clauses"], strict=True):
        known = clause.known is not False
        clauses.append({
            **told, "name": clause.name if known and clause.name else None, "near": clause.name,
            "words": clause.action, "known": known, "together": clause.together,
            "denied": clause.denied,
        })  # fmt: skip
    return {**row, "clauses": clauses, "unshown": request.unshown}


def request_lines(request: MotionRequest) -> list[str]:
    """A request in words, a line per clause."""
    out = []
    for i, clause in enumerate(request.clauses):
        sign = "not " if clause.denied else "with " if clause.together else "then " if i else ""
        shown = f"not known; near: {clause.nearest}" if clause.known is False else clause.nearest
        out.append(f"{sign}{clause.compact.removeprefix('!')}{'' if clause.denied else f' -> {shown}'}")
    overall = request.compact.partition(" | ")[2]
    lost = [f"not shown: {words!r}" for words in request.unshown]
    return [*out, *([f"whole: {overall}"] if overall else []), *lost]


def _requests(texts: Sequence[str], model: Path | None, threads: int | None, quiet: bool) -> list[MotionRequest]:
    import torch

    from avatargpt import resources
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.requests.resolver import RequestResolver

    check_model(model)
    if threads:
        torch.set_num_threads(threads)
    with common.progress("loading", quiet):
        resolver = RequestResolver.load(model or resources.weights())
    return [resolver.read(t) for t in texts]


def _face_scores(texts: Sequence[str], model: Path | None) -> tuple[list[Any], list[str]]:
    """Scores of instructions to a face, as JSON rows and as lines."""
    from avatargpt.cli.face import score_row, score_summary
    from avatargpt.face.pipeline import FacePipeline, driver_folder

    scores = FacePipeline.load(driver_folder(model)).read(texts)
    return [score_row(s) for s in scores], [score_summary(s) for s in scores]
