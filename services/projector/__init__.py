"""The projector as a process; see `__main__`."""
