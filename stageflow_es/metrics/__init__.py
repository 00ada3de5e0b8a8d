"""What a Prometheus, or whoever reads its format, collects of an installation: all of it read over the bus.

    async with MetricsServer("127.0.0.1", 9464, Observer(connect)) as server:
        ...

No engine and no projector opens a port, and nobody follows the events for it: engines say how they are when they say
that they are alive, the projection keeps counts of the sessions, and the server knows its streams. What cannot be read
just now is left out, and `stageflow_up` says so: a page is made anew for whoever asks, but for those who ask within a
second.

- `server`      HTTP, of which it knows as much as scrapers need; `listening` is where it listens
- `page`        a request's answer
- `observer`    one reading of all sources, however many ask; each within its time
- `exposition`  families of numbers as text, in either format

The sources, each of which turns what somebody says into families:

- `streams`     the streams, and what they may grow to
- `engines`     engines alive; `partitions` who holds which, and what waits in them
- `projection`  how far it is behind, and how many sessions have which status
"""

from __future__ import annotations

from stageflow_es.metrics.listening import DEFAULT, Listen
from stageflow_es.metrics.observer import Observer
from stageflow_es.metrics.server import MetricsServer

__all__ = ["DEFAULT", "Listen", "MetricsServer", "Observer"]
