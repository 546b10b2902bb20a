"""Speech to face: audio in, features, the streaming driver and what it learns from."""
