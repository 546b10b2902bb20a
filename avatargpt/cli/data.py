"""``avatargpt data``: corpora and the store that training reads."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, NamedTuple

import typer

from avatargpt.cli import common, exemplars
from avatargpt.cli.corpora.body import body
from avatargpt.cli.corpora.build import build
from avatargpt.cli.corpora.hub import export_datasets
from avatargpt.cli.corpora.showing import show_store
from avatargpt.cli.output import say
from vqvae.errors import UserError

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Prepare, list and check training data.")
app.add_typer(exemplars.app, name="exemplars")
app.add_typer(exemplars.app, name="library", hidden=True)  # its name in version 0.1
app.command("build")(build)
app.command("export-datasets")(export_datasets)
app.command("body")(body)


class Reader(NamedTuple):
    """One kind of corpus.

    Attributes:
        place: ``module:function``, a function of the folder that yields clips.
        about: what such a folder holds.
        options: which of `prepare`'s options the function takes, under the same names.
        reports: it takes a `Report` and skips what it cannot read; otherwise the first bad clip ends the reading.
    """

    place: str
    about: str
    options: tuple[str, ...] = ()
    reports: bool = False


READERS = {
    "corpus": Reader(
        "instruct_data.sources.corpus:read_corpus", "captions.jsonl, skeleton.json and shards motions_NN.npz"
    ),
    "bvh": Reader(
        "instruct_data.sources.bvh:read_bvh_folder", "*.bvh, captions in NAME.txt beside them",
        ("source", "licence", "split"), reports=True,
    ),
    "amass": Reader(
        "instruct_data.sources.amass:read_amass_folder", "AMASS, SMPL-H or SMPL-X *.npz, captions in NAME.txt",
        ("licence", "split", "up"), reports=True,
    ),
    "humanml3d": Reader(
        "instruct_data.sources.humanml3d:read_humanml3d", "new_joint_vecs, texts, train.txt, val.txt, test.txt",
        reports=True,
    ),
    "pack": Reader(
        "instruct_data.sources.packs:read_pack", "*.glb, *.gltf, *.bvh, or one such file; captions in captions.csv",
        ("captions", "source", "licence", "split"), reports=True,
    ),
    "cc0_actions": Reader(
        "instruct_data.sources.packs:read_cc0_actions", "KayKit's, Quaternius' and Mesh2Motion's action clips, *.bvh",
        ("split",), reports=True,
    ),
    "smartbody_actions": Reader(
        "instruct_data.sources.packs:read_smartbody_actions", "SmartBody's walks, jumps, kicks and punches as bodies",
        ("split",), reports=True,
    ),
    "smartbody": Reader(
        "instruct_data.sources.smartbody:read_smartbody", "SmartBody's gestures: motions.npz, clips.jsonl",
        ("split",), reports=True,
    ),
    "mesh2motion": Reader(
        "instruct_data.sources.foreign:read_glb_folder", "*.glb, each with animations of one person",
        ("split",), reports=True,
    ),
    "rocketbox": Reader(
        "instruct_data.sources.foreign:read_anim_folder", "Unity's *.anim or *.anim.xz of a Biped",
        ("split",), reports=True,
    ),
    "beat": Reader(
        "instruct_data.sources.beat_talk:read_beat", "BEAT: *.bvh with .wav and .TextGrid",
        ("split",), reports=True,
    ),
    "beat2": Reader(
        "instruct_data.sources.beat_talk:read_beat2", "BEAT2: smplxflame_30, wave16k, textgrid, train_test_split.csv",
        (), reports=True,
    ),
    "beat2_take": Reader(
        "instruct_data.sources.beat_talk:read_validation_take", "one take of BEAT2 to validate with",
        (), reports=True,
    ),
    "zeroeggs": Reader(
        "instruct_data.sources.zeroeggs:read_zeroeggs", "ZeroEGGS: *.bvh with .wav beside them",
        ("split",), reports=True,
    ),
    "llavataros": Reader(
        "instruct_data.sources.zeroeggs:read_llavataros", "*.npy (frames, 9, 7) with .wav beside them",
        ("split",), reports=True,
    ),
    "genea2023": Reader(
        "instruct_data.sources.genea:read_genea", "GENEA 2023: trn and val with main-agent and interloctr",
        (), reports=True,
    ),
    "talking_with_hands": Reader(
        "instruct_data.sources.genea:read_talking_with_hands", "mocap_data and audio_data, unzipped",
        ("split",), reports=True,
    ),
}  # fmt: skip

StorePath = Annotated[Path, typer.Argument(metavar="STORE", help="A folder made by `avatargpt data prepare`.")]


@app.command("ls")
def ls(
    store: Annotated[
        Path | None, typer.Argument(metavar="STORE", help="A folder made by `avatargpt data prepare`.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """List what a store holds; without STORE, the kinds of corpora that can be read."""
    if store is None:
        kinds = {kind: reader.about for kind, reader in READERS.items()}
        if as_json:
            common.print_json({"readers": kinds})
            return
        for kind, about in kinds.items():
            say(f"{kind}: {about}")
        return
    from instruct_data.store import Store

    show_store(Store.open(store, verify=False), as_json)


@app.command("prepare")
def prepare(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A corpus as it was published.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="STORE", help="Folder to write.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="A name from `avatargpt data ls`.")] = "corpus",
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Short name of the corpus.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", metavar="TEXT", help="Terms of the clips.")] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="SPLIT", help="train, val or test.")] = None,
    up: Annotated[str | None, typer.Option("--up", metavar="AXIS", help="y or z.")] = None,
    captions: Annotated[
        Path | None, typer.Option("--captions", metavar="FILE", help="Of packs: .csv, .jsonl or .yaml by animation.")
    ] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Read a corpus and write it as a store: checked clips with captions, splits, licences and checksums."""
    if kind not in READERS:
        raise UserError(f"--kind {kind}: no such kind of corpus; accepted: {', '.join(READERS)}")
    reader = READERS[kind]
    given = {"source": source, "licence": licence, "split": split, "up": up, "captions": captions}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in reader.options:
            takers = ", ".join(k for k, r in READERS.items() if name in r.options)
            raise UserError(f"--{name}: not for --kind {kind}, which says it itself; accepted for: {takers}")
    if not folder.is_dir() and not (kind == "pack" and folder.is_file()):
        raise UserError(f"{folder}: no such folder; accepted a {kind} folder: {reader.about}")
    from instruct_data.sources.report import Report
    from instruct_data.store import Store

    report = Report()
    if reader.reports:
        options["report"] = report
    with common.progress("preparing", quiet):
        clips = iter(resolve_name(reader.place)(folder, **options))
        first = list(islice(clips, 1))
        if not first:
            why = "; ".join(report.reasons()[:3]) or f"accepted a {kind} folder: {reader.about}"
            raise UserError(f"{folder}: no clip in it could be used: {why}")
        store = Store.write(chain(first, clips), output)
    if report.skipped or report.notes:
        say(str(report), err=True)
    show_store(store, as_json)


@app.command("check")
def check(store: StorePath, as_json: common.Json = False, quiet: common.Quiet = False) -> None:
    """Compare every file of a store with its checksum and every clip with what the manifest says."""
    from instruct_data.store import Store

    opened = Store.open(store)
    with common.progress("checking", quiet):
        rows: Any = opened.codes() if opened.kind == "codes" else opened.clips()
        found = sum(1 for _ in rows)
    if found != len(opened):
        raise UserError(f"{store}: {found} clips, the manifest says {len(opened)}; prepare the store again")
    show_store(opened, as_json)

