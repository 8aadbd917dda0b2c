"""Training: the same wizard, ladder, plans and words as the real thing, on a host that is simulated.

Between the screens and the engine. Nothing here can reach the real host: an exercise holds a
simulated machine and a folder of its own below the state folder, and writes nowhere else.
"""
