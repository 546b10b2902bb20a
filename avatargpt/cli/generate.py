"""``avatargpt generate``: text to body motion, and ``avatargpt read``: the request in a text, without motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from avatargpt.cli import common
from avatargpt.cli.common import argument, check_range, option
from avatargpt.options import FPS, GUIDANCE, TEMPERATURE, GenerationConfig
from vqvae.errors import UserError
from vqvae.io.files import parsing, read_text

if TYPE_CHECKING:
    from instruct_data.requests.spec import MotionRequest
    from vqvae.motion import Motion

_DEFAULT = GenerationConfig()
_PATH = "Way on the floor: circle, half_circle, figure_eight, square, triangle, zigzag, curve, line."
_PIN = "A hand or foot at a place and time, metres: right_hand@1.5=0.4,1.3,0.3. Repeatable."
_LITERAL = "The words as they are: no plain wording first, no clause by clause."


def generate(
    text: Annotated[str, argument("TEXT", "What happens, in words; @FILE gives one per line.")],
    output: common.Outputs,
    modalities: Annotated[str, option("--modalities body|body,face", "body,face: with a face, on one clock.")] = "body",
    seconds: Annotated[float | None, option("--seconds S", "Length; the model chooses when left out.")] = None,
    num: Annotated[int, option("-n --num K", "Results per text.", min=1, max=100)] = 1,
    seed: common.Seed = 0,
    guidance: Annotated[float, option("--guidance G", "How strongly the text counts; 1 is none.")] = _DEFAULT.guidance,
    best_of: Annotated[int, option("--best-of K", "Candidates the model chooses from.", min=1, max=64)] = 8,
    temperature: Annotated[float, option("--temperature T", "Variety.")] = 0.8,
    literal: Annotated[bool, option("--literal", _LITERAL)] = False,
    times: Annotated[int | None, option("--times N", "How often each movement is done.", min=1, max=100)] = None,
    turn: Annotated[float | None, option("--turn DEGREES", "Turn: to the left above 0, to the right below.")] = None,
    path: Annotated[str | None, option("--path SHAPE[:SIDE[:N]]", _PATH)] = None,
    waypoints: Annotated[
        Path | None, option("--waypoints CSV", "Places to go by: x,z in metres a line, z ahead, x to the left.")
    ] = None,
    tempo: Annotated[float | None, option("--tempo X", "Times as fast as usual, 0.2 to 4.")] = None,
    loop: Annotated[bool, option("--loop", "The end leads into the beginning.")] = False,
    in_place: Annotated[bool, option("--in-place", "The way is taken out: the ground moves.")] = False,
    pin: Annotated[list[str] | None, option("--pin LIMB@S=X,Y,Z", _PIN)] = None,
    start_pose: Annotated[str | None, option("--start-pose FILE[:S]", "Begin as this motion is at S.")] = None,
    end_pose: Annotated[str | None, option("--end-pose FILE[:S]", "End as this motion is at S.")] = None,
    fps: Annotated[float | None, option("--fps F", "Frames a second, else 20.")] = None,
    character: common.Character = None,
    root: common.Root = "hips",
    strict: Annotated[bool, option("--strict", "Refuse requests with an action that is not known.")] = False,
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
    texts, batch = common.read_texts(text)
    common.check_seconds(seconds)
    check_range("--guidance", guidance, *GUIDANCE)
    check_range("--temperature", temperature, *TEMPERATURE)
    check_range("--fps", fps, *FPS, " frames per second")
    controls = Controls(times, turn, path, waypoints, tempo, loop, in_place, tuple(pin or ()))
    controls.check()
    if controls != Controls() and (literal or llm.strip()):
        which = "--literal: the words go as they are" if literal else "--llm: the language model reads them all"
        raise UserError(f"{which}; accepted: without --times, --turn and the like")
    poses = _pose("--start-pose", start_pose), _pose("--end-pose", end_pose)
    if loop and any(poses):
        raise UserError("--loop and --start-pose or --end-pose: accepted one of them, for a loop ends as it begins")
    many, kind = batch or num > 1, _kind(modalities)
    if kind == "avatar" and (literal or llm.strip() or any(poses) or controls != Controls()):
        raise UserError(f"--modalities {modalities}: accepted without --literal, --llm, poses, --times and the like")
    common.check_targets(output, many, kind, count=num * len(texts), character=character)
    on = common.on_character(character, root, kind)
    language_model = common.language_model(llm, llm_limits, device, threads)
    loaded = common.load_model(model, device, threads, quiet, dtype, adapter)
    common.warn_unreadable(texts, loaded)
    if language_model is not None and not literal:
        from avatargpt.body.language_reader import LanguageReader

        loaded.body.model.reader = LanguageReader(language_model, loaded.body.model, common.warn)
    requests: list[Any] = list(texts)
    if controls != Controls():
        requests = [controls.on(loaded.body.model.request(text)) for text in texts]
    divisions = []
    with common.progress("reading", quiet):
        if kind == "avatar":
            divisions = [loaded.composer.divide(text) for text in texts]
        resolved = [d.request for d in divisions] or loaded.body.generation.resolve(requests, seconds, literal)
    if not quiet:
        for line in (line for division in divisions for line in division.lines):
            common.say(line, err=True)
    if not (quiet or literal or divisions):
        for request, text in zip(resolved, texts, strict=True):
            which = f"read {text!r} as" if len(texts) > 1 else "read as"
            common.say(f"{which}: {', then '.join(request.captions)}", err=True)
    unknown = [line for request in resolved for line in request.unknown]
    if strict and unknown:
        raise UserError(f"{unknown[0]}; accepted: other words, or without --strict")
    stated = _stated_for(on)
    details: list[dict[str, Any]]
    details = [{"read_as": list(r.captions), "known": r.known} for r in resolved for _ in range(num)]
    motions: list[Any]
    with common.text_warnings(stated), common.progress("generating", quiet) as advance:
        if divisions:
            config = GenerationConfig(seed, guidance, temperature, best_of, num)
            composed = loaded.composer.compose(divisions, seconds, config, progress=advance)
            motions = [loaded.composer.perform(c.body, c.score, c.seed) for c in composed]
            details = [row | {"parts": c.rows} for row, c in zip(details, composed, strict=True)]
        else:
            motions = loaded.generate(
                resolved, seconds=seconds, seed=seed, guidance=guidance, best_of=best_of, temperature=temperature,
                num=num, progress=advance, literal=literal,
            )  # fmt: skip
        if any(poses):
            motions = [loaded.body.editing.posed(m, *poses, seed=seed + k) for k, m in enumerate(motions)]
    if fps is not None:
        from avatargpt.body.loops import loop_at_rate

        loops = [not divisions and r.typed is not None and r.typed.loop for r in resolved for _ in range(num)]
        motions = [loop_at_rate(m, fps) if loop else m.resampled(fps) for m, loop in zip(motions, loops, strict=True)]
    files = common.write_results(output, motions, many, on)
    motions = [replace(m, notes=tuple(map(stated, m.notes))) for m in motions]
    common.print_results(motions, files, as_json, details)


def _kind(modalities: str) -> str:
    """The kind of motion that ``--modalities`` asks for."""
    names = {name.strip() for name in modalities.split(",")}
    if names not in ({"body"}, {"body", "face"}):
        raise UserError(f"--modalities {modalities[:40]}: accepted body, or body,face; a face alone: avatargpt face")
    return "avatar" if "face" in names else "body"


def _stated_for(on: dict[str, Any]) -> Callable[[str], str]:
    """Notes as they hold of the files: velocities of the ground in a character's unit along its axes."""
    from vqvae.moving_ground import MovingGround, ground_note
    from vqvae.transfer import in_file

    def stated(note: str) -> str:
        if not (on and isinstance(note, MovingGround)):
            return note
        character, reading = on["character"], on["character"].reading
        return ground_note(note.beginning, in_file(note.velocity, reading), reading.rest.up, character.unit)

    return stated


