"""Small good files of every format that is read, made anew, and a model that answers at once."""

import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.options import GenerationConfig
from tests.cli.conftest import FakeAvatarGPT
from tests.clips import gliding
from tests.export.test_usd import write_usd
from tests.vqvae.c3d_files import markers_of, write_c3d
from tests.vqvae.test_ase import skeleton_motion
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.motion import Motion

SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".aiff")


def body(frames: int = 12) -> Motion:
    return gliding(frames, caption="a person walks")


def gesture(frames: int = 12) -> Motion:
    """The body, talking, with fingers that close."""
    moved = body(frames)
    turns = rot.from_axis_angle(np.linspace(0, 1, frames)[:, None, None] * np.array([0, 0, -1.0]))
    fingers = np.broadcast_to(turns, (frames, 30, 4))
    return Motion(moved.rotations, moved.root, 30.0, "gesture", "a person talks", fingers=fingers)


def face(frames: int = 6) -> FaceMotion:
    """A jaw that opens, a head that turns."""
    t = np.arange(frames) / 30
    weights = np.zeros((frames, arkit.COUNT))
    weights[:, arkit.INDEX["jawOpen"]] = 0.5 + 0.4 * np.sin(9 * t)
    return FaceMotion(weights, np.stack([0.2 * np.sin(4 * t), 0 * t, 0 * t], 1), caption="someone talks")


class Motions(FakeAvatarGPT):
    """Clips of a second or two, whatever is asked for; also for a conversation."""

    grounder = phrase_index = None
    source = ""

    def generate(self, texts: Any, seconds: Any = None, config: Any = None, *_: Any, seed: int = 0, **__: Any) -> Any:
        return super().generate(texts, None, config or GenerationConfig(seed))

    def extend(self, motion: Motion, seconds: float, **options: Any) -> Motion:
        return super().extend(motion, 1.0, **options)

    def in_between(self, start: Motion, end: Motion, seconds: float, **options: Any) -> Motion:
        return super().in_between(start, end, 1.0, **options)


def write_motions(folder: Path) -> dict[str, Path]:
    """Format -> file."""
    from avatargpt import export

    out: dict[str, Path] = {}
    for name, motion, options in (
        ("body.npz", body(), {}), ("smplx.npz", body(), {"layout": "smplx"}), ("body.bvh", body(), {}),
        ("body.glb", body(), {}), ("hml263.npy", body(), {}), ("pos7.npy", body(), {"layout": "pos7"}),
        ("gesture.npz", gesture(), {}), ("gesture.bvh", gesture(), {}), ("gesture.glb", gesture(), {}),
        ("nine.npy", gesture(), {"layout": "pos7"}), ("hands.npz", gesture(), {"layout": "smplx"}),
        ("face.npz", face(), {}), ("face.glb", face(), {}), ("face.vrma", face(), {}), ("face.csv", face(), {}),
        ("audio2face.json", face(), {}), ("beat.json", face(), {"layout": "beat"}),
        *((f"{layout}.json", face(), {"layout": layout}) for layout in ("oculus", "azure", "azure_shapes")),
    ):  # fmt: skip
        out[name] = export.save(motion, folder / name, **options)
    names = np.zeros((6, 52))
    mediapipe = folder / "mediapipe.npz"
    np.savez(mediapipe, blendshapes=names, head_angles=np.zeros((6, 3)), bad_frames=np.array([2]), fps=30.0)
    places, turns = body().skeleton.fk_full(body().rotations, body().root)
    kimodo = folder / "kimodo.npz"
    np.savez(kimodo, posed_joints=places, global_rot_mats=turns)
    packed = folder / "packed.npz"
    np.save(folder / "ase.npy", skeleton_motion(True), allow_pickle=True)
    np.save(folder / "joints.npy", body().joints)
    marked = markers_of(body(4))
    write_c3d(folder / "floats.c3d", marked)
    write_c3d(folder / "integers.c3d", {k: 1000 * v for k, v in marked.items()}, machine=86, scaled=True)
    if find_spec("pxr"):
        for suffix in (".usda", ".usdc"):
            write_usd(folder / f"rig{suffix}", frames=4)
    with np.load(out["body.npz"]) as arrays:
        np.savez_compressed(packed, **arrays)
    return {**out, "mediapipe.npz": mediapipe, "kimodo.npz": kimodo, "packed.npz": packed, **_packs(folder)}


def _packs(folder: Path) -> dict[str, Path]:
    """Other programs' rigs: two animations of which one is asked for, and one with its buffer inside."""
    from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, bone_axes, motion

    rigs = {name: as_rig(motion(8, seed), CONVENTIONS["unreal"]) for seed, name in enumerate(("Walk", "Wave"))}
    single = GltfFile({"Walk": rigs["Walk"]}, skin=False)
    return {"pack.glb": GltfFile(rigs, bone_axes()).save(folder / "pack.glb"),
            "rig.gltf": single.save(folder / "rig.gltf", "data:")}  # fmt: skip


