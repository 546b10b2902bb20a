"""Every reader of every format, with what it is fed."""

import json
import lzma
import pickle
import shlex
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from tests.factories import HELLO_WORDS
from tests.fuzz import seeds
from tests.fuzz.running import STEERING, Target
from tests.fuzz.seeds import Motions
from tests.instruct_data import corpus_trees as trees
from vqvae.errors import UserError

VISEMES = ("oculus.json", "azure.json", "azure_shapes.json")
ROOT = Path(__file__).resolve().parents[2]


def all_targets(folder: Path) -> dict[str, Target]:
    """Name -> target; `folder` holds what `prepare` wrote."""
    groups = _motions, _gestures, _sounds, _words, _texts, _models, _corpora, _evaluation, _commands
    return {name: target for group in groups for name, target in group(folder).items()}


def prepare(folder: Path) -> None:
    """Write all good files (in a process of its own: torch's threads do not outlive a fork)."""
    for name, write in (("motions", seeds.write_motions), ("sounds", seeds.write_sounds),
                        ("models", seeds.write_networks), ("session", seeds.write_session),
                        ("named", seeds.write_named_gestures)):  # fmt: skip
        (folder / name).mkdir(parents=True)
        write(folder / name)


def _files(folder: Path, *names: str) -> list[bytes]:
    return [(folder / name).read_bytes() for name in names]


def _motions(folder: Path) -> dict[str, Target]:
    from avatargpt import export
    from avatargpt.export.avatar_file import read_avatar
    from tests.export.avatars import write_vrm

    def read(path: Path, **options: Any) -> None:
        motion = export.load(path, **options)
        values = (motion.rotations, motion.root) if motion.modality != "face" else (motion.weights, motion.head)
        assert all(np.isfinite(v).all() for v in values), "numbers that are not finite"
        assert 0 < motion.fps <= 1000 and len(motion) > 0

    def on_character(path: Path) -> None:
        export.save(seeds.body(2), path.with_name(f"moved{path.suffix}"), character=path)

    here = folder / "motions"
    npz = _files(here, "body.npz", "smplx.npz", "face.npz", "mediapipe.npz", "packed.npz", "gesture.npz",
                 "kimodo.npz")  # fmt: skip
    return {
        "npz": Target(npz, ".npz", read, share=3),
        "npy": Target(_files(here, "hml263.npy", "pos7.npy", "nine.npy", "joints.npy"), ".npy", read),
        "npy of ase": Target(_files(here, "ase.npy"), ".npy", read),
        "c3d": Target(_files(here, "floats.c3d", "integers.c3d"), ".c3d", read),
        "bvh": Target(_files(here, "body.bvh", "gesture.bvh"), ".bvh", read, True, 3),
        "glb": Target(_files(here, "body.glb", "gesture.glb"), ".glb", read, share=2),
        "glb of a face": Target(_files(here, "face.glb"), ".glb", read, share=0.5),
        "glb of another rig": Target(_files(here, "pack.glb"), ".glb", lambda p: read(p, animation="Walk")),
        "gltf of another rig": Target(_files(here, "rig.gltf"), ".gltf", read, True),
        "bvh of a character": Target(_files(here, "body.bvh"), ".bvh", on_character, True),
        "glb of a character": Target(_files(here, "body.glb", "pack.glb"), ".glb", on_character, share=2),
        "glb as text": Target(_files(here, "body.glb"), ".glb", read, True),
        "avatar": Target([write_vrm(here / f"{k}.vrm", k, k == 1).read_bytes() for k in (0, 1)], ".vrm",
                         lambda path: read_avatar(path).names, True, 2),
        "vrma": Target(_files(here, "face.vrma"), ".vrma", read, True, 2),
        "csv": Target(_files(here, "face.csv"), ".csv", read, True, 2),
        "json of a face": Target(_files(here, "audio2face.json", "beat.json", *VISEMES), ".json", read, True, 2),
        **({"usda": Target(_files(here, "rig.usda"), ".usda", read, True, 0.3),
            "usdc": Target(_files(here, "rig.usdc"), ".usdc", read, share=0.3)} if find_spec("pxr") else {}),
    }  # fmt: skip


