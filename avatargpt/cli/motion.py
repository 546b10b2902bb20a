"""``avatargpt describe``, ``inbetween``, ``extend``, ``reconstruct``, ``export``: commands that read motion files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import argument, note, option, takes
from avatargpt.options import FPS
from vqvae.errors import UserError
from vqvae.io.files import regular_file

if TYPE_CHECKING:
    from avatargpt.export.avatar import AvatarMotion
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

Up = Annotated[
    str | None, option("--up AXIS", "Which axis is up: of SMPL .npz z (AMASS) or y, of .bvh, .glb, .npy x, y, z, -x...")
]
Unit = Annotated[
    str | None, option("--unit UNIT", ".bvh, .glb: of the root's places, .npy: of positions; m, cm, mm, in, ft ...")
]
JointMap = Annotated[
    Path | None, option("--map FILE", ".bvh, .glb: .json, .yaml of our joints and the file's: {\"l_hip\": \"Leg1\"}.")
]
FromFps = Annotated[
    float | None, option("--from-fps F", "Frame rate of .amc (else 120), .npy of positions (20), MediaPipe .npz (30).")
]
Animation = Annotated[
    str | None, option("--animation NAME", ".glb, .gltf: which of several animations; also FILE#NAME.")
]


UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
RIGS = (".amc", ".bvh", ".fbx", ".glb", ".gltf", ".usd", ".usda", ".usdc", ".usdz", ".vrm")  # files of any skeleton


def unit_of(text: str | None) -> float | None:
    """Metres, of ``--unit``."""
    from vqvae.io.data_files import finite_number

    if text is None:
        return None
    try:
        value = UNITS[text] if text in UNITS else finite_number(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise UserError(f"--unit {text}; accepted {', '.join(UNITS)}, or metres above 0")
    return value


def joints_of(path: Path | None) -> dict[str, str] | None:
    """Our joints and those of a file, of ``--map``."""
    from vqvae.io.data_files import read_yaml

    if path is None:
        return None
    value = read_yaml(path)
    if not isinstance(value, dict) or not value or not all(isinstance(x, str) for kv in value.items() for x in kv):
        raise UserError(f"{path}: no table of joints; accepted our joints with the file's, as {{\"l_hip\": \"Leg1\"}}")
    return value


def load_motion(
    path: Path, up: str | None = None, fps: float | None = None, avatars: bool = False, animation: str | None = None,
    unit: str | None = None, joints: Path | None = None,
) -> Any:  # fmt: skip
    """A file's motion, body or face, with the values of the options that say how it is read."""
    from avatargpt import export
    from instruct_data.sources.face_files import mediapipe_kind
    from vqvae.io.kimodo import is_kimodo
    from vqvae.motion import MAX_FPS, MIN_FPS

    common.check_range("--from-fps", fps, MIN_FPS, MAX_FPS, " frames per second")
    file, named = export.split_animation_name(path)
    suffix = regular_file(file).suffix.lower()
    if animation is not None and (suffix not in export.PACKS or named is not None):
        reason = "other files hold one motion" if named is None else "the file's name says one already"
        raise UserError(f"{path}: --animation goes with {' and '.join(export.PACKS)}; {reason}")
    mediapipe, says_rate = mediapipe_kind(file) if suffix == ".npz" else (False, True)
    check_rig_options(path, suffix, up if suffix != ".npz" else None, unit, joints)
    kimodo = suffix == ".npz" and is_kimodo(file)
    if fps is not None and suffix not in (".amc", ".npy") and not mediapipe and not kimodo:
        having = ".amc, .npy, MediaPipe's and kimodo's .npz"
        raise UserError(f"{path}: --from-fps goes with {having}; other files say it themselves")
    options = {"up": up, "fps": fps, "animation": animation, "unit": unit_of(unit), "joints": joints_of(joints)}
    motion = export.load(path, **{k: v for k, v in options.items() if v is not None})
    for line in getattr(motion, "notes", ()):
        note(f"{path}: {line}")
    if motion.modality == "avatar" and not avatars:
        separately = "`avatargpt export` writes them apart, as .bvh and .csv"
        raise UserError(f"{path}: an avatar; accepted a body or a face ({separately})")
    lacking = not says_rate and (kimodo or (mediapipe and motion.modality == "face"))
    if fps is None and (suffix == ".amc" or lacking):
        note(f"{path}: says no frame rate; {motion.fps:g} a second are taken (export, describe: --from-fps)")
    return motion


