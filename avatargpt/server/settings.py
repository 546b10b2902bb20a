"""`ServerSettings`: what a server is started with, and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from avatargpt.options import MAX_SECONDS, MIN_SECONDS, check_number
from avatargpt.server.keys import ApiKey, check_key
from vqvae.errors import UserError
from vqvae.io.files import user_cache

MIB = 1 << 20


def default_store() -> Path:
    """The folder of results where none is named."""
    return user_cache() / "serve"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a server runs. Lengths of time in seconds, sizes in bytes.

    Raises:
        UserError: a number outside of its range.
    """

    store: Path = field(default_factory=default_store)  # folder of results, uploads and sessions
    model: Path | None = None  # folder of weights, None = the packaged ones
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    llm: str = ""  # a language model that reads turns and plans, see `avatargpt.llm`
    api_key: str | None = None  # that every request but those of the page itself must carry, or one of `keys`
    keys: Mapping[str, ApiKey] = field(default_factory=dict)  # of people and programs by name
    origins: tuple[str, ...] = ()  # other web pages that may call, such as ``https://example.org``
    public_url: str = ""  # of the server behind a proxy, such as ``https://example.org/avatar``, without a final slash
    hosts: tuple[str, ...] = ()  # accepted names of this server in the header Host; empty = every one
    # Bounds of one request
    motion_seconds: float = 120.0  # of motion that it makes, all results together
    work_seconds: float = 300.0  # of work on it
    wait_seconds: float = 300.0  # that a client may wait for an answer
    json_bytes: int = MIB
    upload_bytes: int = 256 * MIB
    body_seconds: float = 20.0  # in which a body of JSON arrives, and without a byte of an upload
    upload_rate: float = 16 * 1024.0  # bytes a second of an upload, in the mean
    header_seconds: float = 10.0  # in which the head of a request arrives
    film_seconds: float = 60.0  # of a film or a picture that is drawn
    # Bounds of all of them together
    queue: int = 64  # requests that wait for the model
    batch: int = 16  # requests that are generated together
    batch_wait: float = 0.01  # that the first of them waits for others
    connections: int = 512
    result_seconds: float = 24 * 3600.0  # that results, uploads and jobs are kept
    session_seconds: float = 14 * 24 * 3600.0  # that sessions are kept after their last change
    store_bytes: int = 20_000 * MIB
    grace_seconds: float = 30.0  # in which a server that is stopped finishes its work

    def __post_init__(self) -> None:
        check_number("motion_seconds", self.motion_seconds, (MIN_SECONDS, MAX_SECONDS))
        for name in ("work_seconds", "wait_seconds", "body_seconds", "header_seconds", "result_seconds",
                     "session_seconds", "film_seconds", "upload_rate"):  # fmt: skip
            check_number(name, getattr(self, name), (0.01, 1e9))
        for name in ("grace_seconds", "batch_wait"):
            check_number(name, getattr(self, name), (0, 3600))
        for name in ("json_bytes", "upload_bytes", "store_bytes", "queue", "batch", "connections"):
            check_number(name, getattr(self, name), (1, 1 << 50))
        try:
            _ = self.api_key is None or check_key(self.api_key)
        except ValueError as e:
            raise UserError(f"api key: {e}") from None

    @property
    def all_keys(self) -> dict[str, ApiKey]:
        """With `api_key`, whose name is empty."""
        return {**self.keys, **({} if self.api_key is None else {"": ApiKey(key=self.api_key)})}
