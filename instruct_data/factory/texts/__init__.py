"""The project's own texts: captions, rewrites, plans, dialogues, facial instructions, as folders that stages read."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from pathlib import Path

from vqvae.errors import UserError
from vqvae.io.files import atomic_write, user_cache

NAMES = ("text", "planning", "chat", "face_text")
PREFIX = "package:"
MAX_BYTES = 32 << 20  # bytes of a file as unpacked


def cache() -> Path:
    """Where unpacked texts stand: below ``XDG_CACHE_HOME``, else ``~/.cache``."""
    return user_cache() / "texts"


def unpack_texts(name: str) -> Path:
    """A folder with the texts of that name; unpacked at the first call, and again where the package has others."""
    if name not in NAMES:
        raise UserError(f"{PREFIX}{name}: accepted: {', '.join(PREFIX + n for n in NAMES)}")
    packed = sorted((f for f in (files("instruct_data.factory.texts") / name).iterdir() if f.name.endswith(".gz")),
                    key=lambda f: f.name)  # fmt: skip
    content = {f.name.removesuffix(".gz"): f.read_bytes() for f in packed}
    digest = hashlib.sha256(b"".join(k.encode() + v for k, v in content.items())).hexdigest()[:16]
    folder = cache() / digest / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in content.items():
        if not (folder / file).is_file():
            plain = gzip.decompress(data)
            assert len(plain) <= MAX_BYTES
            atomic_write(folder / file, lambda p, plain=plain: p.write_bytes(plain))  # type: ignore[misc]
    return folder


def resolve_texts(value: str) -> str:
    """A value of an option: ``package:NAME`` as the folder of these texts, everything else as it is."""
    return str(unpack_texts(value.removeprefix(PREFIX))) if value.startswith(PREFIX) else value
