"""Golden histories: sessions as releases have stored them, which every later release has to read the same way.

- `histories/<release>/`  exports, one a session; written once, never again
- `sessions`              the sessions they were made of; `rich_sessions` are those that are about more than one event
- `record`                `python -m tests.replay.record` writes those of this release that are not there yet
"""
