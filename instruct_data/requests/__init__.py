"""Requests for motion: what they mean (`spec`), and that as rows of tokens (`targets`)."""