def check_rig_options(path: Path, suffix: str, up: str | None, unit: str | None, joints: Path | None) -> None:
    """Refuse what goes with files of any skeleton alone."""
    for name, value in (("--up", up), ("--unit", unit), ("--map", joints)):
        also = {"--up": (".c3d", ".npy"), "--unit": (".npy",), "--map": ()}[name]
        if value is not None and suffix not in (*RIGS, *also):
            listed = "".join(f"{s}, " for s in (*also, *((".npz",) if name == "--up" else ())))
            raise UserError(f"{path}: {name} goes with {listed}{', '.join(RIGS)}; other files say it themselves")


def name_of(path: Path, animation: str | None = None) -> str:
    """The name of a motion: that of its file, or in a pack of its animation."""
    from avatargpt import export

    file, named = export.split_animation_name(path)
    return animation or named or PureWindowsPath(file.name).stem  # a backslash separates, too


def load_body(path: Path, animation: str | None = None) -> Motion:
    """A file's body motion."""
    motion: Motion = load_motion(path, animation=animation)
    if motion.modality != "body":
        raise UserError(f"{path}: a {motion.modality}; accepted a body motion")
    return motion


def note_rate(path: Path, motion: Motion | FaceMotion) -> None:
    """Say on stderr where a body's result has another frame rate than its file."""
    from vqvae import modalities

    fps = modalities.get("body").fps
    if motion.modality == "body" and abs(motion.fps - fps) > 1e-3 * fps:
        note(f"{path}: {motion.fps:.4g} frames a second; the result has {fps:g}")


def note_floor(path: Path, motion: Motion | FaceMotion | AvatarMotion) -> None:
    """Say on stderr where a body stands on another floor than y = 0."""
    from vqvae.ground import floor_of
    from vqvae.motion import Motion

    body = getattr(motion, "body", motion)  # of an avatar
    floor = floor_of(body) if isinstance(body, Motion) else 0.0
    if floor:
        note(f"{path}: the floor is taken to be at y = {floor:.2f} m")


_LAYOUT = ".npz: motion, smplx; .npy: hml263, pos7; .json, .csv, .bvh, .vrma: docs/avatar_formats.md."
File = Annotated[Path, argument("FILE", "A motion: .npz, .bvh and others.")]
Text = Annotated[str | None, option("--text TEXT", "One movement of the new part; @FILE gives one per line.")]


