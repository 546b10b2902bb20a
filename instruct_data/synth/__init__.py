"""Motion made from data files: keyframed actions, layered and composed clips."""

from instruct_data.synth.families import actions, families, keyframed
from instruct_data.synth.format import Family
from instruct_data.synth.loading import load_family

__all__ = ["Family", "actions", "families", "keyframed", "load_family"]
