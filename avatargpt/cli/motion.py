"""``avatargpt describe``, ``inbetween``, ``extend``, ``reconstruct``, ``export``: commands that read motion files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common, live, speech
from avatargpt.cli.common import Output, argument, note, option, takes
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
    Path | None, option("--map FILE", '.bvh, .glb: .json, .yaml of our joints and the file\'s: {"l_hip": "Leg1"}.')
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
        raise UserError(f'{path}: no table of joints; accepted our joints with the file\'s, as {{"l_hip": "Leg1"}}')
    return value


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is read, where it does not say so itself."""

    up: Up = None
    unit: Unit = None
    joints: JointMap = None
    from_fps: FromFps = None
    animation: Animation = None

    def load(self, path: Path) -> Any:
        """A file's motion: a body, a face or an avatar."""
        from avatargpt import export
        from instruct_data.sources.face_files import mediapipe_kind
        from vqvae.io.kimodo import is_kimodo
        from vqvae.motion import MAX_FPS, MIN_FPS

        common.check_range("--from-fps", self.from_fps, MIN_FPS, MAX_FPS, " frames per second")
        file, named = export.split_animation_name(path)
        suffix = regular_file(file).suffix.lower()
        if self.animation is not None and (suffix not in export.PACKS or named is not None):
            reason = "other files hold one motion" if named is None else "the file's name says one already"
            raise UserError(f"{path}: --animation goes with {' and '.join(export.PACKS)}; {reason}")
        mediapipe, says_rate = mediapipe_kind(file) if suffix == ".npz" else (False, True)
        rig_options = {"--up": self.up if suffix != ".npz" else None, "--unit": self.unit, "--map": self.joints}
        for name, value in rig_options.items():
            also = {"--up": (".c3d", ".npy"), "--unit": (".npy",), "--map": ()}[name]
            if value is not None and suffix not in (*RIGS, *also):
                listed = "".join(f"{s}, " for s in (*also, *((".npz",) if name == "--up" else ())))
                raise UserError(f"{path}: {name} goes with {listed}{', '.join(RIGS)}; other files say it themselves")
        kimodo = suffix == ".npz" and is_kimodo(file)
        if self.from_fps is not None and suffix not in (".amc", ".npy") and not mediapipe and not kimodo:
            having = ".amc, .npy, MediaPipe's and kimodo's .npz"
            raise UserError(f"{path}: --from-fps goes with {having}; other files say it themselves")
        options = {"up": self.up, "fps": self.from_fps, "animation": self.animation, "unit": unit_of(self.unit),
                   "joints": joints_of(self.joints)}  # fmt: skip
        motion = export.load(path, **{k: v for k, v in options.items() if v is not None})
        for line in getattr(motion, "notes", ()):
            note(f"{path}: {line}")
        lacking = not says_rate and (kimodo or (mediapipe and motion.modality == "face"))
        if self.from_fps is None and (suffix == ".amc" or lacking):
            note(f"{path}: says no frame rate; {motion.fps:g} a second are taken (export, describe: --from-fps)")
        return motion


def load_single(path: Path, animation: str | None = None, body: bool = True) -> Any:
    """A file's motion that is one body, or where not `body` one face."""
    motion = Reading(animation=animation).load(path)
    if motion.modality == "avatar":
        separately = "`avatargpt export` writes them apart, as .bvh and .csv"
        raise UserError(f"{path}: an avatar; accepted a body or a face ({separately})")
    if body and motion.modality != "body":
        raise UserError(f"{path}: a {motion.modality}; accepted a body motion")
    return motion


def name_of(path: Path, animation: str | None = None) -> str:
    """The name of a motion: that of its file, or in a pack of its animation."""
    from avatargpt import export

    file, named = export.split_animation_name(path)
    return animation or named or PureWindowsPath(file.name).stem  # a backslash separates, too


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


File = Annotated[Path, argument("FILE", "A motion: .npz, .bvh and others.")]
Text = Annotated[str | None, option("--text TEXT", "One movement of the new part; @FILE gives one per line.")]


@takes("describe")
def describe(
    files: Annotated[list[Path], argument("FILE...", "Motions: .npz, .bvh and others.")],
    *,
    asked: dict[str, Any],
    transcript: Annotated[str | None, option("--transcript TEXT|FILE", "Of an avatar: what it says.")] = None,
    asr: speech.Asr = None,
    reading: Reading,
    setup: common.Setup,
) -> None:
    """Motion to text, of bodies, of faces and of avatars.

    One FILE: a sentence per line. Several: FILE, a tab, the sentence. Of an avatar the sentence says what it does, says
    and feels; its words come with --transcript, or from Whisper where it has a sound.
    """
    from avatargpt.verbs.describe import DescribeRequest, check_kinds
    from avatargpt.verbs.request import make_request, values_of

    motions: list[Any] = [reading.load(path) for path in files]
    kinds = [m.modality for m in motions]
    if (transcript is not None or asr is not None) and kinds != ["avatar"]:
        raise UserError(f"{files[0]}: --transcript and --asr go with one avatar")
    request = make_request(DescribeRequest, motions, **asked)
    check_kinds(request, kinds, list(map(str, files)))
    for path, motion in zip(files, motions, strict=True):
        note_floor(path, motion)
    said = [_words(m, transcript, asr, setup) if m.modality == "avatar" else "" for m in motions]
    loaded = setup.load()
    with common.progress("describing", setup.quiet):
        answers = loaded.describe(**values_of(replace(request, transcript=said)))
    sentences = [[a] if isinstance(a, str) else list(a) for a in answers]
    if setup.as_json:
        rows = [{"file": str(f), "descriptions": s} for f, s in zip(files, sentences, strict=True)]
        common.print_json({"results": rows})
        return
    for path, lines in zip(files, sentences, strict=True):
        for sentence in lines:
            common.say(sentence if len(files) == 1 else f"{path}\t{sentence}")


