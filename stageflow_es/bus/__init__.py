"""Buses: the engine's ports, implemented.

- `memory`      `MemoryBus`, the reference: exact, in one process, without a clock of its own
- `jetstream/`  `JetStreamBus`, the real thing, and `EmbeddedServer`
- `partition`   which partition a session belongs to, the same on both

The NATS client is imported with `stageflow_es.bus.jetstream` only.
"""

from __future__ import annotations

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.bus.partition import partition_of

__all__ = ["MemoryBus", "partition_of"]
