"""The one interface to a machine, and its kinds. Alone in starting processes."""
