"""``avatargpt talk-page``: the page in which a microphone moves a face, as a folder."""

from pathlib import Path
from typing import Annotated

from avatargpt.cli import common
from avatargpt.cli.common import argument, say


def talk_page(
    folder: Annotated[Path, argument("FOLDER", "A new or an empty folder.")],
    model: common.Model = None,
) -> None:
    """A web page in which a microphone or a recording moves an avatar's face, without a server of ours.

    Any server of files gives it out: python -m http.server -d FOLDER. `driver.onnx` in it is for other programs, too.
    """
    with common.extra_serve("the page needs"):
        from avatargpt.server.talk import DRIVER, write_page
    write_page(folder, model)
    size = (folder / DRIVER).stat().st_size / 1e6
    say(f"{folder / 'index.html'}, {folder / DRIVER} ({size:.1f} MB)")
