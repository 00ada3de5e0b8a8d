"""How far the scopes of a session may spread. Without these bounds a definition whose branch or body leads back to the
node that opened it would take all the memory of its engine before it has made `max_transitions`."""

from __future__ import annotations

from typing import Final

from stageflow_es.session.events import ErrorInfo
from stageflow_es.session.state import Scope, State, scope_path

MAX_DEPTH: Final = 256
"""Scopes within each other, at most."""
MAX_SCOPES: Final = 100_000
"""Scopes open at once, at most."""
MAX_PATH: Final = 2_000
"""Characters in the path of a scope that others are opened in, at most."""


def no_room(state: State, scope: Scope, node: str, more: int) -> ErrorInfo | None:
    """Why a node cannot open `more` scopes inside `scope`, None: it can."""
    problem = None
    if _depth(state, scope) >= MAX_DEPTH:
        problem = f"scopes are {MAX_DEPTH} deep inside one another here, which is the most"
    elif len(path := scope_path(scope.path, node)) > MAX_PATH:
        problem = f"the path of its scopes would be {len(path):,} characters long, {MAX_PATH:,} are the most"
    elif len(state.scopes) + more > MAX_SCOPES:
        problem = f"{more:,} more scopes would be too many, {MAX_SCOPES:,} may be open at once: see max_concurrency"
    if problem is None:
        return None
    return ErrorInfo(type="ScopeLimit", message=f"node {node!r} cannot begin: {problem}", node=node, scope=scope.path)


def _depth(state: State, scope: Scope) -> int:
    depth = 0
    while scope.parent is not None:
        depth += 1
        scope = state.scopes[scope.parent]
    return depth
