"""What a request asks for beyond its words, made exact by rules."""
