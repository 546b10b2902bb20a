"""The bootstrap corpus of co-speech gesture: speech, what the hands do with it, and the cache that is trained on."""
