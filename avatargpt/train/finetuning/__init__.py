"""A finished model folder goes on learning from a few clips of its user's, and stays able to do the rest."""
