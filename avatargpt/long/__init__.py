"""Motion of any length: plan, act, describe, plan again. Entry point: `avatargpt.long.loop.long`."""