def write_named_gestures(folder: Path) -> None:
    """Two clips in the layout of `instruct_data.sources.packs`."""
    from vqvae.skeleton import FINGER_NAMES, SMPL22

    moved, row = gesture(), {
        "id": "a", "set": "s", "performer_skeleton": "ChrConnor", "posture": None, "index": 0, "gesture": "Chop",
        "hand": "left", "sync": {"emphasis": 0.2}, "max_step_deg": 3.0,
    }  # fmt: skip
    assert moved.fingers is not None
    both = {"rot": moved.rotations, "fingers": moved.fingers}
    ints = {k: np.round(32767 * v).astype(np.int16) for k, v in both.items()}
    np.savez(folder / "motions.npz", root=moved.root, offsets=np.array([0, 5, len(moved)]), **ints)
    rows = (row, row | {"id": "b", "index": 1, "hand": None})
    (folder / "clips.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    names = {"body": list(SMPL22.names), "fingers": list(FINGER_NAMES), "fps": 30}
    (folder / "joints.json").write_text(json.dumps(names))


def write_sounds(folder: Path) -> dict[str, Path]:
    """Suffix -> a file of half a second."""
    import soundfile

    t = np.arange(8000) / 16000
    sound = (0.3 * np.sin(2 * np.pi * 150 * t)).astype(np.float32)
    out = {}
    for suffix in SOUNDS:
        out[suffix] = folder / f"sound{suffix}"
        soundfile.write(out[suffix], sound, 16000)
    return out


def write_networks(folder: Path) -> Path:
    """A model folder of the smallest networks, with the shipped files that are small."""
    import shutil

    import torch

    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
    from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
    from avatargpt.face.instructions.parser import InstructionParser
    from avatargpt.face.portrait import Portrait, PortraitNetwork, PortraitShape
    from avatargpt.kinematics.measures import SIZE
    from avatargpt.lm.checkpoint import save_model, save_small
    from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
    from avatargpt.lm.scorer import ScorerNetwork, TextMotionScorer
    from avatargpt.metrics.evaluator import EvaluatorNetwork, MotionEvaluator
    from avatargpt.reading.network import ReadingConfig, ReadingNetwork
    from avatargpt.reading.store import save_apart, save_network
    from avatargpt.resources import weights
    from vqvae.networks import TokenizerConfig
    from vqvae.tokenizer import MotionTokenizer

    torch.manual_seed(0)
    MotionTokenizer(TokenizerConfig(code_dim=8, codebook_size=16, levels=2, width=16, fine_width=8)).save(
        folder / "body"
    )
    shape = {"vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2, "refiner_dim": 16,
             "refiner_layers": 1, "refiner_heads": 2, "grounding_dim": 12,
             "modalities": {"body": {"codebook_size": 16, "levels": 2, "code_dim": 8}}}  # fmt: skip
    model = AvatarGPTModel(AvatarGPTConfig(**shape))
    save_small(model, folder)
    save_model(model, folder / "whole")
    network = DriverNetwork(DriverConfig(width=8, hidden=8, dilations=[1], text_width=8, inject=1, gates="open"))
    Driver(network).save(folder / "driver")
    InstructionParser(
        ParserNetwork(ParserConfig(width=16, hidden=16, heads=2, decoder=1, layers=[6], rank=0))
    ).save(folder / "driver")
    Portrait(PortraitNetwork(PortraitShape(width=8, size=64))).save(folder)
    TextMotionScorer(ScorerNetwork(SIZE, 8, 8)).save(folder)
    MotionEvaluator(EvaluatorNetwork(8, 8, 8, 1)).save(folder)
    tables = {"actions": ["bow", "wave"], "faces": ["smile"]}
    small = ReadingConfig(hidden=32, heads=2, layers=1, wide=16, writer=[5], tables=tables, spoken=[1037, 2003])
    one, other = (ReadingNetwork(small, start=False) for _ in range(2))
    save_apart(one, other, "turn", folder / "reading", 4)
    save_network(one, folder / "reading")
    for name in ("spiece.model", "judge.json", *(f"{n}.safetensors" for n in ("planning", "wording"))):
        shutil.copy(weights() / name, folder / name)
    torch.save({"model": network.state_dict(), "step": 3, "optimizer": {"state": {}, "param_groups": []}},
               folder / "checkpoint.pt")  # fmt: skip
    return folder


def write_session(folder: Path) -> Path:
    """A conversation of three turns on disk; the folder."""
    from avatargpt.chat import Conversation
    from tests.chat.stand_ins import LineIntent

    talk = Conversation(Motions(), folder, intent=LineIntent())
    for turn in ("make: a person walks", "then: a person waves", "edit 1: slower"):
        talk.say(turn)
    return folder


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def result(value: int) -> bytes:
    rows = [{"prompt": "a", "kind": "side", "passed": [value, 1]}, {"prompt": "b", "kind": "turn", "passed": [1, 0]}]
    figures = {"pass_rate": {"mean": 0.5, "low": 0.1, "high": 0.9, "n": 2}}
    return json.dumps({"suite": "few", "version": 1, "results": figures, "prompts": rows}).encode()


SCORE = json.dumps({
    "text": "blink twice and smile", "kind": "seq", "length": 3.0, "id": "a",
    "events": [{"action": "blink", "start": 0.2, "duration": 0.4, "intensity": 0.8, "repeat": 2, "rise": 0.0}],
    "emotion": [{"name": "happy", "intensity": 0.7, "start": 0.0, "end": 3.0}],
})  # fmt: skip
PLAN = json.dumps({"activities": [{"task": "She walks.", "steps": ["she walks", "she sits down"]}]})
SKELETON = json.dumps({"joint_names": ["pelvis"], "offsets": [[0, 0, 0]], "parents": [-1]})
PROMPTS = (
    "a person walks forward, turns left 90 degrees and then sits down", "smile for 2 seconds, then blink twice slowly",
    "walk in a circle to the right while waving, then jump 3 times", "a cook prepares dinner for her friends",
    "gradually become angry and look away after 1.5 seconds", "raise your left eyebrow 3 times within 4 s 🙂",
)
CHAT = (
    "make: a person walks", "/save walk.npz", "/load body.npz", "/undo 2", "/seed 7", "/list", "then 3s: a person bows",
    "plan 2: a picnic", "edit 1: slower", "can you make the second one faster and save it as a.glb", "/help", "undo",
)
_WHISPER = {"segments": [
    {"start": 0.0, "end": 1.0, "text": " So it", "words": [
        {"word": " So", "start": 0.0, "end": 0.4, "probability": 0.8}, {"word": " it", "start": 0.4, "end": 0.6}]},
    {"start": 1.0, "end": 2.0, "text": " is"}]}  # fmt: skip
_SPHINX = {"b": 0.0, "d": 1.0, "p": 1.0, "t": "and", "w": [
    {"b": 0.2, "d": 0.2, "p": 0.97, "t": "and(2)", "w": [{"b": 0.2, "d": 0.2, "p": 0.9, "t": "AE"}]}]}  # fmt: skip
_MFA = {"tiers": {"words": {"type": "interval", "entries": [[0.1, 0.4, "cat"]]}, "phones": {
    "type": "interval", "entries": [[0.1, 0.2, "k"], [0.2, 0.4, "\u00e6"]]}}}  # fmt: skip
_TEXTGRID = ('File type = "ooTextFile"\nObject class = "TextGrid"\n0 2 <exists> 2\n"IntervalTier" "words" 0 2 2\n'
             '0 0.5 "say ""so"""\n0.5 2 "well"\n"TextTier" "clicks" 0 2 1\n0.7 "x"\n')  # fmt: skip
# suffix -> files of word times as other programs write them
WORDS = {
    ".TextGrid": [_TEXTGRID.encode(), _TEXTGRID.encode("utf-16")],
    ".srt": [b"1\n00:00:01,000 --> 00:00:02,000\n<i>oh</i>\n2\n00:00:02,000 --> 00:00:03,000\nwell, {\\an8}now\n",
             b"WEBVTT\n\n00:01.000 --> 00:03.000\n<c>one</c> <00:02.000>two\n"],
    ".json": [json.dumps(d).encode() for d in (_WHISPER, _SPHINX, _MFA, [{"word": "a", "start": 0, "end": 1}])],
    ".ctm": [b";; by hand\nrec A 0.50 0.25 hi 0.9\nrec A 0.75 0.25 <eps>\n"],
    ".csv": [b"Begin,End,Label,Type,Speaker\n0.1,0.4,cat,words,s\n0.1,0.2,K,phones,s\n"],
}  # fmt: skip
TRANSCRIPTS = ("Well, she [laughs] said no. Mr. O'Neil's bar opens at 10:05, for $3.50.", "the XKZ U.S.A. and nato")
ROWS = b'name,prompt,action,category\nx1,walk home,walk,gait\nx2,"run, fast",run,gait\n'
NAMES = b'{"x1": "walk home", "x2": "run, fast"}'
PROMPT_LIST = b'["walk home", {"prompt": "run, fast", "action": "run", "category": "gait"}]'
