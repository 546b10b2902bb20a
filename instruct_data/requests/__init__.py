"""Requests for body motion: what they mean (`spec`), ways to say it (`ways`, YAML), pairs of both (`pairs`)."""
