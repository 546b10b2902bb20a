"""Tokenised caches as training reads them."""

from __future__ import annotations

from collections.abc import Sequence

from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer


def read_codes(
    folders: str, tokenizers: Sequence[MotionTokenizer]
) -> tuple[list[ClipCodes], list[ClipCodes]]:
    """Training and validation clips of one or several tokenised caches, with commas between.

    Raises:
        UserError: a cache of a tokenizer that is not given.
    """
    items: list[ClipCodes] = []
    held: list[ClipCodes] = []
    for folder in folders.split(","):
        store = Store.open(folder)
        if not tokenizers:
            raise UserError(f"--codes {folder}: needs the tokenizer that made them; give --tokenizer FOLDER")
        made = store.manifest.get("fingerprint")
        if made is None:
            raise UserError(f"{folder}: holds {store.kind}; --codes takes the result of the codes stage")
        if made not in {t.fingerprint for t in tokenizers}:
            given = ", ".join(t.fingerprint[:12] for t in tokenizers)
            raise UserError(
                f"{folder}: codes of another tokenizer ({str(made)[:12]}, the one given is {given}); "
                "run the codes stage with the one given"
            )
        items += store.codes("train")
        held += store.codes("val")
    return items, held
