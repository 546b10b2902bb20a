"""``avatargpt view``: a motion of any format in the studio's viewer."""

from pathlib import Path
from typing import Annotated

from avatargpt.cli import common
from avatargpt.cli.common import argument, option, say
from avatargpt.cli.motion import Reading, name_of
from vqvae.errors import UserError

ADDRESS = "127.0.0.1"


def view(
    file: Annotated[Path, argument("FILE", "A motion in any format that is read, or a film.")],
    port: Annotated[int, option("--port N", "Port; 0 takes a free one.", min=0, max=65535)] = 0,
    no_open: Annotated[bool, option("--no-open", "Print the address without opening a browser.")] = False,
    quiet: common.Quiet = False,
) -> None:
    """Play a motion in the browser, until Ctrl-C: no model is loaded, and no other machine gets in."""
    with common.extra_serve("the viewer needs"):
        import uvicorn

        from avatargpt.server.view import create_view, page
    import socket
    import webbrowser

    clip = Reading().load(file)
    app = create_view(clip, name_of(file))
    try:
        listener = socket.create_server((ADDRESS, port))
    except OSError as e:
        raise UserError(f"--port {port}: {e.strerror}; accepted a port that is free, or 0") from None
    address = f"http://{ADDRESS}:{listener.getsockname()[1]}/{page(clip)}"
    say(address)
    if not quiet:
        say("Ctrl-C ends it.", err=True)
    if not no_open:
        webbrowser.open(address)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
