"""Co-speech gesture made by rules: which words ask for which gesture, the strokes, and how they follow one another."""
