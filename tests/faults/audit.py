"""What must hold afterwards: of the histories, the trace outside, the commands, the projection, and the logs.

Every check returns what is wrong, one sentence each; nothing is taken from the processes under test but what they
stored, and what their watchdogs say they stood still in.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from stageflow_es.bus.jetstream.definitions import JetStreamDefinitions
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.log_reader import Delivery, LogReader
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.pipeline import Pipeline
from stageflow_es.projection import rebuild
from stageflow_es.session import events as ev
from stageflow_es.session.verify import Broken, verify
from tests.faults.clients import Sent
from tests.faults.observer import outcome_of
from tests.faults.processes import Process
from tests.faults.standstill import Standstill
from tests.faults.trace import Trace

SLACK = 100_000_000
"""Nanoseconds a trace line may be later than what the server stamped: an event of a batch is stamped before the batch
is synced and can be read, a rival that read the history just before that begins when its turn comes, on a busy machine
some 30 ms later, and the clocks are read at different moments. Who wrongly begins again after a crash is later by
far: a process takes 200 ms to come up."""
LATE = 1_000_000_000
"""Nanoseconds between the decision of an event and its storing above which its append was held up on the way. Whoever
took the session over meanwhile read its history before that, and may have begun for so long after it."""


class Record(msgspec.Struct, frozen=True):
    """One stored event: its bytes, what they say, and when the server stored them, nanoseconds since 1970."""

    data: bytes
    event: ev.AnyEvent
    stored: int
    seq: int


Histories = Mapping[str, list[Record]]


async def _stream(link: Link, settings: BusSettings, stream: str, filter_: str) -> list[Delivery]:
    """Everything in a stream, in order."""
    info = await link.api(f"STREAM.INFO.{stream}")
    last = int(info["state"]["last_seq"])
    found: list[Delivery] = []
    if int(info["state"]["messages"]) == 0:
        return found
    reader = await LogReader(link, settings, stream, [filter_], 0, lambda delivery: delivery).start()
    while not found or found[-1].seq < last:
        found += await reader.fetch(5000, 5.0)
    await reader.close()
    return found


async def read_histories(link: Link, settings: BusSettings) -> Histories:
    names = Names(settings.prefix)
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for one in await _stream(link, settings, names.events, names.event("*")):
        data = one.message.data
        found[names.session_of_event(one.message.subject)].append(Record(data, ev.decode(data), one.at, one.seq))
    return found


async def read_rejections(link: Link, settings: BusSettings) -> list[int]:
    """The command sequences that were answered by a rejection."""
    names = Names(settings.prefix)
    stored = await _stream(link, settings, names.rejections, names.every_rejection())
    return [msgspec.json.decode(one.message.data)["command_seq"] for one in stored]


async def read_pipelines(link: Link, histories: Histories) -> dict[str, Pipeline]:
    """The definitions the sessions are pinned to, by digest."""
    definitions = JetStreamDefinitions(link, Names("stageflow"))
    firsts = (records[0].event for records in histories.values())
    digests = {first.digest for first in firsts if isinstance(first, ev.SessionStarted)}
    found = {}
    for digest in digests:
        data = await definitions.get(digest)
        assert data is not None, f"the definition {digest} is not stored"
        found[digest] = Pipeline.trusted(data)
    return found


def chains(histories: Histories, pipelines: Mapping[str, Pipeline]) -> Iterable[str]:
    """Every history verifies: each event follows from the definition and from the bytes of the one before."""
    for session, records in histories.items():
        first = records[0].event
        if not isinstance(first, ev.SessionStarted):
            yield f"{session}: begins with {type(first).__name__}"
            continue
        verdict = verify(pipelines[first.digest], (record.data for record in records), session=session)
        if isinstance(verdict, Broken):
            yield f"{session}: {verdict}"


def outcomes(histories: Histories, expected: Mapping[str, dict[str, Any] | str]) -> Iterable[str]:
    """Every session came to what its script says."""
    for session in histories:
        if session not in expected:
            yield f"{session}: nobody started it"
    for session, wanted in expected.items():
        last = outcome_of([record.event for record in histories.get(session, [])])
        match last:
            case ev.SessionCompleted() if wanted != "stopped":
                if last.artifacts != wanted:
                    yield f"{session}: came to {last.artifacts}, not {wanted}"
            case ev.SessionStopped() if wanted == "stopped":
                pass
            case _:
                yield f"{session}: ended as {last}, not {wanted}"


def once_each(histories: Histories) -> Iterable[str]:
    """No stage completes twice, no timer fires twice or early, no wait takes two inputs, no input two waits."""
    for session, records in histories.items():
        seen: Counter[str] = Counter()
        due: dict[str, str] = {}
        for record in records:
            event = record.event
            match event:
                case ev.StageCompleted() | ev.StageSkipped():
                    seen[f"end of {str(event.cause).rsplit('.', 1)[0]} at {event.scope}/{event.node}"] += isinstance(
                        event, ev.StageCompleted
                    )
                case ev.StepCompleted():
                    seen[f"step {event.name} of {event.cause}"] += 1
                case ev.TimerFired() | ev.InputTimeout():
                    seen[f"timer {event.timer}"] += 1
                    if event.timer in due and event.at < due[event.timer]:
                        yield f"{session}: timer {event.timer} fired at {event.at}, due {due[event.timer]}"
                case ev.UserInput() if event.waits:
                    seen.update(f"wait {wait}" for wait in event.waits)
                case ev.WaitingForInput(took=int(n)):
                    seen[f"buffered input {n}"] += 1
                case _:
                    pass
            if getattr(event, "due", None) and getattr(event, "timer", None):
                due[event.timer] = event.due  # type: ignore[union-attr, assignment]
        yield from (f"{session}: {what} {count} times" for what, count in seen.items() if count > 1)


def commands(histories: Histories, rejected: list[int], sent: list[Sent]) -> Iterable[str]:
    """Every acknowledged command was applied once or answered by a rejection, and every one refused was answered."""
    answered = set(rejected)
    for session, records in histories.items():
        by_id: Counter[str] = Counter()
        for record in records:
            event = record.event
            id_ = getattr(event, "command_id", None)
            if id_ is not None:
                by_id[id_] += 1
            if isinstance(event, ev.CommandRejected | ev.SkipDenied) and event.cause not in answered:
                yield f"{session}: command {event.cause} was refused and no rejection published"
        yield from (f"{session}: command {id_} applied {count} times" for id_, count in by_id.items() if count > 1)
    for one in sent:
        causes = {getattr(record.event, "command_id", None) for record in histories.get(one.session, [])}
        if one.id not in causes and one.seq not in answered:
            yield f"{one.session}: command {one.id} ({one.seq}) was acknowledged and is lost"


def never_again(histories: Histories, trace: list[Trace], standstills: Iterable[Standstill] = ()) -> Iterable[str]:
    """No run began after its stage's end was stored, no step after its result was; but for the one that an engine was
    about to begin when it came to a standstill."""
    excuses = list(standstills)
    ended: dict[tuple[str, str], Record] = {}
    for session, records in histories.items():
        for record in records:
            event = record.event
            if isinstance(event, ev.StageCompleted | ev.StepCompleted):
                visit = str(event.cause).rsplit("#", 1)[1].split(".")[0]
                key = f"{session}:{event.scope}:{event.node}:{visit}"
                ended[key, event.name if isinstance(event, ev.StepCompleted) else "-"] = record
    for line in trace:
        end = ended.get((line.key, line.detail))
        if end is not None and line.at > end.stored + (LATE if _held_up(end) else SLACK):
            excuse = next((one for one in excuses if one.explains(line, end.stored)), None)
            if excuse is not None:
                excuses.remove(excuse)
                continue
            late = (line.at - end.stored) / 1e6
            yield f"{line.what} {line.key} {line.detail} began again {late:.1f} ms after its end"


def _held_up(record: Record) -> bool:
    return record.stored - int(datetime.fromisoformat(record.event.at).timestamp() * 1e9) > LATE


_TABLES = {
    "sessions": "SELECT * FROM sessions ORDER BY session",
    "snapshots": "SELECT * FROM snapshots ORDER BY session",
    "labels": "SELECT * FROM labels ORDER BY name, value, session",
    "counts": "SELECT * FROM counts ORDER BY 1, 2",
    "marks": "SELECT * FROM marks ORDER BY 1, 2",
    "checkpoint": "SELECT stream_created, seq FROM checkpoint",
}


async def projection(db: Path, link: Link, settings: BusSettings) -> Iterable[str]:
    """The tables the projector wrote across everything equal those made from the events in one go."""
    anew = db.with_name("anew.db")
    names = Names(settings.prefix)
    await rebuild(anew, JetStreamEventFeed(link, settings), JetStreamDefinitions(link, names))
    wrong = []
    with closing(sqlite3.connect(db)) as had, closing(sqlite3.connect(anew)) as made:
        for table, question in _TABLES.items():
            before, after = (connection.execute(question).fetchall() for connection in (had, made))
            if before != after:
                differing = [pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]]
                wrong.append(f"{table}: {len(before)} rows, rebuilt {len(after)}; {str(differing[:1])[:1500]}")
    return wrong


def logs(processes: Iterable[Process]) -> Iterable[str]:
    """No traceback but those of the stages that raise: what faults bring about is expected, and said in a sentence."""
    for process in processes:
        text = process.log.read_text(errors="replace") if process.log.exists() else ""
        for line in text.splitlines():
            if '"event": "stage_failed"' in line:
                continue
            if "Traceback (most recent call last)" in line or '"level": "error"' in line:
                yield f"{process.name}: {line[:3000]}"
