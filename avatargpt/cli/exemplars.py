"""``avatargpt data exemplars``: tokenised clips that `generate --retrieval` shows to the model as examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avatargpt.cli import common, reading
from avatargpt.cli.output import say
from avatargpt.limits import is_text
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.requests.exemplars import ExemplarBank

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Clips that `generate --retrieval` uses as examples."
)
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="FOLDER", help="A folder of weights, or any other; default: your own bank."),
]
MAX_CAPTIONS = 20


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A motion: .npz, .bvh and others.")],
    caption: Annotated[
        list[str], typer.Option("--caption", metavar="TEXT", help="What it shows, in one sentence. Repeatable.")
    ],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Default: the file's name.")] = None,
    licence: Annotated[str, typer.Option("--licence", metavar="TEXT", help="Terms of the clip.")] = "private",
    animation: reading.Animation = None,
    to: To = None,
    model: common.Model = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Add a clip of your own. Of longer clips the first 4.8 seconds are kept."""
    import numpy as np

    from avatargpt import resources
    from avatargpt.lm.text_encoder import SentenceGrounder
    from avatargpt.requests.exemplars import EXAMPLE_TOKENS, FILE, Entry, ExemplarBank, alone, user_folder
    from vqvae.ground import grounded
    from vqvae.tokenizer import MotionTokenizer

    if len(caption) > MAX_CAPTIONS:
        raise UserError(f"--caption: {len(caption)} given; accepted at most {MAX_CAPTIONS}")
    captions = tuple(dict.fromkeys(_caption(c) for c in caption))
    if not is_text(licence):
        raise UserError(f"--licence {licence!r}: not UTF-8 text; accepted text")
    name = _name(reading.name_of(file, animation) if name is None else name)
    motion = reading.load_body(file, animation)
    reading.note_floor(file, motion)
    folder = to if to is not None else user_folder()
    common.check_folder(folder / FILE)
    with common.progress("encoding", quiet):
        tokenizer = MotionTokenizer.load((model or resources.weights()) / "body")
        codes = np.asarray(tokenizer.encode(grounded(motion)))[:EXAMPLE_TOKENS].astype(np.uint16)
        vectors = dict(zip(captions, SentenceGrounder().sentence(captions), strict=True))
    entry = Entry(name, codes, captions, licence)
    exemplars = ExemplarBank([entry], vectors, tokenizer.fingerprint)
    with alone(folder):
        known = ExemplarBank.load(folder)
        if known is not None:
            known.check(tokenizer.fingerprint, str(folder / FILE))
            if entry.name in {e.name for e in known.entries}:
                raise UserError(f"{folder / FILE}: has a clip {entry.name!r} already; choose another --name")
            exemplars = known.merged(exemplars)
        exemplars.save(folder)
    _show(folder / FILE, exemplars, as_json, [entry.name])


@app.command("ls")
def ls(to: To = None, as_json: common.Json = False) -> None:
    """List the clips of a library."""
    from avatargpt.requests.exemplars import FILE, ExemplarBank, user_folder

    folder = to if to is not None else user_folder()
    exemplars = ExemplarBank.load(folder)
    if exemplars is None:
        raise UserError(f"{folder / FILE}: no such file; accepted a folder with a library; `add` makes one")
    _show(folder / FILE, exemplars, as_json, [e.name for e in exemplars.entries])


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise UserError(f"--name {text!r}: accepted one line of text, not empty")
    return text


def _caption(text: str) -> str:
    text = " ".join(text.split()).rstrip(".").lower()
    if not any(c.isalnum() for c in text) or len(text) > common.MAX_CHARACTERS or not is_text(text):
        most = f"at most {common.MAX_CHARACTERS} characters"
        raise UserError(f"--caption {text[:60]!r}: accepted a sentence in UTF-8 of {most}")
    return text


def _show(path: Path, exemplars: ExemplarBank, as_json: bool, names: list[str]) -> None:
    """The library's size and the named clips."""
    chosen = [e for e in exemplars.entries if e.name in names]
    if as_json:
        clips = [
            {"name": e.name, "tokens": len(e.codes), "captions": list(e.captions), "licence": e.licence} for e in chosen
        ]
        common.print_json({"library": str(path), "clips": len(exemplars), "fingerprint": exemplars.fingerprint,
                           "shown": clips})  # fmt: skip
        return
    say(f"{path}: {len(exemplars)} clips, {len(exemplars.captions)} captions")
    for e in chosen:
        say(f"{e.name}: {len(e.codes)} tokens, {'; '.join(e.captions)}")
