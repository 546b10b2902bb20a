"""Gestures made by rules: the strokes, and plans performed with them."""
