"""What the connected server really promises, and whether those who work on it keep up: in plain words, for operators.

    async with connect() as client:
        for finding in await examine(client):
            print(finding.severity, finding.about, finding.says)

It only looks, with whatever permissions its user has: nothing is stored or changed (`measure` is the exception, and has
to be asked for). What it may not see is a finding too. No question waits for ever.

- `finding`     one thing found: how bad it is, what it means, what to do
- `patient`     what is examined, and questions to it that come to an end
- `server`      version, JetStream, limits; `syncing` is about when writes reach the disk
- `insight`     what only the monitoring port or the system account shows
- `streams`     the streams' configurations, copies and room; `fullness` is how full something is
- `rights`      what this user may do, tried without doing it
- `clocks`      whether this machine's and the engines' agree with the server's
- `engines`     engines alive and the partitions they hold; `backlog` is what they have not done yet
- `projection`  the query service
- `examination` all of it, in order, within bounds
"""

from __future__ import annotations

from stageflow_es.doctor.examination import examine
from stageflow_es.doctor.finding import Finding, Severity, worst
from stageflow_es.doctor.insight import look_inside

__all__ = ["Finding", "Severity", "examine", "look_inside", "worst"]
