"""Reading: what people write, and the typed programs that it means."""