def _gestures(folder: Path) -> dict[str, Target]:
    from instruct_data.sources.corpus import Report
    from instruct_data.sources.registry import read_corpus
    from vqvae.io.gltf_rigs import read_rigs
    from vqvae.io.smplx import read_smplx
    from vqvae.retarget import retarget

    def named(path: Path) -> None:
        for clip in read_corpus("smartbody", path.parent, Report()):
            clip.load()

    def rigs(path: Path) -> None:
        for rig in read_rigs(path):
            retarget(rig(), hands=True)

    here, place = folder / "motions", folder / "named"
    return {
        "named gestures": Target(_files(place, "clips.jsonl"), ".jsonl", named, True, 1, place, "clips.jsonl"),
        "arrays of gestures": Target(_files(place, "motions.npz"), ".npz", named, False, 1, place, "motions.npz"),
        "rigs of a glb": Target(_files(here, "gesture.glb"), ".glb", rigs),
        "hands of smplx": Target(_files(here, "hands.npz"), ".npz", lambda p: read_smplx(p, hands=True)),
    }  # fmt: skip


def _sounds(folder: Path) -> dict[str, Target]:
    from avatargpt.speech import audio

    def read(path: Path) -> None:
        samples, rate = audio.load(path)
        assert np.isfinite(samples).all()
        for _ in audio.FrameBlocks(rate).push(samples[: 4 * rate]):
            pass

    here = folder / "sounds"
    return {s[1:]: Target(_files(here, f"sound{s}"), s, read) for s in seeds.SOUNDS}


def _words(folder: Path) -> dict[str, Target]:
    from avatargpt.speech import word_files
    from avatargpt.speech.pronouncing import transcript_words

    def read(path: Path) -> None:
        words = word_files.read(path)
        for suffix in (".json", ".ctm"):  # what is read can be written, and read again
            again = word_files.read(word_files.write(words, path.with_name(f"again{suffix}")))
            assert len(again) == len(words)

    here = folder / "words"
    here.mkdir(exist_ok=True)
    forms = {s: word_files.write(HELLO_WORDS, here / f"words{s}").read_bytes() for s in word_files.WRITE_SUFFIXES}
    texts = [forms[".ctm"], *seeds.WORDS[".ctm"], *seeds.WORDS[".csv"]]
    return {
        "textgrid": Target([forms[".TextGrid"], *seeds.WORDS[".TextGrid"]], ".TextGrid", read, True),
        "subtitles": Target([forms[".srt"], forms[".vtt"], *seeds.WORDS[".srt"]], ".srt", read, True, 2),
        "json of words": Target([forms[".json"], *seeds.WORDS[".json"]], ".json", read, True, 2),
        "ctm and csv of words": Target(texts, ".ctm", read, True),
        "transcript": Target([t.encode() for t in seeds.TRANSCRIPTS], ".txt",
                             lambda p: transcript_words(word_files.read_text(p)), True),
    }  # fmt: skip


