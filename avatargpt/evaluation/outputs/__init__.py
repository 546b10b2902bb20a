"""Other systems' outputs: a folder of motion files, judged as our own answers are."""
