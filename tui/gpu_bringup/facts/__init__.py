"""Observers: what a host answers, turned into facts. One observer a file, its parsers beside it."""