def _texts(folder: Path) -> dict[str, Target]:
    from avatargpt.chat.timeline import SessionStore as Session
    from avatargpt.cli.face import read_scores
    from avatargpt.cli.plan import _activities
    from avatargpt.config import resolve
    from avatargpt.evaluation.suites import read as read_suite
    from avatargpt.long.stream import read_parts
    from avatargpt.train.language import LanguageRecipe
    from avatargpt.train.tokenizer import TokenizerRecipe
    from instruct_data.factory.synth.loading import load_family
    from instruct_data.factory.text.captions import CaptionBank
    from instruct_data.registry import load_task
    from instruct_data.sources.quantised import read_quantised
    from instruct_data.store import Store
    from vqvae.io.data_files import json_rows, read_object
    from vqvae.io.pickles import read_pickle

    def recipe(kind: Any) -> Callable[[Path], object]:
        return lambda path: kind.read(resolve(path), str(path))

    def smallest(pattern: str, count: int = 4) -> list[bytes]:
        return [p.read_bytes() for p in sorted(ROOT.glob(pattern), key=lambda p: p.stat().st_size)[:count]]

    def session(path: Path) -> None:
        Session(path.parent).load()

    def corpus(path: Path) -> None:
        for clip in read_quantised(path.parent):
            clip.load()

    parts = folder / "run.parts"
    parts.mkdir(exist_ok=True)
    (parts / "000000.npz").write_bytes((folder / "motions" / "body.npz").read_bytes())
    return {
        "yaml of a language": Target(smallest("configs/language/*.yaml"), ".yaml", recipe(LanguageRecipe), True, 2),
        "yaml of a tokenizer": Target(smallest("configs/tokenizer/*.yaml"), ".yaml", recipe(TokenizerRecipe), True, 2),
        "yaml of a suite": Target(smallest("eval/suites/*.yaml"), ".yaml", read_suite, True),
        "yaml of a task": Target(smallest("instruct_data/tasks/*.yaml", 6), ".yaml", load_task, True, 2),
        "yaml of an action": Target(
            smallest("instruct_data/factory/synth/actions/*.yaml", 8), ".yaml", load_family, True, 3
        ),
        "override": Target([b"train.lr=1e-3", b"model.levels=[1, 2]", b"a.b={c: 1}"], ".txt",
                           lambda p: resolve(None, [p.read_text("utf-8", "surrogateescape")]), True),
        "score": Target([seeds.SCORE.encode()], ".json", read_scores, True, 2),
        "plan": Target([seeds.PLAN.encode()], ".json", _activities, True),
        "session": Target(_files(folder / "session", "session.json"), ".json", session, True, 2,
                          folder / "session", "session.json"),
        "config": Target(smallest("configs/deepspeed/*.json", 2), ".json", read_object, True),
        "skeleton": Target([seeds.SKELETON.encode()], ".json", corpus, True, 1, folder / "corpus", "skeleton.json"),
        "manifest": Target([b'{"format": 1, "kind": "motion", "shards": [{"file": "a.parquet", "sha256": "0"}]}'],
                           ".json", lambda p: Store.open(p.parent), True, 1, folder / "store", "manifest.json"),
        "head of a run": Target([b'{"scene": "a park", "fps": 20.0}'], ".json",
                                lambda p: read_parts(folder / "run.npz"), True, 1, parts, "about.json"),
        "captions": Target([b'{"actions": {"walk": ["{person} walks"]}, "styles": {}, "compose": ["{a}, then {b}"]}'],
                           ".json", CaptionBank, True),
        "words of a pickle": Target([pickle.dumps(["unk", "walk"], 0), pickle.dumps({"unk": 0, "walk": 300})], ".pkl",
                                    read_pickle),
        "packed json lines": Target([lzma.compress(b'{"a": 1}\n')], ".jsonl.xz", lambda p: list(json_rows(p))),
        "json lines": Target([b'{"a": 1}\n{"b": [1, 2]}\n'], ".jsonl", lambda p: list(json_rows(p)), True),
    }  # fmt: skip


def _models(folder: Path) -> dict[str, Target]:
    import torch

    from avatargpt.body.judge import StepJudge
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.instructions.parser import InstructionParser
    from avatargpt.face.portrait import Portrait
    from avatargpt.lm.checkpoint import load_model
    from avatargpt.lm.scorer import TextMotionScorer
    from avatargpt.lm.text_encoder import TextTokenizer
    from avatargpt.metrics.evaluator import MotionEvaluator
    from avatargpt.planning.library import PlanLibrary
    from avatargpt.reading.body import BodyReader
    from avatargpt.requests.phrase_index import PhraseIndex
    from avatargpt.train.checkpoints import load_checkpoint
    from vqvae.tokenizer import MotionTokenizer

    here = folder / "models"

    def within(place: str, name: str, read: Callable[[Path], object], text: bool, share: float = 1.0) -> Target:
        return Target(_files(here / place, name), Path(name).suffix, lambda p: read(p.parent), text, share,
                      here / place, name)  # fmt: skip

    def pieces(place: Path) -> None:
        text = TextTokenizer.load(place)
        text.decode(text.encode("a person walks, quickly"))

    def read_request(place: Path) -> None:
        reader = BodyReader.of(place)
        if reader is not None:
            reader.read("a person walks, then bows twice")

    return {
        "tokenizer.json": within("body", "tokenizer.json", MotionTokenizer.load, True),
        "tokenizer.safetensors": within("body", "tokenizer.safetensors", MotionTokenizer.load, False),
        "driver.json": within("driver", "driver.json", Driver.load, True),
        "driver.safetensors": within("driver", "driver.safetensors", Driver.load, False),
        "reader.json": within("driver", "reader.json", InstructionParser.load, True, 0.5),
        "config.json": within(".", "config.json", load_model, True),
        "model.int8.safetensors": within(".", "model.int8.safetensors", load_model, False),
        "config.json of a full model": within("whole", "config.json", load_model, True, 0.5),
        "model.safetensors": within("whole", "model.safetensors", load_model, False, 0.5),
        "portrait": within(".", "portrait.safetensors", Portrait.load, False),
        "matcher": within(".", "matcher.safetensors", TextMotionScorer.load, False),
        "evaluator": within(".", "evaluator.safetensors", MotionEvaluator.load, False),
        "judge": within(".", "judge.json", StepJudge.load, True),
        "planning": within(".", "planning.safetensors", PlanLibrary.load, False, 0.2),
        "wording": within(".", "wording.safetensors", PhraseIndex.load, False, 0.1),
        "reading.json": within("reading", "reading.json", read_request, True, 0.5),
        "reading": within("reading", "reading.safetensors", read_request, False, 0.2),
        "reading-turn": within("reading", "reading-turn.safetensors", read_request, False, 0.1),
        "reading-2": within("reading", "reading-2.safetensors", read_request, False, 0.1),
        "spiece.model": within(".", "spiece.model", pieces, False, 2),
        "checkpoint.pt": within(".", "checkpoint.pt", lambda p: load_checkpoint(p / "checkpoint.pt",
                                torch.device("cpu")), False, 2),
    }  # fmt: skip


