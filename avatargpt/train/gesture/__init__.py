"""Training of the gesture network: its corpus, cache, batches and stages."""
