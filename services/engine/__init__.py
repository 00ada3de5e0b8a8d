"""The engine as a process; see `__main__`."""