@takes("describe")
def describe(
    files: Annotated[list[Path], argument("FILE...", "Motions: .npz, .bvh and others.")],
    asked: dict[str, Any],
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", "Of an avatar: what it says.")] = None,
    asr: speech.Asr = None,
    up: Up = None,
    unit: Unit = None,
    joints: JointMap = None,
    from_fps: FromFps = None,
    animation: Animation = None,
    adapter: common.Adapter = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Motion to text, of bodies, of faces and of avatars.

    One FILE: a sentence per line. Several: FILE, a tab, the sentence. Of an avatar the sentence says what it does, says
    and feels; its words come with --transcript, or from Whisper where it has a sound.
    """
    from avatargpt.verbs.describe import DescribeRequest, check_kinds
    from avatargpt.verbs.request import make_request, values_of

    motions: list[Any] = [load_motion(path, up, from_fps, True, animation, unit, joints) for path in files]
    kinds = [m.modality for m in motions]
    if (transcript is not None or asr is not None) and kinds != ["avatar"]:
        raise UserError(f"{files[0]}: --transcript and --asr go with one avatar")
    request = make_request(DescribeRequest, motions, **asked)
    check_kinds(request, kinds, list(map(str, files)))
    for path, motion in zip(files, motions, strict=True):
        note_floor(path, motion)
    said = [_words(m, transcript, asr, model, quiet) if m.modality == "avatar" else "" for m in motions]
    loaded = common.load_model(model, device, threads, quiet, dtype, adapter)
    with common.progress("describing", quiet):
        answers = loaded.describe(**values_of(replace(request, transcript=said)))
    sentences = [[a] if isinstance(a, str) else list(a) for a in answers]
    if as_json:
        rows = [{"file": str(f), "descriptions": s} for f, s in zip(files, sentences, strict=True)]
        common.print_json({"results": rows})
        return
    for path, lines in zip(files, sentences, strict=True):
        for sentence in lines:
            common.say(sentence if len(files) == 1 else f"{path}\t{sentence}")


def _words(avatar: AvatarMotion, transcript: str | None, asr: str | None, model: Path | None, quiet: bool) -> str:
    """What an avatar says, empty where that is not known; why is printed."""
    from avatargpt.speech.transcripts import parse_transcript

    if transcript is not None:
        text, timed = parse_transcript(transcript)
        return text.strip() if timed is None else " ".join(w.text for w in timed.words)
    if avatar.sound is None or not avatar.sound.is_file():
        return ""
    heard, _ = speech.words_in(avatar.sound, None, asr, model, quiet)
    return "" if heard is None else " ".join(w.text for w in heard.words)


@takes("inbetween")
def inbetween(
    start: Annotated[Path, argument("START", "The motion before; PACK.glb#NAME: one of several.")],
    end: Annotated[Path, argument("END", "The motion after.")],
    output: common.Outputs,
    asked: dict[str, Any],
    text: Text = None,
    character: common.Character = None,
    root: common.Root = "hips",
    adapter: common.Adapter = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Fill the gap between two motions, of bodies or of faces.

    The result holds START, the new middle and END; a body's END is moved to where the middle arrives. Bodies come at
    20 frames a second. The middle of two faces has at most 7.2 s. TEXT goes to the network as it stands: one movement,
    for which less than a second is hardly room; where it hardly shows, a warning says so.
    """
    from avatargpt.verbs.join import InbetweenRequest
    from avatargpt.verbs.request import make_request

    texts, many = _texts(text)
    first, last = load_motion(start), load_motion(end)
    request = make_request(InbetweenRequest, first, last, **asked)
    if first.modality != last.modality:
        raise UserError(f"{end}: a {last.modality} after a {first.modality}; accepted: two of one kind")
    common.check_targets(output, many, first.modality, (start, end), len(texts), character)
    on = common.on_character(character, root, first.modality)
    for path, motion in ((start, first), (end, last)):
        note_rate(path, motion)
        note_floor(path, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype, adapter)
    motions = _for_texts(loaded.in_between, request, texts, "filling in", quiet)
    notes = [list(getattr(m, "notes", ())) for m in motions]
    for line in dict.fromkeys(line for lines in notes for line in lines):
        note(line)
    written = common.write_results(output, motions, many, on)
    common.print_results(motions, written, as_json, [{"notes": lines} if lines else {} for lines in notes])


@takes("extend")
def extend(
    file: File,
    output: common.Outputs,
    asked: dict[str, Any],
    text: Text = None,
    animation: Animation = None,
    character: common.Character = None,
    root: common.Root = "hips",
    adapter: common.Adapter = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Continue a motion.

    The result holds FILE and the continuation, at 20 frames a second. TEXT goes to the network as it stands: one
    movement, without degrees of turns and shapes of paths; where it hardly shows, a warning says so.
    """
    from avatargpt.verbs.join import ExtendRequest
    from avatargpt.verbs.request import make_request

    texts, many = _texts(text)
    common.check_targets(output, many, "body", (file,), len(texts), character)
    on = common.on_character(character, root, "body")
    motion = load_body(file, animation)
    request = make_request(ExtendRequest, motion, **asked)
    note_rate(file, motion)
    note_floor(file, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype, adapter)
    motions = _for_texts(loaded.extend, request, texts, "continuing", quiet)
    common.print_results(motions, common.write_results(output, motions, many, on), as_json)


def _texts(text: str | None) -> tuple[list[str], bool]:
    return ([""], False) if text is None else common.read_texts(text)


def _for_texts(make: Callable[..., Any], request: Any, texts: list[str], label: str, quiet: bool) -> list[Any]:
    """The motion of every text, of a method of the model that takes a request."""
    from avatargpt.verbs.request import values_of

    tracked = common.show_progress(texts, len(texts), label, quiet)
    return [make(**values_of(replace(request, text=words))) for words in tracked]


def reconstruct(
    file: File,
    output: common.Outputs,
    animation: Animation = None,
    character: common.Character = None,
    root: common.Root = "hips",
    adapter: common.Adapter = None,
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """A motion through its tokens and back, with the error.

    Prints the mean joint error in the body's own frame and the drift of its path, both in mm.
    """
    common.check_targets(output, False, "body", (file,), character=character)
    on = common.on_character(character, root, "body")
    motion = load_body(file, animation)
    note_floor(file, motion)
    loaded = common.load_model(model, device, threads, quiet, dtype, adapter)
    with common.progress("reconstructing", quiet):
        rebuilt, figures = loaded.reconstruct(motion)
    written = common.write_results(output, [rebuilt], False, on)[0]
    if as_json:
        common.print_json({"file": str(file), "files": written, **figures})
        return
    for key, value in figures.items():
        name, unit = (key[:-3], " mm") if key.endswith("_mm") else (key, "")
        number = f"{value:.1f}" if isinstance(value, float) else str(value)
        common.say(f"{name.replace('_', ' ')}: {number}{unit}")
    for name in written:
        common.say(name)


def export(
    source: Annotated[Path, argument("IN", "A motion file.")],
    targets: Annotated[list[Path], argument("OUT...", "Files to write; the suffix is the format.")],
    fps: Annotated[float | None, option("--fps F", "Change the frame rate first.")] = None,
    layout: Annotated[str | None, option("--layout NAME", _LAYOUT)] = None,
    names: live.Names = None,
    avatar: live.AvatarOption = None,
    scale: Annotated[float | None, option("--scale X", ".bvh: units per metre, 100 for centimetres.")] = None,
    up: Up = None,
    unit: Unit = None,
    joints: JointMap = None,
    from_fps: FromFps = None,
    animation: Animation = None,
    character: common.Character = None,
    root: common.Root = "hips",
    size: Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=4096)] = None,
    as_json: common.Json = False,
) -> None:
    """Convert a motion file; no model is needed."""
    common.check_range("--fps", fps, *FPS, " frames per second")
    common.check_range("--scale", scale, 0.001, 10_000, " units per metre")
    options = {k: v for k, v in {"layout": layout, "scale": scale, "size": size}.items() if v is not None}
    common.check_targets(targets, many=False, sources=(source,), character=character)
    if (chosen := live.expression_names(names, avatar, targets, None)[0]) is not None:
        options = common.vrma_options(chosen) | options
    motion = load_motion(source, up, from_fps, True, animation, unit, joints)
    options |= common.on_character(character, root, motion.modality)
    if character is not None:
        note_floor(source, motion)
    if any(t.suffix.lower() == common.SHEET for t in targets) and not motion.caption:
        name = name_of(source, animation)
        # a name may be no UTF-8
        motion = motion.with_caption(name.encode(errors="replace").decode())
    if fps is not None:
        motion = motion.resampled(fps)
    common.print_results([motion], common.write_results(targets, [motion], many=False, options=options), as_json)
