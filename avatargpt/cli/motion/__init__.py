"""Commands that take requests for motion."""
