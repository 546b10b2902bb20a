"""Requests in ways to say them (YAML), and pairs of both with what they mean."""
