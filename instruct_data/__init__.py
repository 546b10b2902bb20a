"""Tasks and prompts, corpus readers, the clip store, texts, and made-up clips."""
