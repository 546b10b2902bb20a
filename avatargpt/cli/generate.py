"""``avatargpt generate``: text to body motion; ``read``, ``actions``: the request in a text, and the known moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import Output, argument, option, takes
from vqvae.errors import UserError
from vqvae.io.files import parsing, read_text

if TYPE_CHECKING:
    from avatargpt.requests.resolver import RequestResolver
    from instruct_data.requests.spec import MotionRequest


@takes("generate")
def generate(
    text: Annotated[str, argument("TEXT", "What happens, in words; @FILE gives one per line.")],
    output: common.Outputs,
    *,
    asked: dict[str, Any],
    waypoints: Annotated[
        Path | None, option("--waypoints CSV", "Places to go by: x,z in metres a line, z ahead, x to the left.")
    ] = None,
    worn: common.Worn,
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    setup: common.Setup,
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
    count = request.num * len(texts)
    out = Output.check(output, request.kind, setup, worn, many=batch or request.num > 1, count=count)
    language_model = setup.load_llm(llm, llm_limits)
    loaded = setup.load()
    common.warn_unreadable(texts, loaded)
    if language_model is not None and not request.literal:
        from avatargpt.body.language_reader import LanguageReader

        loaded.body.model.reader = LanguageReader(language_model, loaded.body.model, common.warn)
    with common.progress("reading", setup.quiet):
        reading = read_prompts(loaded, request)
    if not setup.quiet:
        for line in (line for division in reading.divisions for line in division.lines):
            common.say(line, err=True)
    if not (setup.quiet or request.literal or reading.divisions):
        for each, words in zip(reading.requests, texts, strict=True):
            which = f"read {words!r} as" if len(texts) > 1 else "read as"
            common.say(f"{which}: {', then '.join(each.captions)}", err=True)
    stated = _state_notes(out.options[0])
    with common.text_warnings(stated), common.progress("generating", setup.quiet) as advance:
        made = make_motions(loaded, request, reading, advance)
    details: list[dict[str, Any]]
    details = [{"read_as": list(r.captions), "known": r.known} for r in reading.requests for _ in range(request.num)]
    if reading.divisions:
        details = [row | {"parts": m.parts} for row, m in zip(details, made, strict=True)]
    details = [row | ({"notes": [stated(n) for n in m.motion.notes]} if m.motion.notes else {})
               for row, m in zip(details, made, strict=True)]  # fmt: skip
    out.finish([m.motion for m in made], details)


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
    with parsing(file, "waypoints"):
        Route.through(points, "")
    return points


@takes("read")
def read(
    text: Annotated[str, argument("TEXT", "A request in words; @FILE gives one per line.")],
    *,
    asked: dict[str, Any],
    setup: common.PlainSetup,
) -> None:
    """What a request asks for: actions in order with sides, counts, seconds, and whether they are known.

    A line per clause: its action and attributes, and the movement that it is shown by.
    """
    from avatargpt.verbs.describe import request_row, score_row

    texts, batch = common.read_texts(text, emoji=asked["face"])
    common.warn_unreadable(texts)
    rows: list[Any]
    if asked["face"]:
        from avatargpt.cli.face import score_summary
        from avatargpt.face.pipeline import FacePipeline, driver_folder

        scores = FacePipeline.load(driver_folder(setup.model)).read(texts)
        rows, lines, batch = [score_row(s) for s in scores], [score_summary(s) for s in scores], len(scores) > 1
    else:
        requests = _requests(texts, setup)
        rows = [request_row(r) for r in requests]
        lines = [line for r in requests for line in (*[f"{r.text}:"] * batch, *request_lines(r))]
    if setup.as_json:
        common.print_json(rows if batch else rows[0])
        return
    for line in lines:
        common.say(line)


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


def _requests(texts: Sequence[str], setup: common.Setup) -> list[MotionRequest]:
    """Texts as they are read without the language model of motion."""
    resolver = _load_resolver(setup)
    return [resolver.read(t) for t in texts]


def _load_resolver(setup: common.Setup) -> RequestResolver:
    """What reads texts and looks up captions, without the language model of motion."""
    import torch

    from avatargpt import resources
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.requests.resolver import RequestResolver

    check_model(setup.model)
    if setup.threads:
        torch.set_num_threads(setup.threads)
    with common.progress("loading", setup.quiet):
        return RequestResolver.load(setup.model or resources.weights())


@takes("actions")
def actions(
    query: Annotated[str, argument("QUERY", "What is looked for, in your own words.")] = "",
    *,
    asked: dict[str, Any],
    setup: common.PlainSetup,
) -> None:
    """Moves that the model knows: all, or the nearest to a QUERY.

    A row is its usual seconds, its name, and a caption that `generate` takes; * = geometry can check it.
    """
    from avatargpt.verbs.actions import ActionsRequest, find_actions
    from avatargpt.verbs.request import make_request

    wanted = make_request(ActionsRequest, query, **asked)
    found = find_actions(_load_resolver(setup), wanted)
    if setup.as_json:
        return common.print_json({"actions": [asdict(action) for action in found]})
    wide = max((len(a.name) for a in found if len(a.name) < 30), default=4)
    common.say(f"{'score':>5}  {'seconds':>7}  {'name':<{wide}}    caption")
    for a in found:
        score, seconds = (f"{v:.{n}f}" if v is not None else "" for v, n in ((a.score, 2), (a.seconds, 1)))
        common.say(f"{score:>5}  {seconds:>7}  {a.name:<{wide}}  {'*' if a.checked else ' '} {a.caption}")
