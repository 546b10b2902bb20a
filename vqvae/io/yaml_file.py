"""The one reader of YAML."""

from __future__ import annotations

import os
from typing import Any

from vqvae.errors import UserError
from vqvae.io.guard import read_text, reason

MOST_BYTES = 4 << 20
MOST_DEPTH = 64  # libyaml's reader goes one call deeper for each and has no bound of its own
MOST_NODES = 500_000  # with what aliases stand for: a few lines of them can unfold to more than any memory
MOST_WORD = 10_000  # characters of a word that might be a number: `1:1:1:...` takes a time that grows with their square


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The data of a YAML file.

    Raises:
        UserError: no regular file, too large, or as `parse_yaml`.
    """
    return parse_yaml(read_text(path, MOST_BYTES), path)


def parse_yaml(text: str, where: str | os.PathLike[str]) -> Any:
    """The data of a YAML text, read by libyaml where PyYAML has it (ten times as fast).

    Args:
        where: it is from, for the message.

    Raises:
        UserError: not YAML, a value that is none (``!!int x``, ``2001-99-99``), a key that a mapping has twice (of
            which the last would win in silence), nested too deeply, aliases that stand for too much; the line is named.
    """
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_size(yaml, text, loader, where)
        return yaml.load(text, Loader=loader)
    except UserError:
        raise
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: not YAML ({getattr(e, 'problem', None) or reason(e)})") from None
    except Exception as e:  # of a value: the constructors of dates, numbers and keys raise what they meet
        raise UserError(f"{where}: not YAML ({reason(e)})") from None


def _check_size(yaml: Any, text: str, loader: Any, where: str | os.PathLike[str]) -> None:
    """Walk the events of a text, which takes no depth, before anything is built from them."""
    depth, total = 0, 0
    sizes: dict[str, int] = {}  # of what an anchor names, with what its aliases stand for
    open_anchors: list[tuple[str | None, int]] = []
    keys = _Keys(yaml)
    for event in yaml.parse(text, Loader=loader):
        if (twice := keys.twice(event)) is not None:
            raise _refused(where, event, f"the key {twice[:40]!r} is there twice")
        if isinstance(event, yaml.CollectionStartEvent):
            open_anchors.append((event.anchor, total))
            total += 1
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_anchors.pop()
            if anchor is not None:
                sizes[anchor] = total - before
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if event.implicit[0] and len(event.value) > MOST_WORD:
                raise _refused(where, event, f"a word of {len(event.value)} characters; accepted {MOST_WORD}")
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _refused(where, event, f"*{event.anchor} stands for nothing, or for what it is part of")
            total += sizes[event.anchor]
        if depth > MOST_DEPTH:
            raise _refused(where, event, f"nested more than {MOST_DEPTH} deep")
        if total > MOST_NODES:
            raise _refused(where, event, f"more than {MOST_NODES} values")


class _Keys:
    """Follows the events of a text and tells which key a mapping has twice."""

    def __init__(self, yaml: Any) -> None:
        self._yaml = yaml
        # keys of every mapping that is open, None of a list or the text itself; whether a key is due
        self._open: list[tuple[set[str] | None, bool]] = [(None, False)]

    def twice(self, event: Any) -> str | None:
        """The key that this event repeats."""
        yaml, found = self._yaml, None
        if isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            return None
        if not isinstance(event, yaml.NodeEvent):
            return None
        keys, due = self._open.pop()
        if keys is not None and due and isinstance(event, yaml.ScalarEvent):
            found = event.value if event.value in keys else None
            keys.add(event.value)
        self._open.append((keys, not due))
        if isinstance(event, yaml.CollectionStartEvent):
            self._open.append((set() if isinstance(event, yaml.MappingStartEvent) else None, True))
        return found


def _refused(where: str | os.PathLike[str], event: Any, why: str) -> UserError:
    return UserError(f"{where}, line {event.start_mark.line + 1}: not accepted YAML ({why})")
