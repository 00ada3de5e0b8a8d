"""The bus on NATS JetStream.

- `bus`           `JetStreamBus`: every port over one connection
- `settings`      what an operator may choose
- `connection`    the NATS client, proof against what strangers may send; `line_parser` reads the protocol
- `link`          requests, answers, and the JSON API over it; `incoming` is a message as it came, `frames` are messages
                  as bytes, `outbox` batches of them
- `subjects`      what is published where (pure)
- `streams`       the streams and buckets: created, or checked; `layout` is what they have to be (pure)
- `event_log`     histories; `group_commit` is how each `append` of a moment shares one sync, `chain` how a few go out
- `command_log`, `timers`   the two logs an engine reads, with `log_reader`; `log_identity`: still the same log?
- `checkpoints`, `leases`, `definitions`   over `bucket`, a key-value bucket
- `snapshots`     states of long sessions, asked of the query service
- `event_feed`    all sessions' events in order, for projections
- `direct_get`    reading what is stored: from the leader, or in pages
- `micro`         answering questions, as a NATS micro service
- `server`        `EmbeddedServer`: a NATS server of our own, with `staging` of its batches in memory
"""

from __future__ import annotations

from stageflow_es.bus.jetstream.bus import JetStreamBus
from stageflow_es.bus.jetstream.connection import Connection, connect
from stageflow_es.bus.jetstream.server import EmbeddedServer, find_server
from stageflow_es.bus.jetstream.settings import BusSettings

__all__ = ["BusSettings", "Connection", "EmbeddedServer", "JetStreamBus", "connect", "find_server"]
