"""Trainers of what reads requests for body motion."""
