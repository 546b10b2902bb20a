"""Turns by a measure: "turn left 90 degrees", "half turn to the right", "turn around".

How bodies come to turn so far: `avatargpt.body.candidates`.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST, MOST = 15.0, 1080.0


@dataclass(frozen=True)
class Turn:
    """A turn on the spot.

    Attributes:
        degrees: how far, above 0.
        side: left or right of the body; empty = either.
    """

    degrees: float
    side: str = ""

    @property
    def words(self) -> str:
        """A request for such an action, whatever its degrees."""
        return f"a person turns around to the {self.side}" if self.side else "a person turns to face the other way"

    def missed(self, turned: float) -> float:
        """Degrees between the goal and what was turned, positive to the left."""
        signed = {"left": turned, "right": -turned}.get(self.side, abs(turned))
        return abs(signed - self.degrees)
