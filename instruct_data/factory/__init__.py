"""What draws training data: keyframed clips, made gestures, composed faces, dialogues, requests and their words."""