def _words(avatar: AvatarMotion, transcript: str | None, asr: str | None, setup: common.Setup) -> str:
    """What an avatar says, empty where that is not known; why is printed."""
    from avatargpt.speech.transcripts import parse_transcript

    if transcript is not None:
        text, timed = parse_transcript(transcript)
        return text.strip() if timed is None else " ".join(w.text for w in timed.words)
    if avatar.sound is None or not avatar.sound.is_file():
        return ""
    heard, _ = speech.words_in(avatar.sound, None, asr, setup)
    return "" if heard is None else " ".join(w.text for w in heard.words)


@takes("inbetween")
def inbetween(
    start: Annotated[Path, argument("START", "The motion before; PACK.glb#NAME: one of several.")],
    end: Annotated[Path, argument("END", "The motion after.")],
    output: common.Outputs,
    *,
    asked: dict[str, Any],
    text: Text = None,
    worn: common.Worn,
    setup: common.Setup,
) -> None:
    """Fill the gap between two motions, of bodies or of faces.

    The result holds START, the new middle and END; a body's END is moved to where the middle arrives. Bodies come at
    20 frames a second. The middle of two faces has at most 7.2 s. TEXT goes to the network as it stands: one movement,
    for which less than a second is hardly room; where it may not show, a warning says so.
    """
    from avatargpt.verbs.join import InbetweenRequest, check_kinds
    from avatargpt.verbs.request import make_request

    texts, many = ([""], False) if text is None else common.read_texts(text)
    first, last = (load_single(path, body=False) for path in (start, end))
    request = make_request(InbetweenRequest, first, last, **asked)
    check_kinds(first, last, f"{end}: ")
    out = Output.check(output, first.modality, setup, worn, (start, end), many, len(texts))
    for path, motion in ((start, first), (end, last)):
        note_rate(path, motion)
        note_floor(path, motion)
    out.finish(_for_texts(setup.load().in_between, request, texts, "filling in", setup.quiet))


@takes("extend")
def extend(
    file: File,
    output: common.Outputs,
    *,
    asked: dict[str, Any],
    text: Text = None,
    animation: Animation = None,
    worn: common.Worn,
    setup: common.Setup,
) -> None:
    """Continue a motion.

    The result holds FILE and the continuation, at 20 frames a second. TEXT goes to the network as it stands: one
    movement, without degrees of turns and shapes of paths; where it may not show, a warning says so.
    """
    from avatargpt.verbs.join import ExtendRequest
    from avatargpt.verbs.request import make_request

    texts, many = ([""], False) if text is None else common.read_texts(text)
    out = Output.check(output, "body", setup, worn, (file,), many, len(texts))
    motion = load_single(file, animation)
    request = make_request(ExtendRequest, motion, **asked)
    note_rate(file, motion)
    note_floor(file, motion)
    out.finish(_for_texts(setup.load().extend, request, texts, "continuing", setup.quiet))


def _for_texts(make: Callable[..., Any], request: Any, texts: list[str], label: str, quiet: bool) -> list[Any]:
    """The motion of every text, of a method of the model that takes a request."""
    from avatargpt.verbs.request import values_of

    tracked = common.show_progress(texts, len(texts), label, quiet)
    return [make(**values_of(replace(request, text=words))) for words in tracked]


def reconstruct(
    file: File,
    output: common.Outputs,
    *,
    animation: Animation = None,
    worn: common.Worn,
    setup: common.Setup,
) -> None:
    """A motion through its tokens and back, with the error.

    Prints the mean joint error in the body's own frame and the drift of its path, both in mm.
    """
    out = Output.check(output, "body", setup, worn, (file,))
    motion = load_single(file, animation)
    note_floor(file, motion)
    loaded = setup.load()
    with common.progress("reconstructing", setup.quiet):
        rebuilt, figures = loaded.reconstruct(motion)
    written = common.write_results(output, [rebuilt], False, out.options)[0]
    if setup.as_json:
        common.print_json({"file": str(file), "files": written, **figures})
        return
    for key, value in figures.items():
        name, unit = (key[:-3], " mm") if key.endswith("_mm") else (key, "")
        number = f"{value:.1f}" if isinstance(value, float) else str(value)
        common.say(f"{name.replace('_', ' ')}: {number}{unit}")
    for name in written:
        common.say(name)


@takes("export")
def export(
    file: Annotated[Path, argument("IN", "A motion file.")],
    targets: Annotated[list[Path], argument("OUT...", "Files to write; the suffix is the format.")],
    *,
    asked: dict[str, Any],
    names: live.Names = None,
    avatar: live.AvatarOption = None,
    reading: Reading,
    worn: common.Worn,
    as_json: common.Json = False,
) -> None:
    """Convert a motion file; no model is needed."""
    from avatargpt.verbs.files import ExportRequest
    from avatargpt.verbs.request import make_request

    request = make_request(ExportRequest, file, **asked)
    options = request.options
    common.check_targets(targets, many=False, sources=(file,), character=worn.character)
    if (chosen := live.expression_names(names, avatar, targets, None)[0]) is not None:
        options = common.vrma_options(chosen) | options
    motion = reading.load(file)
    options |= worn.options(motion.modality)
    if worn.character is not None:
        note_floor(file, motion)
    if any(t.suffix.lower() == common.SHEET for t in targets) and not motion.caption:
        # a name may be no UTF-8
        motion = motion.with_caption(name_of(file, reading.animation).encode(errors="replace").decode())
    if request.fps is not None:
        motion = motion.resampled(request.fps)
    files = common.write_results(targets, [motion], many=False, options=[options] * len(targets))
    common.print_results([motion], files, as_json)
