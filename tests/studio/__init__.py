"""Tests of the page: a package, so that the browser ends with its last test."""
