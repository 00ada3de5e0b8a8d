"""The reference bus: every port in one process, exact, durable for as long as the object lives.

- `bus`           `MemoryBus`: every port, and the time they share
- `event_log`     histories; `event_feed` is all of them in one order, for a projector
- `command_log`, `timers`   the two logs an engine reads, over `partitioned_log`
- `checkpoints`, `leases`   over `bucket`, values with the revisions that wrote them
- `definitions`, `snapshots`

It has no time of its own. `clock` says what time it is; `advance(now)` moves a bus without one. Timers that
are due fire, and leases whose term is over vanish, at the next operation or at `advance`. Everything takes
effect at once, so a simulator decides alone what happens when; `next_due` tells it when something would.
"""

from __future__ import annotations

from stageflow_es.bus.memory.bus import MemoryBus
from stageflow_es.bus.memory.event_feed import MemoryEventFeed
from stageflow_es.bus.memory.event_log import MemoryEventLog
from stageflow_es.bus.memory.leases import MemoryLeases

__all__ = ["MemoryBus", "MemoryEventFeed", "MemoryEventLog", "MemoryLeases"]
