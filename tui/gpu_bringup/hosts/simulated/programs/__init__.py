"""The commands of a simulated machine: one table of names, one generator each."""
