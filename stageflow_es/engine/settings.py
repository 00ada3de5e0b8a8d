"""What an operator may set of an engine. Times are seconds."""

from __future__ import annotations

import msgspec

from stageflow_es.errors import OperatorError

_COUNTS = ("max_running", "batch", "append_limit")


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`max_running`: sessions whose stages run at once; `park_after`: how long a stage waits in memory before it is
    taken out; `max_waiting`: stages that wait in memory at most, the longest taken out before their time;
    `interrupt_limit`: how often a run may be lost with its engine; `checkpoint_every`: how often a changed checkpoint
    is written; `list_limit`: sessions a checkpoint lists; `batch`: messages asked for at once; `fetch_wait`: how long
    a fetch may wait; `local_timers`: timers shorter than this are kept on the event loop; `append_limit`: events of
    one session appended at once; `snapshot_after`: how many events a session has at most that is loaded from its whole
    history, longer ones from a snapshot and what came after it; `blocked_after`: how long a stage may hold up the
    event loop before it is reported. Raises OperatorError on settings nothing would run with."""

    max_running: int = 1000
    park_after: float = 1.0
    max_waiting: int = 250
    interrupt_limit: int = 3
    checkpoint_every: float = 1.0
    list_limit: int = 4096
    batch: int = 500
    fetch_wait: float = 2.0
    local_timers: float = 1.0
    append_limit: int = 400
    snapshot_after: int = 500
    blocked_after: float = 0.5

    def __post_init__(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise OperatorError(f"the engine setting {name} must be at least 1, not {getattr(self, name)}")
