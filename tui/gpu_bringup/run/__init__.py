"""Runs a plan: a worker process that outlives the terminal, with a journal as its only protocol."""
