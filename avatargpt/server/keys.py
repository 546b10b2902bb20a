"""`Keys`: who may call, by name, and how often."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from avatargpt.server.errors import busy
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.strict import Strict

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import RateLimiter

MIN_KEY = 8  # characters


def check_key(key: str) -> str:
    """A key as it is. Raises ValueError: too short, or not ASCII."""
    if len(key) < MIN_KEY or not key.isascii():
        raise ValueError(f"accepted {MIN_KEY} or more ASCII characters")
    return key


@cache
def parse_limit(limit: str) -> tuple[RateLimitItem, ...]:
    """What a limit in words says; empty = nothing. Raises ValueError."""
    from limits import parse_many

    return tuple(parse_many(limit)) if limit else ()


def check_limit(limit: str) -> str:
    """A limit as it is. Raises ValueError."""
    try:
        parse_limit(limit)
    except ValueError:
        raise ValueError(f"{limit!r}; accepted such as 60/minute or 60/minute; 2000/day") from None
    return limit


class ApiKey(Strict):
    """One of `Keys`."""

    key: Annotated[str, AfterValidator(check_key)]
    # of requests that ask for something, such as ``60/minute; 2000/day``; empty = as many as come
    limit: Annotated[str, AfterValidator(check_limit)] = ""


def load_keys(path: Path) -> dict[str, ApiKey]:
    """Keys by name, of a YAML file such as ``{anna: {key: "...", limit: 60/minute}}``.

    Raises:
        UserError: a file, name, key or limit that is not accepted.
    """
    rows = read_yaml(path)
    if not isinstance(rows, Mapping) or not rows:
        raise UserError(f"{path}: accepted names with their keys, such as anna: {{key: ..., limit: 60/minute}}")
    keys = {str(name): ApiKey.read(row, f"{path}: {name}") for name, row in rows.items()}
    if len({row.key for row in keys.values()}) < len(keys):
        raise UserError(f"{path}: two names with one key; accepted a key of their own for each")
    return keys


class Keys:
    """Those of a server. State: the requests of each name in the windows of its limits, in this process."""

    def __init__(self, keys: Mapping[str, ApiKey]) -> None:
        self._keys = keys

    @cached_property
    def _windows(self) -> RateLimiter:
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        return MovingWindowRateLimiter(MemoryStorage())

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._keys)

    def find_name(self, value: str) -> str | None:
        """The name of a key, None for no key; in the same time for all."""
        given, found = value.encode("utf-8", "surrogatepass"), None
        for name, row in self._keys.items():
            if hmac.compare_digest(given, row.key.encode()):
                found = name
        return found

    def spend(self, name: str) -> None:
        """Count a request. Raises Refusal (429) beyond a limit of its name, with the time after which one is free."""
        for limit in parse_limit(self._keys[name].limit):
            if not self._windows.hit(limit, name):
                free = self._windows.get_window_stats(limit, name).reset_time - time.time()
                raise busy(f"more than {limit} of the key {name!r}", max(1, math.ceil(free)))
