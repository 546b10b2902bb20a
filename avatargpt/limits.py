"""Bounds of what may be asked for; nothing is imported here, so that the command line may look at once."""

MIN_SECONDS, MAX_SECONDS = 0.2, 600.0
"""Length of a clip."""
