"""The server as a Ray Serve deployment: several replicas, on one machine or many, behind one address, over one store.

    serve run avatargpt.server.ray_app:app store=/shared/store replicas=4

Results, uploads, jobs and sessions lie in the store, which every replica must reach under the same path, so that any of
them answers for what another has made. Needs the extra `ray` beside `serve`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vqvae.errors import UserError

OPTIONS = ("store", "model", "replicas", "cpus", "gpus", "origins", "hosts", "motion_seconds", "queue", "batch", "keys")


def application(
    settings: Any, replicas: int = 2, cpus: float = 1.0, gpus: float = 0.0, load: Callable[[], Any] | None = None
) -> Any:
    """A `ray.serve.Application` of the same routes as `avatargpt serve`.

    Args:
        settings: a `ServerSettings`; its store is a folder that all replicas reach. Its bounds hold for each of them.
        replicas: processes, each with the model. cpus, gpus: that each of them takes of the cluster.
        load: gives the model in place of that of the settings; called in every replica.

    Raises:
        UserError: Ray Serve is not installed.
    """
    try:
        from ray import serve
    except ImportError:
        raise UserError('Ray Serve is not installed; install it with pip install -e ".[serve,ray]"') from None

    def build() -> Any:
        from avatargpt.server.app import create_app

        return create_app(settings, None if load is None else load())

    deployment = serve.deployment(
        serve.ingress(build)(), name="avatargpt", num_replicas=replicas,
        ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
        # what waits for the model, and what only reads; the server itself answers 429 beyond its queue
        max_ongoing_requests=4 * settings.queue, graceful_shutdown_timeout_s=settings.grace_seconds,
    )  # fmt: skip
    return deployment.bind()


def app(options: dict[str, str]) -> Any:
    """For ``serve run``: the application by options in words; the key is in AVATARGPT_API_KEY.

    Raises:
        UserError: an unknown option, a value that is no number, or no store.
    """
    from avatargpt.server.keys import load_keys
    from avatargpt.server.settings import ServerSettings

    for name in options:
        if name not in OPTIONS:
            raise UserError(f"{name}: no option; accepted {', '.join(OPTIONS)}")
    if not options.get("store"):
        raise UserError("store: needed, a folder that all replicas reach")
    kinds: dict[str, Callable[[str], Any]] = {
        "store": Path, "model": Path, "motion_seconds": float, "queue": int, "batch": int, "replicas": int,
        "cpus": float, "gpus": float, "keys": lambda v: load_keys(Path(v)),
    }  # fmt: skip
    try:
        values: dict[str, Any] = {k: kinds.get(k, lambda v: tuple(v.split(",")))(v) for k, v in options.items()}
    except ValueError as e:
        raise UserError(f"{e}; accepted a number") from None
    machines = {k: values.pop(k) for k in ("replicas", "cpus", "gpus") if k in values}
    return application(ServerSettings(**values, api_key=os.environ.get("AVATARGPT_API_KEY") or None), **machines)
