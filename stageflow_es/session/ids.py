"""What a session's id may be: it is a part of subjects, of keys and of file names."""

from __future__ import annotations

import re

from stageflow_es.pipeline.pointers import shown

SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""An id, whole."""

RULE = "1 to 128 letters, digits, '_' or '-'"
"""The same in words, after "a session id is"."""


def is_session_id(session: str) -> bool:
    """Whether this can be a session's id."""
    return SESSION_ID.fullmatch(session) is not None


def not_an_id(session: object) -> str:
    """What to say of an id that is none."""
    return f"session id {shown(session)} is not {RULE}"
