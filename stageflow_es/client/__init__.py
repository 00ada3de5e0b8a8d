"""What a Python user calls: start sessions, follow them, send them inputs, steer them, read what they came to.

    async with connect("nats://127.0.0.1:4222") as client:
        session = await client.start("order-approval", payload={"amount": 120})
        await session.input("approval", {"approved": True})
        print((await session.result()).artifacts)

- `address`   which server, and with which credentials: URL, environment, contexts of the `nats` command
- `connecting` from there to a client: `connect`
- `client`    `Client`: sessions and pipelines of one bus
- `handle`    `SessionHandle`: one session
- `commands`  sending a command and learning what became of it, by `hearing` what is said of its session
- `follow`    a session's events, stored ones first, then live, without a gap; `journal` reads the stored ones
- `ending`    how a session ends, where that is soon; `outcome`: what that means
- `selection` which sessions an operator means, and `bulk`: one command to all of them
- `archiving` a finished session's history into a file (`exports`), and off the bus
- `auditing`  a stored history for whoever verifies it
- `queries`   asking the query service; `arguments`: what callers give that is part of no command or question

Only NATS is needed: commands are published, events read from the stream where no query service answers.
"""

from __future__ import annotations

from stageflow_es.client.address import Address, resolve
from stageflow_es.client.archiving import Archived, Archivist, NotArchived
from stageflow_es.client.bulk import BulkAnswer
from stageflow_es.client.client import Client
from stageflow_es.client.connecting import connect
from stageflow_es.client.follow import UnknownEvent
from stageflow_es.client.handle import SessionHandle
from stageflow_es.client.outcome import Outcome
from stageflow_es.client.queries import PipelineCounts, QueryRefused, SessionCounts, SessionInfo
from stageflow_es.client.selection import Selection

__all__ = [
    "Address",
    "Archived",
    "Archivist",
    "BulkAnswer",
    "Client",
    "NotArchived",
    "Outcome",
    "PipelineCounts",
    "QueryRefused",
    "Selection",
    "SessionCounts",
    "SessionHandle",
    "SessionInfo",
    "UnknownEvent",
    "connect",
    "resolve",
]
