"""The learnt evaluator of text and motion: joints and sentences as vectors of one space."""
