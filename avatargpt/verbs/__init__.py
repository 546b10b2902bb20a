"""Verbs: what a person can ask for, one typed request each; see `avatargpt.verbs.request`."""
