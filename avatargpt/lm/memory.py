"""What networks remember between calls, and when it no longer counts.

A text's states differ in their last bits with the texts that are computed beside it, so what is remembered of one call
may change the next. Where a call has to answer alike whatever was asked before it, `forget` comes first.
"""

from __future__ import annotations

_epoch = 0


def epoch() -> int:
    """Changes with `forget`: what was remembered under another number does not count."""
    return _epoch


def forget() -> None:
    """What was computed until now is computed anew when it is asked for again."""
    global _epoch
    _epoch += 1
