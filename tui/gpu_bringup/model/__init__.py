"""What the program talks about: frozen dataclasses and enums, no I/O."""
