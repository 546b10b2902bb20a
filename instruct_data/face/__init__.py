"""Faces made by rule: scores of events and emotions, rendered to ARKit curves. See docs/avatar_training.md."""
