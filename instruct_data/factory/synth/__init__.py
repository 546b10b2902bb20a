"""Motion made from data files: keyframed actions, layered and composed clips."""
