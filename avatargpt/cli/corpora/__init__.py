"""``avatargpt data``'s commands about published corpora, exports of stores and body models."""
