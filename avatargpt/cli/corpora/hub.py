"""``avatargpt data export-datasets``: a store as a folder that Hugging Face's `datasets` opens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say


def export_datasets(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A folder made by `avatargpt data build`.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="New folder to write.")],
    num_proc: Annotated[
        int | None, typer.Option("--num-proc", metavar="N", min=1, help="Processes that unpack clips.")
    ] = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Write a store as parquet files of arrays with a card, for `datasets.load_dataset(DIR)`."""
    from instruct_data import hub

    hf = hub.library()
    hf.disable_progress_bars()
    with common.progress("exporting", quiet):
        rows = hub.export_datasets(store, output, num_proc)
    if as_json:
        common.print_json({"folder": str(output), "rows": rows})
        return
    say(f"{output}: " + ", ".join(f"{split} {count}" for split, count in rows.items()))
