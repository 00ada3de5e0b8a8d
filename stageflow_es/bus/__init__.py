"""Buses: the engine's ports, implemented.

- `memory/`     `MemoryBus`, the reference: exact, in one process, without a clock of its own
- `jetstream/`  `JetStreamBus`, the real thing, and `EmbeddedServer`
- `partition`   which partition a session belongs to, and `feed_event` what a feed delivers: the same on both

Nothing is imported here: the NATS client comes with `stageflow_es.bus.jetstream` only.
"""
