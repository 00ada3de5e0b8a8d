"""Every command: its name, the file it is in, and what it is for.

A command's file has `configure(parser)`, which adds its arguments and sets the default `run`, a function from the
parsed arguments to an exit code.
"""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "start everything on this machine: server, engine, projector, queries"),
    "validate": ("validate", "check pipeline files, with every problem at its place"),
    "graph": ("graph", "draw a pipeline, to SVG or to the terminal"),
    "docs": ("docs", "write a page of the stages and of pipelines, with the pipeline schema"),
    "register": ("register", "publish a pipeline under a name"),
    "pipelines": ("pipelines", "list, show and compare registered pipelines"),
    "stages": ("stages", "list the stages a pipeline may use"),
    "start": ("start", "start a session"),
    "fork": ("fork", "start a session where another one stood"),
    "input": ("input", "send an input to a session"),
    "pause": ("control", "let running stages finish and start none, of a session or of many"),
    "resume": ("control", "let a paused session go on, or many"),
    "stop": ("control", "end a session now, or many"),
    "skip": ("control", "skip a session's active stage"),
    "retry": ("control", "resume a failed session where it failed, or many"),
    "watch": ("watch", "follow a session's events as they happen"),
    "history": ("history", "print a session's events"),
    "show": ("show", "show where a session stands, or stood"),
    "verify": ("verify", "verify a history: that every event follows from the definition"),
    "replay": ("replay", "show a history's state as of any event, or under another definition"),
    "explain": ("explain", "say what a session waits for, why it failed, and which way it went"),
    "list": ("list_sessions", "list sessions"),
    "archive": ("archive", "export finished sessions to files, and take them off the server"),
    "doctor": ("doctor", "say what the connected server really promises, and what is wrong with it"),
    "engines": ("engines", "list the engines alive, what they hold and how their writes go"),
    "health": ("health", "say whether the query service answers and keeps up"),
    "rebuild": ("rebuild", "rebuild a projection's database from the events"),
}
