"""Which release this is. Imports nothing, so that every room may know it."""

RELEASE = "0.1.0"
