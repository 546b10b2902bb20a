"""The closed loop of unlimited motion: plan, act out, describe, plan again. The public face is `long.loop`."""
