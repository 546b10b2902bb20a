"""L1: what is said about motion: tasks and prompts, corpus readers, the clip store, text and clip augmentation."""
