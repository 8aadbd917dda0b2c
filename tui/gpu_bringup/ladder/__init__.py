"""The ladder: 17 rungs, one a file. ``ladder.climb`` asks them in order."""
