"""Instructions to faces and questions, drawn by rule."""
