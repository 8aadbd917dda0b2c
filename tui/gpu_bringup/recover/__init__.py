"""The ways on from a broken server: back to service now, mend it, mend it later. Pure."""
