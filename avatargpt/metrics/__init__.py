"""Metrics of motion, faces, gestures and text, and the geometry that judges them. See docs/metrics.md."""
