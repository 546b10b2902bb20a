"""Tasks and prompts, corpus readers, the clip store, texts; what draws training data (`factory`)."""
