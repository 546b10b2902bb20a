"""Kinds of scenes, written for the project: scenes in many wordings, and activities that all fit one another."""
