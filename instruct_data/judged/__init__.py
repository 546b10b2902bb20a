"""Clips made from words, and what people saw in them: 0 = not shown, 1 = partly, 2 = as said."""
