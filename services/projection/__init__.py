"""The projector and the query service in one process; see `__main__`."""
