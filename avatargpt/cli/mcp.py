"""``avatargpt mcp``: the tools for assistants that speak the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from avatargpt.cli import common, live
from avatargpt.cli.common import option, say
from avatargpt.cli.serve import LOOPBACK
from vqvae.errors import UserError

OUTPUTS = Path("avatargpt-motions")


def mcp(
    http: Annotated[
        str | None, option("--http [HOST:]PORT", "Streamable HTTP at /mcp in place of stdio; this machine alone.")
    ] = None,
    outputs: Annotated[
        Path | None, option("--outputs FOLDER", f"Where `export` writes, over stdio; usually {OUTPUTS}.")
    ] = None,
    store: Annotated[Path | None, option("--store FOLDER", "Where results are kept.")] = None,
    llm: common.Llm = "",
    model: common.Model = None,
    device: common.Device = None,
    threads: common.Threads = None,
    quiet: common.Quiet = False,
) -> None:
    """Tools for assistants: make, describe, edit, plan, long, speak, export; motion comes with a contact sheet.

    Over stdio an assistant starts this command itself (docs/protocols.md has the configuration); arguments may name
    files of this machine. With --http clients connect to http://HOST:PORT/mcp, as to a server of `avatargpt serve`.
    """
    host, port = live.address("--http", http, live.LOCAL_HOST, None) if http is not None else ("", 0)
    if http is not None and outputs is not None:
        raise UserError("--outputs: accepted over stdio; clients of --http get files as resources")
    if http is not None and host not in LOOPBACK:
        raise UserError(f"--http {http}: other machines reach that; accepted 127.0.0.1; `avatargpt serve --host {host} "
                        "--api-key KEY` serves /mcp to others")  # fmt: skip
    with common.extra_serve("MCP needs"):
        from avatargpt.server.core import Server
        from avatargpt.server.mcp_server import PATH, mcp_server
        from avatargpt.server.run import run
        from avatargpt.server.settings import ServerSettings, default_store
    settings = ServerSettings(
        store=store or default_store(), model=model, device=device, threads=threads, llm=llm, grace_seconds=5.0,
        hosts=LOOPBACK if http is not None else (),
    )  # fmt: skip
    if http is not None:
        run(settings, host, port, None if quiet else lambda _: say(f"MCP: http://{host}:{port}{PATH}", err=True))
        return
    server = Server(settings)
    try:
        mcp_server(server, outputs or OUTPUTS).run()
    finally:
        server.stop()
