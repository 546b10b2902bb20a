"""Corpora as users download them: one module per corpus says what its folder holds and reads it (`table.CORPORA`)."""
