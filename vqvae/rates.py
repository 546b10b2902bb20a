"""Frames a second of what is computed on each kind of motion."""

BODY_FPS, FACE_FPS, GESTURE_FPS = 20.0, 30.0, 30.0
