"""Reading: a network that reads what people write as typed items."""
