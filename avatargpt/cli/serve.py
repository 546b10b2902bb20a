"""``avatargpt serve``: the studio page and the HTTP API of one loaded model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from avatargpt.cli import common
from avatargpt.cli.common import check_range, option, say
from vqvae.errors import UserError

KEY = "AVATARGPT_API_KEY"  # environment variable: that of --api-key, which other users of the machine can read
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def serve(
    port: Annotated[int, option("--port N", "Port; 0 takes a free one.", min=0, max=65535)] = 8765,
    host: Annotated[str, option("--host ADDRESS", "Address to listen at; others than this machine's need a key.")]
    = "127.0.0.1",
    api_key: Annotated[str | None, option("--api-key KEY", f"That clients must send; or the variable {KEY}.")] = None,
    keys: Annotated[Path | None, option("--keys FILE", "Keys by name, with limits (YAML): docs/server.md.")] = None,
    no_key: Annotated[bool, option("--no-key", "Let other machines in without a key.")] = False,
    origin: Annotated[list[str] | None, option("--origin URL", "Another web page that may call. Repeatable.")] = None,
    public_url: Annotated[str, option("--public-url URL", "Where a proxy has it: https://example.org/avatar.")] = "",
    store: Annotated[Path | None, option("--store FOLDER", "Where results and sessions are kept.")] = None,
    queue: Annotated[int, option("--queue N", "Requests that may wait.", min=1, max=10_000)] = 64,
    batch: Annotated[int, option("--batch N", "Requests generated together.", min=1, max=64)] = 16,
    keep: Annotated[float, option("--keep HOURS", "How long results are kept.")] = 24.0,
    motion_seconds: Annotated[float, option("--motion-seconds S", "Motion that one request may ask for.")] = 120.0,
    grace: Annotated[float, option("--grace S", "Time to finish work when it is stopped.")] = 30.0,
    llm: common.Llm = "",
    model: common.Model = None,
    device: common.Device = None,
    dtype: common.Dtype = None,
    threads: common.Threads = None,
    quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """A server: the studio at /, the API at /v1 (its page: /docs), until Ctrl-C or SIGTERM."""
    check_range("--keep", keep, 0.01, 10_000, " hours")
    check_range("--motion-seconds", motion_seconds, 0.2, 600)
    check_range("--grace", grace, 0, 3600)
    key = api_key or os.environ.get(KEY) or None
    local = host in LOOPBACK
    if not (local or key or keys or no_key):
        raise UserError(f"--host {host}: other machines reach that; accepted with --api-key, {KEY}, --keys or --no-key")
    for page in origin or ():
        if urlsplit(page).scheme not in ("http", "https") or urlsplit(page).path not in ("", "/"):
            raise UserError(f"--origin {page}: accepted such as https://example.org")
    if public_url and (urlsplit(public_url).scheme not in ("http", "https") or "?" in public_url or "#" in public_url):
        raise UserError(f"--public-url {public_url}: accepted such as https://example.org/avatar")
    with common.extra_serve("a server needs"):
        from avatargpt.lm.checkpoint import check_model
        from avatargpt.server.keys import load_keys
        from avatargpt.server.run import run
        from avatargpt.server.settings import ServerSettings, default_store
    check_model(model)
    hosts = (*LOOPBACK, *(urlsplit(o).hostname or "" for o in (*(origin or ()), public_url) if o))
    settings = ServerSettings(
        store=store or default_store(), model=model, device=device, dtype=dtype, threads=threads, llm=llm,
        api_key=key, keys=load_keys(keys) if keys else {}, public_url=public_url.rstrip("/"),
        origins=tuple(o.rstrip("/") for o in origin or ()),
        queue=queue, batch=batch, result_seconds=keep * 3600, grace_seconds=grace, motion_seconds=motion_seconds,
        hosts=hosts if local else (),
    )  # fmt: skip
    run(settings, host, port, None if quiet else say)
