"""Metrics as a process; see `__main__`."""
