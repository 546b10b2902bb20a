"""What a store holds, as text or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatargpt.cli import common
from avatargpt.cli.output import say

if TYPE_CHECKING:
    from instruct_data.store import Store


def show_store(store: Store, as_json: bool) -> None:
    """Print its counts, splits and sources."""
    facts = {k: v for k, v in store.manifest.items() if k != "shards"}
    if as_json:
        common.print_json({"store": str(store.path), **facts})
        return
    counts = f"{facts['clips']} clips, {facts['hours']:.2f} h, {facts['captions']} captions"
    say(f"{store.path}: {facts['kind']}, {counts}")
    say("splits: " + ", ".join(f"{name} {count}" for name, count in facts["splits"].items()))
    for name, entry in facts["sources"].items():
        say(f"{name}: {entry['clips']} clips, {entry['hours']:.2f} h, {entry['licence']}")
