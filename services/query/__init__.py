"""The query service as a process; see `__main__`."""
