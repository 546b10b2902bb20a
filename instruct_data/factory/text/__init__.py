"""Captions in other words: templates, everyday words, rewrites."""
