"""Requests read by a network: words -> `instruct_data.requests.spec.MotionRequest`."""
