"""Readers of corpora (`registry.CORPORA`) and of face recordings in other programs' formats."""
