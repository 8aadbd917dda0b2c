"""One module a command: reads its arguments, calls the engine, prints. Decides nothing."""
