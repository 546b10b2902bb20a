"""Metrics of co-speech gesture, one concept per file: onsets, beats, dynamics, turns, features (FGD), baselines.

All take a `Motion` at any frame rate (read at 30 fps) and 16 kHz mono sound. What they mean: docs/metrics.md.
"""
