"""Bounds of what may be asked for; nothing is imported here, so that the command line may look at once."""

MIN_SECONDS, MAX_SECONDS = 0.2, 600.0
"""Length of a clip."""
FPS = (1, 240)
"""Frames a second of files that are written."""
GUIDANCE = (1.0, 20.0)
"""Of sampling; 1 = none."""
TEMPERATURE = (0.05, 2.0)


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8.

    Python keeps bytes of an argument that it cannot decode, and halves of characters in JSON, as surrogates.
    """
    return not any("\ud800" <= c <= "\udfff" for c in value)