@dataclass(frozen=True)
class Controls:
    """Typed controls beside the words, which take the place of what the words say; see the options of `generate`."""

    times: int | None = None
    turn: float | None = None
    path: str | None = None
    waypoints: Path | None = None
    tempo: float | None = None
    loop: bool = False
    in_place: bool = False
    pins: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises UserError for values that are not accepted."""
        _ = self.values, self.places

    @cached_property
    def values(self) -> dict[str, Any]:
        """Attributes of a clause. Raises UserError for values that are not accepted."""
        from avatargpt.body.constraints import MAX_TEMPO, MIN_TEMPO

        out: dict[str, Any] = {"times": self.times} if self.times else {}
        if self.turn is not None:
            check_range("--turn", abs(self.turn), 15, 1080, " degrees, - to the right")
            out |= {"turn": abs(self.turn), "side": "left" if self.turn > 0 else "right"}
        if self.path is not None:
            out |= _path(self.path, self.times)
        if self.waypoints is not None:
            out["waypoints"] = _waypoints(self.waypoints)
        if self.tempo is not None:
            check_range("--tempo", self.tempo, MIN_TEMPO, MAX_TEMPO)
            out |= {"factor": self.tempo, "tempo": None}
        return out

    @cached_property
    def places(self) -> list[Any]:
        """The pins. Raises UserError for one that cannot be read."""
        return [_pin(text) for text in self.pins]

    def on(self, request: MotionRequest) -> MotionRequest:
        """The request with them in it."""
        clauses = [c if c.denied else c.model_copy(update=self.values) for c in request.clauses]
        update = {"clauses": clauses, "loop": self.loop or request.loop, "pins": self.places or request.pins}
        update["treadmill"] = self.in_place or request.treadmill
        return request.model_copy(update=update)


def _path(text: str, usual: int | None) -> dict[str, Any]:
    """Attributes of a clause; `usual`: times where the path names none."""
    from avatargpt.requests.clause_spec import MAX_WAY_TOKENS, PATH_SHAPES, Route
    from instruct_data.requests.spec import MAX_TIMES

    shape, _, details = text.partition(":")
    side, _, count = details.partition(":")
    digits = count or "1"
    if shape not in PATH_SHAPES or side not in ("", "left", "right") or not (digits.isascii() and digits.isdecimal()):
        raise UserError(f"--path {text[:80]}: accepted SHAPE[:left|right[:N]], shapes {', '.join(PATH_SHAPES)}")
    once = Route(PATH_SHAPES[shape], side, 1, 1.0, "walk").tokens
    most = min(MAX_TIMES, MAX_WAY_TOKENS // max(once, 1))
    times = int(count[:9]) if count else None
    if not 1 <= (usual or 1 if times is None else times) <= most:
        raise UserError(f"--path {text[:80]}: {count or usual} times; accepted 1 to {most} of a {shape}")
    return {"path": shape, **({"side": side} if side else {}), **({"times": times} if times else {})}


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


def _pin(text: str) -> Any:
    from instruct_data.requests.spec import Pin
    from vqvae.io.data_files import finite_number

    limb, _, where = text.partition("@")
    second, _, place = where.partition("=")
    limbs = get_args(Pin.model_fields["limb"].annotation)
    try:
        values = tuple(finite_number(v) for v in place.split(","))
        if limb not in limbs or len(values) != 3 or max(map(abs, values)) > 100:
            raise ValueError
        return Pin(limb=limb, second=finite_number(second), place=values)  # type: ignore[arg-type]
    except ValueError:
        raise UserError(f"--pin {text}: accepted LIMB@SECOND=X,Y,Z in metres, limbs {', '.join(limbs)}") from None


def _pose(name: str, value: str | None) -> Motion | None:
    """The frame of a motion that an option names as FILE[:SECOND], None = no option."""
    from avatargpt import export
    from avatargpt.body.edit import frame_of
    from vqvae.io.data_files import finite_number
    from vqvae.motion import Motion

    if value is None:
        return None
    file, _, second = value.rpartition(":")
    try:
        at = finite_number(second) if file else None
    except ValueError:
        file, at = value, None
    motion = export.load(Path(file or value))
    if not isinstance(motion, Motion):
        raise UserError(f"{name} {value}: no body motion; accepted: FILE[:SECOND] of one")
    return frame_of(motion, at, f"{name} {value}")


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
