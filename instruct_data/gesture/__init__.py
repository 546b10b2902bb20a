"""Co-speech gesture: which words ask for which gesture, the strokes, and how they follow one another."""
