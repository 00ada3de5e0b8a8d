"""Archiving over both buses: what is in the file, what stays on the bus, and being broken off anywhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stageflow_es.audit import verify_history
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.memory import MemoryEventFeed
from stageflow_es.client import exports
from stageflow_es.client.archiving import Archivist, NotArchived
from stageflow_es.engine.ports import Bus, Unanswered
from stageflow_es.errors import OperatorError
from stageflow_es.projection import Projector, Queries, QueryProblem, Reader, Store, rebuild
from stageflow_es.session import events as ev
from stageflow_es.session.verify import Verified

from .cluster import PATIENCE, Cluster, Doomed, chain, gated, kinds, watch_rejections
from .conftest import JetStreamRig, Rig


def archivist(bus: Bus, directory: Path, **options: Any) -> Archivist:
    return Archivist(bus.events, bus.definitions, bus.commands.reject, directory, **options)  # type: ignore[arg-type]


def exported(directory: Path) -> list[bytes]:
    """The events in the export of s1."""
    return (directory / "s1.jsonl").read_bytes().split(b"\n")[1:-1]


def files(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


async def finished(cluster: Cluster, session: str = "s1", length: int = 1) -> list[bytes]:
    await cluster.send("start", session, {"pipeline": chain(length), "labels": {"k": "v"}}, f"{session}-start")
    await cluster.ended(session)
    return [stored.data for stored in await cluster.bus.events.read(session)]


async def failed(cluster: Cluster, session: str = "s1") -> None:
    nodes = [{**node, "stage": "Doomed"} if node["id"] == "n0" else node for node in chain(1)["nodes"]]
    await cluster.start(session, {"entry": "n0", "nodes": nodes})
    await cluster.until(session, lambda h: isinstance(h[-1], ev.SessionFailed) if h else False)


async def test_of_an_archived_session_its_last_event_stays_and_the_file_verifies(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.engine()
    history = await finished(cluster)
    done = await archivist(cluster.bus, tmp_path / "archive").archive("s1")
    (stone,) = await cluster.history("s1")
    assert isinstance(stone, ev.SessionArchived)
    assert (stone.n, stone.count, stone.start_id) == (len(history) + 1, len(history), "s1-start")
    assert stone.summary["artifacts"] == {"value": 1, "answer": None}
    assert done.path == str(tmp_path / "archive" / "s1.jsonl")
    assert done.digest == stone.export_digest
    assert exported(tmp_path / "archive") == history
    verdict = verify_history(done.path, head=stone.head, count=stone.count)
    assert isinstance(verdict, Verified)
    assert files(tmp_path / "archive") == ["s1.jsonl"]


async def test_an_archived_id_is_never_born_again_and_every_command_to_it_is_rejected_in_words(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.engine()
    await finished(cluster)
    await archivist(cluster.bus, tmp_path).archive("s1")
    rejections = await watch_rejections(cluster)
    await cluster.start("s1", chain(1))
    await cluster.send("control", "s1", {"action": "retry"})
    await cluster.send("input", "s1", {"type": "x"})
    await cluster.send("start", "f1", {"fork": {"session": "s1"}})
    async with asyncio.timeout(PATIENCE):
        said = [msgspec.json.encode(await rejections.get()).decode() for _ in range(4)]
    assert sum("archived" in answer for answer in said) == 4
    assert sum("id is not used again" in answer for answer in said) == 1
    history = await cluster.until("s1", lambda h: len(h) == 4)
    assert kinds(history) == ["session_archived", *["command_rejected"] * 3]


async def test_the_start_of_an_archived_session_sent_again_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.engine()
    await finished(cluster)
    await archivist(cluster.bus, tmp_path).archive("s1")
    await cluster.send("start", "s1", {"pipeline": chain(1)}, "s1-start")
    await cluster.send("control", "s1", {"action": "stop"})
    assert kinds(await cluster.until("s1", lambda h: len(h) == 2)) == ["session_archived", "command_rejected"]


async def test_engines_that_come_later_know_that_it_is_archived(cluster: Cluster, tmp_path: Path) -> None:
    one = await cluster.engine("one")
    await finished(cluster)
    await one.kill()
    cluster.rig.leases_run_out()
    await archivist(cluster.bus, tmp_path).archive("s1")
    await cluster.engine("two", await cluster.rig.second_bus())
    await cluster.send("control", "s1", {"action": "stop"})
    assert kinds(await cluster.until("s1", lambda h: len(h) == 2)) == ["session_archived", "command_rejected"]


async def test_what_has_not_ended_is_left_as_it_is(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.engine()
    await cluster.start("s1", gated())
    await cluster.until("s1", bool)
    for session, message in (("s1", "has not ended"), ("nobody", "no such session")):
        with pytest.raises(NotArchived, match=message):
            await archivist(cluster.bus, tmp_path).archive(session)
    assert files(tmp_path) == []


async def test_a_failed_session_is_archived_only_when_that_is_said(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.engine()
    await failed(cluster)
    with pytest.raises(NotArchived, match="can be retried"):
        await archivist(cluster.bus, tmp_path).archive("s1")
    await archivist(cluster.bus, tmp_path, include_failed=True).archive("s1")
    (stone,) = await cluster.history("s1")
    assert stone.summary["error"]["message"] == "broken"  # type: ignore[union-attr]
    Doomed.broken = False
    await cluster.send("control", "s1", {"action": "retry"})
    assert kinds(await cluster.until("s1", lambda h: len(h) == 2))[-1] == "command_rejected"


async def test_a_refusal_behind_the_end_is_answered_before_its_history_goes_whether_its_engine_came_to_it_or_not(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.engine()
    await finished(cluster)
    refused = await cluster.send("control", "s1", {"action": "stop"})
    await cluster.until("s1", lambda h: isinstance(h[-1], ev.CommandRejected))
    answered: list[tuple[str, int]] = []

    async def reject(session: str, seq: int, data: bytes) -> None:
        answered.append((session, seq))

    events: Any = cluster.bus.events
    await Archivist(events, cluster.bus.definitions, reject, tmp_path).archive("s1")
    assert answered == [("s1", refused)]


# --- broken off ---


def leave(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).touch()


class Fragile:
    """An event log whose next calls go wrong: `before` or `after` having done what they should."""

    def __init__(self, log: Any, call: str, when: str) -> None:
        self._log = log
        self._broken = call, when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, *arguments: Any) -> int:
        return int(await self._do("append", *arguments))

    async def forget(self, *arguments: Any) -> None:
        await self._do("forget", *arguments)

    async def _do(self, name: str, *arguments: Any) -> Any:
        if self._broken == (name, "before"):
            raise Unanswered("broken off")
        answer = await getattr(self._log, name)(*arguments)
        if self._broken == (name, "after"):
            raise Unanswered("broken off")
        return answer


@pytest.mark.parametrize("call", ["append", "forget"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("meanwhile", [False, True])
async def test_broken_off_anywhere_it_is_finished_when_it_is_done_again(
    cluster: Cluster, tmp_path: Path, call: str, when: str, meanwhile: bool
) -> None:
    """`meanwhile`: before it is done again, a command comes, which is recorded as refused."""
    await cluster.engine()
    await finished(cluster)
    events: Any = Fragile(cluster.bus.events, call, when)
    fragile = Archivist(events, cluster.bus.definitions, cluster.bus.commands.reject, tmp_path)
    with pytest.raises(OperatorError, match="broken off"):
        await fragile.archive("s1")
    if meanwhile:
        before = len(await cluster.history("s1"))
        await cluster.send("control", "s1", {"action": "stop"})
        await cluster.until("s1", lambda h: len(h) == before + 1)

    done = await archivist(cluster.bus, tmp_path).archive("s1")
    again = await archivist(cluster.bus, tmp_path).archive("s1")

    stone, *rest = await cluster.history("s1")
    assert isinstance(stone, ev.SessionArchived)
    assert len(rest) == (meanwhile and (call, when) != ("append", "before"))
    assert (done.digest, again.digest, again.before) == (stone.export_digest, stone.export_digest, True)
    assert isinstance(verify_history(tmp_path / "s1.jsonl", head=stone.head, count=stone.count), Verified)


@pytest.mark.parametrize(("call", "when"), [("append", "after"), ("forget", "before"), ("forget", "after")])
async def test_what_was_broken_off_is_found_again_by_its_mark(
    cluster: Cluster, tmp_path: Path, call: str, when: str
) -> None:
    await cluster.engine()
    await finished(cluster)
    events: Any = Fragile(cluster.bus.events, call, when)
    with pytest.raises(OperatorError):
        await Archivist(events, cluster.bus.definitions, cluster.bus.commands.reject, tmp_path).archive("s1")
    later = archivist(cluster.bus, tmp_path)
    assert later.begun() == ["s1"]
    await later.archive("s1")
    assert later.begun() == []
    assert len(await cluster.history("s1")) == 1
    assert files(tmp_path) == ["s1.jsonl"]


async def test_a_mark_of_a_session_that_went_on_is_forgotten_and_so_is_what_dead_processes_left(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.engine()
    await finished(cluster)
    alive = f".s1.jsonl.{os.getppid()}"
    leave(tmp_path, ".s1.begun", ".s1.jsonl.999999999", f".s1.jsonl.{os.getpid()}", alive)
    events: Any = Fragile(cluster.bus.events, "append", "before")
    with pytest.raises(OperatorError):
        await Archivist(events, cluster.bus.definitions, cluster.bus.commands.reject, tmp_path).archive("s1")
    assert files(tmp_path) == [".s1.begun", alive, "s1.jsonl"]
    with pytest.raises(NotArchived):
        await archivist(cluster.bus, tmp_path).archive("nobody")
    await failed(cluster, "s2")
    leave(tmp_path, ".s2.begun")
    with pytest.raises(NotArchived, match="can be retried"):
        await archivist(cluster.bus, tmp_path).archive("s2")
    assert archivist(cluster.bus, tmp_path).begun() == ["s1"]


async def test_an_export_that_an_earlier_release_wrote_is_as_good_as_our_own(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.engine()
    await finished(cluster)
    events: Any = Fragile(cluster.bus.events, "forget", "before")
    with monkeypatch.context() as before:
        before.setattr(exports, "__version__", "0.0.1")
        with pytest.raises(OperatorError):
            await Archivist(events, cluster.bus.definitions, cluster.bus.commands.reject, tmp_path).archive("s1")
    written = (tmp_path / "s1.jsonl").read_bytes()
    await archivist(cluster.bus, tmp_path).archive("s1")
    assert (tmp_path / "s1.jsonl").read_bytes() == written
    assert len(await cluster.history("s1")) == 1


async def test_without_its_file_a_session_is_not_purged(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.engine()
    history = await finished(cluster)
    events: Any = Fragile(cluster.bus.events, "forget", "before")
    with pytest.raises(OperatorError):
        await Archivist(events, cluster.bus.definitions, cluster.bus.commands.reject, tmp_path / "one").archive("s1")
    (tmp_path / "one" / "s1.jsonl").unlink()
    await archivist(cluster.bus, tmp_path / "two").archive("s1")
    assert exported(tmp_path / "two") == history
    assert len(await cluster.history("s1")) == 1


async def test_with_another_file_than_the_one_its_last_event_names_a_session_is_not_purged(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.engine()
    history = await finished(cluster)
    events: Any = Fragile(cluster.bus.events, "forget", "before")
    with pytest.raises(OperatorError):
        await Archivist(events, cluster.bus.definitions, cluster.bus.commands.reject, tmp_path / "one").archive("s1")
    monkeypatch.setattr(exports, "__version__", "0.0.1")
    with pytest.raises(NotArchived, match="name the directory that file is in"):
        await archivist(cluster.bus, tmp_path / "two").archive("s1")
    assert len(await cluster.history("s1")) == len(history) + 1
    await archivist(cluster.bus, tmp_path / "one").archive("s1")
    assert len(await cluster.history("s1")) == 1


async def test_where_no_file_can_be_written_the_operator_is_told_and_the_history_stays(
    cluster: Cluster, tmp_path: Path
) -> None:
    await cluster.engine()
    history = await finished(cluster)
    (tmp_path / "archive").write_text("a file")
    with pytest.raises(OperatorError, match="s1 cannot be written"):
        await archivist(cluster.bus, tmp_path / "archive").archive("s1")
    assert len(await cluster.history("s1")) == len(history)


async def test_a_history_that_is_broken_stays_as_it_is(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.engine()
    history = await finished(cluster)
    head = await cluster.bus.events.head("s1")
    assert head is not None
    await cluster.bus.events.append("s1", [history[-1]], head.seq)
    with pytest.raises(NotArchived, match="its history is broken"):
        await archivist(cluster.bus, tmp_path).archive("s1")
    assert len(await cluster.history("s1")) == len(history) + 1
    assert files(tmp_path) == []


async def test_another_history_in_the_way_is_not_written_over(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.engine()
    await finished(cluster)
    (tmp_path / "s1.jsonl").write_text("dear diary")
    with pytest.raises(NotArchived, match="holds something else"):
        await archivist(cluster.bus, tmp_path).archive("s1")
    assert (tmp_path / "s1.jsonl").read_text() == "dear diary"
    assert len(await cluster.history("s1")) > 1


async def test_what_happens_while_it_is_archived_wins(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.engine()
    await finished(cluster)
    slow = archivist(cluster.bus, tmp_path)
    pay: Callable[..., Any] = slow._pay_rejection

    async def interfere(state: Any) -> None:
        await cluster.send("control", "s1", {"action": "stop"})
        await cluster.until("s1", lambda h: isinstance(h[-1], ev.CommandRejected))
        await pay(state)

    slow._pay_rejection = interfere  # type: ignore[method-assign]
    with pytest.raises(NotArchived, match="meanwhile"):
        await slow.archive("s1")
    done = await archivist(cluster.bus, tmp_path).archive("s1")
    assert done.count == 5


# --- what reads it ---


async def test_the_projection_shows_it_and_is_the_same_when_it_is_made_anew(
    cluster: Cluster, rig: Rig, tmp_path: Path
) -> None:
    await cluster.engine()
    await finished(cluster)
    link = None
    if isinstance(rig, JetStreamRig):
        link = await Link.open(rig.bus.connection, 5)
        feed: Any = JetStreamEventFeed(link, rig.bus.settings)
    else:
        feed = MemoryEventFeed(rig.bus.events)  # type: ignore[arg-type]
    path = tmp_path / "p.db"
    store = Store(path)
    projector = Projector(feed, cluster.bus.definitions, store)
    running = asyncio.create_task(projector.run())
    async with asyncio.timeout(PATIENCE):
        await projector.caught_up(await feed.last())
        await archivist(cluster.bus, tmp_path).archive("s1")
        await projector.caught_up(await feed.last())
    await projector.stop()
    await running
    reader = Reader(path)
    queries = Queries(reader, feed, cluster.bus.definitions, largest=100_000)

    row = msgspec.json.decode(await queries.get("s1"))
    assert (row["status"], row["version"], row["artifacts"]) == ("archived", 5, {"value": 1, "answer": None})
    assert row["labels"] == {"k": "v"}
    history = msgspec.json.decode(await queries.history("s1", 1, 500))
    assert [event["type"] for event in history["events"]] == ["session_archived"]
    state = msgspec.json.decode(await queries.state("s1", None))
    assert (state["status"], state["artifacts"], state["labels"]) == ("archived", row["artifacts"], {"k": "v"})
    assert msgspec.json.decode(await queries.state("s1", 5)) == state
    with pytest.raises(QueryProblem, match="events 1 to 4 are in its export"):
        await queries.state("s1", 2)

    await store.close()
    await rebuild(path, feed, cluster.bus.definitions)
    assert msgspec.json.decode(await queries.get("s1")) == row
    await reader.close()
    if link is not None:
        await link.close()