def _corpora(folder: Path) -> dict[str, Target]:
    from avatargpt.gesture.speech_file import speech_rows
    from avatargpt.train.gesture.store_takes import corpus_words
    from instruct_data.sources.amass import labels
    from instruct_data.sources.corpus import Report
    from instruct_data.sources.humanml3d import read_index
    from instruct_data.sources.locomotion import frame_cuts
    from vqvae.io.asf import parse_amc, parse_asf, read_amc, read_asf
    from vqvae.io.data_files import read_object
    from vqvae.io.files import parsing
    from vqvae.io.smplx import read_parameters
    from vqvae.retarget import retarget
    from vqvae.rig import Rig

    here = folder / "corpora"
    trees.acclaim(here, trees.walking(4))
    trees.amass(here / "smplx.npz", 20.0, 0.5)
    asf, amc = (here / "01.asf").read_bytes(), (here / "01_01.amc").read_bytes()
    bones = parse_asf(asf.decode())

    def check(rig: Rig) -> None:
        assert np.isfinite(rig.rotations).all() and np.isfinite(rig.translations).all()
        retarget(rig)

    def skeleton(path: Path) -> None:
        read = read_asf(path)
        with parsing(path, "a skeleton of that motion"):
            check(parse_amc(amc.decode(), read, 120.0))

    def motion(path: Path) -> None:
        rig = read_amc(path, bones, 120.0)
        with parsing(path, "a motion of a body"):
            check(rig)

    def spans(path: Path) -> None:
        entry = read_object(path)
        with parsing(path, "a recording of BABEL"):
            labels(entry, Report())

    label = {"raw_label": "walk", "proc_label": "walk", "act_cat": ["walk"], "start_t": 0.5, "end_t": 2.0}
    recording = {"seq_ann": {"labels": [label]}, "frame_ann": {"labels": [label, label]}}
    index = b"source_path,start_frame,end_frame,new_name\n./pose_data/KIT/3/a_poses.npy,10,50,000000.npy\n"
    cuts = b"STYLE_NAME,FW_START,FW_STOP\nAngry,30,150\nOld,N/A,N/A\n"
    return {
        "asf": Target([asf], ".asf", skeleton, True),
        "amc": Target([amc], ".amc", motion, True),
        "index of humanml3d": Target([index], ".csv", read_index, True, 0.5),
        "words of genea": Target([b"0.1\t0.3\tWell,\n0.3\t0.8\tI think so\n"], ".tsv", corpus_words, True, 0.5),
        "features of a sound": Target([seeds.npy(np.ones((9, 4), np.float32))], ".npy",
                                      lambda p: speech_rows(p, 0.2, 6), share=0.5),
        "cuts of 100style": Target([cuts], ".csv", frame_cuts, True, 0.5),
        "labels of babel": Target([json.dumps(recording).encode()], ".json", spans, True, 0.5),
        "parameters of a body": Target([(here / "smplx.npz").read_bytes()], ".npz", read_parameters),
    }  # fmt: skip


