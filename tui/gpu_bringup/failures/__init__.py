"""The failures that the project knows, read from ``profiles/failures``."""
