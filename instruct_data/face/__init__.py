"""Faces made by rule: scores of events and emotions, rendered to ARKit curves. See docs/face.md."""
