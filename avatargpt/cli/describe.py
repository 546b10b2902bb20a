"""``avatargpt describe``: motion to text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatargpt.cli import common


def describe(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Motions: .npz, .bvh and others.")],
    num: Annotated[int, typer.Option("-n", "--num", min=1, max=100, metavar="K", help="Sentences per motion.")] = 1,
    best_of: Annotated[
        int, typer.Option(min=1, max=64, metavar="K", help="Sentences ranked; 1: the likeliest, without the book.")
    ] = 7,
    seed: common.Seed = 0,
    model: common.Model = None,
    device: common.Device = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Motion to text.

    One FILE: a sentence per line. Several: FILE, a tab, the sentence.
    """
    from avatargpt import export

    motions = [export.load(path) for path in files]
    loaded = common.load_model(model, device, threads, quiet)
    with common.progress("describing", quiet):
        answers = loaded.describe(motions, num=num, seed=seed, best_of=best_of)
    sentences = [[a] if isinstance(a, str) else list(a) for a in answers]
    if as_json:
        results = [{"file": str(f), "descriptions": s} for f, s in zip(files, sentences, strict=True)]
        common.print_json({"results": results})
        return
    for path, found in zip(files, sentences, strict=True):
        for sentence in found:
            typer.echo(sentence if len(files) == 1 else f"{path}\t{sentence}")
