"""Pure decisions: standard library only, no I/O, time is always an argument."""