def _evaluation(folder: Path) -> dict[str, Target]:
    from avatargpt.evaluation import cache, output_files
    from avatargpt.evaluation.output_files import read_names
    from avatargpt.evaluation.prompts import Answer, answer_of
    from avatargpt.evaluation.report import compare
    from avatargpt.evaluation.suites import read_list
    from tests.vqvae.rigs import ms272_of
    from vqvae.io.hml263 import HML263Features

    here, body = folder / "evaluation", seeds.body()
    here.mkdir(exist_ok=True)
    (here / "good.json").write_bytes(seeds.result(0))
    part = cache.save_answer(here / "part.npz", [answer_of(body), Answer(None, None, "no such motion")])
    arrays = [seeds.npy(a) for a in (body.joints, HML263Features().encode(body), ms272_of(body))]
    return {
        "outputs": Target(arrays, ".npy", output_files.read_body, share=2),
        "outputs with rotations": Target(arrays, ".npy", output_files.read_motion),
        "prompts as csv": Target([seeds.ROWS], ".csv", read_list, True),
        "prompts as json": Target([seeds.PROMPT_LIST], ".json", read_list, True),
        "names as csv": Target([seeds.ROWS], ".csv", read_names, True),
        "names as json": Target([seeds.NAMES], ".json", read_names, True),
        "result": Target([seeds.result(1)], ".json", lambda p: compare(here / "good.json", p), True, 2),
        "part of a run": Target([part.read_bytes()], ".npz", cache.load_answer),
    }  # fmt: skip


def _commands(folder: Path) -> dict[str, Target]:
    import avatargpt
    from avatargpt.__main__ import main
    from avatargpt.chat import Conversation
    from avatargpt.cli import common
    from avatargpt.planning.types import check_scene
    from avatargpt.requests.english import language_of
    from tests.chat.stand_ins import FakePlanner, LineIntent

    motions = folder / "motions"

    def prompt(path: Path) -> None:
        for text in common.read_texts(f"@{path}", emoji=True)[0]:
            language_of(text)
            check_scene(text)

    def run(argv: list[str]) -> None:
        """The command line in this process: one line of error at most, no defect, nothing that steers a terminal."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main(argv)
        output = out.getvalue() + err.getvalue()
        assert not {ord(c) for c in output} & STEERING, f"steers the terminal: {output[:200]!r}"
        if status:
            last = err.getvalue().strip().splitlines()
            assert status == 2 and last and last[-1].startswith("error: "), f"{status}: {output[:200]!r}"
            assert "defect" not in last[-1] and "Traceback" not in output, last[-1]
            raise UserError(last[-1])

    def command(path: Path) -> None:
        avatargpt.__dict__["AvatarGPT"] = Motions
        try:
            argv = shlex.split(path.read_text("utf-8", "surrogateescape").replace("\0", ""))
        except ValueError:
            raise UserError("no command line") from None
        if not {"--view", "long", "chat", "face", "eval", "info"} & {*argv}:
            run([a if not a.startswith(("/", "~", "..")) else "x" for a in argv][:20])

    def exported(path: Path) -> None:
        run(["export", str(path), str(path.with_name("out.npz"))])

    def chat(path: Path) -> None:
        talk = Conversation(Motions(), None, intent=LineIntent(), planner=FakePlanner(), outputs=path.parent)  # type: ignore[arg-type]
        for line in path.read_bytes()[:4000].decode("utf-8", "replace").splitlines()[:8]:
            if "/view" not in line and "/play" not in line:
                talk.say(line)

    clip = shlex.quote(str(motions / "body.npz"))
    lines = [
        f"export {clip} out.npz --fps 30", f"export {clip} out.bvh --scale 100", "generate 'a person walks' -o a.npz "
        "--seconds 2.5 --seed 7 -n 2 --guidance 1.5 --temperature 0.8", f"describe {clip} -n 3 --seed 5",
        f"extend {clip} 'a person sits' --seconds 2 -o b.npz --seed 3",
        f"inbetween {clip} {clip} --seconds 1.5 -o c.npz",
    ]  # fmt: skip
    texts = [t.encode() for t in seeds.PROMPTS]
    return {
        "prompts": Target([*texts, b"\n".join(texts)], ".txt", prompt, True, 3),
        "command lines": Target([line.encode() for line in lines], ".txt", command, True, 3),
        "export": Target(_files(motions, "body.bvh"), ".bvh", exported, True),
        "chat": Target(["\n".join(seeds.CHAT[i : i + 4]).encode() for i in range(0, 12, 4)], ".txt", chat, True, 3),
    }
