"""The engine over both buses: a session from its start to its end, and what outlives an engine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import pytest

from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.ports import Bus
from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of
from stageflow_es.stages import BaseStage

from .conftest import Rig

PATIENCE = 20


class Count(BaseStage):
    """Counts its runs, per session and node."""

    stage_name = "Count"
    runs: ClassVar[dict[tuple[str, str], int]] = {}

    async def run(self) -> None:
        key = (self.session.id, self.stage_id)
        self.runs[key] = self.runs.get(key, 0) + 1
        self.set_outputs({"value": (self.get_arguments().get("value") or 0) + 1})


class Approval(BaseStage):
    """Records a step, says something, and waits."""

    stage_name = "Approval"
    steps: ClassVar[dict[str, int]] = {}

    async def run(self) -> None:
        async def charge(amount: int) -> dict[str, int]:
            self.steps[self.session.id] = self.steps.get(self.session.id, 0) + 1
            return {"charged": amount}

        receipt = await self.step("charge", charge, 42)
        self.emit("asked", {"receipt": receipt})
        answer = await self.wait_input("approval", timeout=self.config.get("timeout"))
        self.set_outputs({"answer": answer["payload"] if answer else "timeout", "receipt": receipt})


class Gate(BaseStage):
    """Runs until the test opens it."""

    stage_name = "Gate"
    skipable = True
    began: ClassVar[dict[str, asyncio.Event]] = {}
    opened: ClassVar[dict[str, asyncio.Event]] = {}

    async def run(self) -> None:
        self.began.setdefault(self.session.id, asyncio.Event()).set()
        await self.opened.setdefault(self.session.id, asyncio.Event()).wait()


class Doomed(BaseStage):
    stage_name = "Doomed"
    broken: ClassVar[bool] = True

    async def run(self) -> None:
        if self.broken:
            raise ValueError("broken")


class Threaded(BaseStage):
    """Blocks, in a thread, and makes every durable call from there."""

    stage_name = "Threaded"
    blocking = True

    async def run(self) -> None:
        time.sleep(0.01)  # noqa: ASYNC251
        name = await self.step("where", lambda: threading.current_thread() is threading.main_thread())
        self.emit("said", {"main": name})
        answer = await self.wait_input("approval")
        assert answer is not None
        self.set_outputs({"value": self.get_arguments()["value"], "answer": [name, answer["payload"]]})


class Hog(BaseStage):
    stage_name = "Hog"

    async def run(self) -> None:
        time.sleep(0.5)  # noqa: ASYNC251


class Quits(BaseStage):
    stage_name = "Quits"

    async def run(self) -> None:
        raise SystemExit(3)


STAGES: dict[str, type[BaseStage]] = {
    stage.stage_name: stage for stage in (Count, Approval, Gate, Doomed, Threaded, Hog, Quits)
}


def stage(id: str, name: str, next: str | None, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": name, "next": next, **fields}


END = {"id": "end", "type": "terminal", "result": {"ok": True}, "artifacts": ["value", "answer"]}
COUNTED = {"value": "value"}


def chain(length: int) -> dict[str, Any]:
    ids = [f"n{i}" for i in range(length)] + ["end"]
    nodes = [stage(here, "Count", then, arguments=COUNTED, outputs=COUNTED) for here, then in pairwise(ids)]
    return {"entry": ids[0], "nodes": [*nodes, END]}


def waiting(**config: Any) -> dict[str, Any]:
    outputs = {"answer": "answer", "receipt": "receipt"}
    return {"entry": "ask", "nodes": [stage("ask", "Approval", "end", outputs=outputs, config=config), END]}


def gated() -> dict[str, Any]:
    return {"entry": "gate", "nodes": [stage("gate", "Gate", "end"), END]}


class Cluster:
    """Engines on one bus, and what a client does there."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.bus: Bus = rig.bus
        self.engines: list[Engine] = []

    async def engine(self, name: str = "one", bus: Bus | None = None, **settings: Any) -> Engine:
        given = {"checkpoint_every": 0.05, "fetch_wait": 0.5, **settings}
        engine = Engine(bus or self.bus, name=name, settings=EngineSettings(**given), stages=STAGES)
        self.engines.append(engine)
        await asyncio.wait_for(engine.start(), PATIENCE)
        return engine

    async def send(self, kind: Any, session: str, body: Any, id: str | None = None) -> int:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.bus.publish(kind, session, data, id)

    async def start(self, session: str, pipeline: Any, **fields: Any) -> int:
        return await self.send("start", session, {"pipeline": pipeline, **fields})

    async def history(self, session: str) -> list[ev.AnyEvent]:
        return [ev.decode(stored.data) for stored in await self.bus.events.read(session)]

    async def until(self, session: str, seen: Callable[[list[ev.AnyEvent]], bool]) -> list[ev.AnyEvent]:
        """The history once it is as wanted."""
        history: list[ev.AnyEvent] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while not seen(history := await self.history(session)):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{session} came only to {[e.type for e in map(_named, history)]}") from None
        return history

    async def ended(self, session: str) -> list[ev.AnyEvent]:
        final = (ev.SessionCompleted, ev.SessionFailed, ev.SessionStopped)
        return await self.until(session, lambda h: bool(h) and isinstance(h[-1], final))

    async def close(self) -> None:
        for engine in self.engines:
            await engine.kill()


class _named:  # noqa: N801
    def __init__(self, event: ev.AnyEvent) -> None:
        self.type = type(event).__struct_config__.tag


def kinds(history: list[ev.AnyEvent]) -> list[str]:
    return [str(_named(event).type) for event in history]


def count(history: list[ev.AnyEvent], kind: type) -> int:
    return sum(isinstance(event, kind) for event in history)


@pytest.fixture
async def cluster(rig: Rig) -> AsyncIterator[Cluster]:
    for memory in (Count.runs, Approval.steps, Gate.began, Gate.opened):
        memory.clear()
    Doomed.broken = True
    cluster = Cluster(rig)
    yield cluster
    await cluster.close()


async def test_a_session_runs_to_its_end_with_one_event_a_transition_and_an_unbroken_chain(cluster: Cluster) -> None:
    await cluster.engine()
    seq = await cluster.start("s1", chain(3), payload={"value": 5}, labels={"k": "v"})
    history = await cluster.ended("s1")
    assert kinds(history) == ["session_started", *["stage_completed"] * 3, "session_terminated", "session_completed"]
    assert [event.n for event in history] == [1, 2, 3, 4, 5, 6]
    assert history[0].cause == seq
    stored = await cluster.bus.events.read("s1")
    assert [event.prev for event in history[1:]] == [hash_of(one.data) for one in stored[:-1]]
    last = history[-1]
    assert isinstance(last, ev.SessionCompleted)
    assert (last.result, last.artifacts) == ({"ok": True}, {"value": 8, "answer": None})


async def test_a_hundred_sessions_run_side_by_side(cluster: Cluster) -> None:
    await cluster.engine(max_running=10)
    await asyncio.gather(*(cluster.start(f"s{i}", chain(4)) for i in range(100)))
    for i in range(100):
        await cluster.ended(f"s{i}")
    assert set(Count.runs.values()) == {1}


async def test_an_input_wakes_a_stage_that_was_taken_out_of_memory(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01)
    await cluster.start("s1", waiting())
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    async with asyncio.timeout(PATIENCE):
        while any(held.partition._actors for held in cluster.engines[0]._held.values()):
            await asyncio.sleep(0.01)
    await cluster.send("input", "s1", {"type": "approval", "payload": "yes"})
    history = await cluster.ended("s1")
    assert history[-1].artifacts["answer"] == "yes"  # type: ignore[union-attr]
    assert (Approval.steps, count(history, ev.StageEvent), count(history, ev.WaitingForInput)) == ({"s1": 1}, 1, 1)
    assert count(history, ev.StageInterrupted) == 0


async def test_a_wait_that_times_out_goes_on_by_a_durable_timer(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01, local_timers=0.0)
    await cluster.start("s1", waiting(timeout=1.0))
    waiting_for = await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    assert waiting_for[-1].due is not None  # type: ignore[union-attr]
    await cluster.rig.until(datetime.fromisoformat(waiting_for[-1].due))  # type: ignore[union-attr]
    history = await cluster.ended("s1")
    assert history[-1].artifacts["answer"] == "timeout"  # type: ignore[union-attr]


async def test_another_engine_goes_on_where_a_dead_one_was_and_repeats_no_finished_stage(cluster: Cluster) -> None:
    one = await cluster.engine("one")
    nodes = [*chain(2)["nodes"][:2], stage("gate", "Gate", "end"), END]
    nodes[1]["next"] = "gate"
    await cluster.start("s1", {"entry": "n0", "nodes": nodes})
    await cluster.until("s1", lambda h: count(h, ev.StageCompleted) == 2)
    await Gate.began["s1"].wait()
    await one.kill()
    cluster.rig.leases_run_out()
    Gate.opened["s1"].set()
    await cluster.engine("two", await cluster.rig.second_bus())
    history = await cluster.ended("s1")
    assert (Count.runs["s1", "n0"], Count.runs["s1", "n1"]) == (1, 1)
    assert count(history, ev.StageInterrupted) == 1


async def test_a_clean_hand_over_blames_no_run(cluster: Cluster) -> None:
    one = await cluster.engine("one")
    await cluster.start("s1", gated())
    await cluster.until("s1", bool)
    await Gate.began["s1"].wait()
    await one.stop()
    Gate.opened["s1"].set()
    await cluster.engine("two", await cluster.rig.second_bus())
    history = await cluster.ended("s1")
    assert kinds(history) == ["session_started", "stage_completed", "session_terminated", "session_completed"]


async def test_a_stage_that_keeps_dying_with_its_engine_is_given_up(cluster: Cluster) -> None:
    await cluster.start("s1", gated())
    for round in range(3):
        Gate.began["s1"] = asyncio.Event()
        engine = await cluster.engine("one", interrupt_limit=2)
        await asyncio.wait_for(Gate.began["s1"].wait(), PATIENCE)
        await cluster.until("s1", lambda h, seen=round: count(h, ev.StageInterrupted) == seen)  # type: ignore[misc]
        await engine.kill()
    await cluster.engine("one", interrupt_limit=2)
    history = await cluster.ended("s1")
    assert kinds(history)[-2:] == ["stage_failed", "session_failed"]


async def test_commands_sent_while_no_engine_runs_are_applied_in_order(cluster: Cluster) -> None:
    await cluster.start("s1", waiting(), paused=True)
    await cluster.send("input", "s1", {"type": "approval", "payload": 1})
    await cluster.send("input", "s1", {"type": "approval", "payload": 2})
    await cluster.send("control", "s1", {"action": "resume"})
    await cluster.engine()
    history = await cluster.ended("s1")
    assert kinds(history)[:4] == ["session_started", "user_input", "user_input", "session_resumed"]
    assert history[-1].artifacts["answer"] == 1  # type: ignore[union-attr]


async def test_a_failed_session_is_retried_from_where_it_failed(cluster: Cluster) -> None:
    await cluster.engine()
    nodes = [*chain(1)["nodes"][:1], stage("d", "Doomed", "end"), END]
    nodes[0]["next"] = "d"
    await cluster.start("s1", {"entry": "n0", "nodes": nodes})
    await cluster.ended("s1")
    Doomed.broken = False
    await cluster.send("control", "s1", {"action": "retry"})
    history = await cluster.until("s1", lambda h: count(h, ev.SessionCompleted) == 1)
    assert kinds(history) == [
        "session_started",
        "stage_completed",
        "stage_failed",
        "session_failed",
        "session_retried",
        "stage_completed",
        "session_terminated",
        "session_completed",
    ]


async def test_a_blocking_stage_runs_in_a_thread_and_is_parked_and_woken_like_any_other(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01)
    node = stage("t", "Threaded", "end", arguments=COUNTED, outputs={"value": "value", "answer": "answer"})
    await cluster.start("s1", {"entry": "t", "nodes": [node, END]}, payload={"value": 7})
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    await cluster.send("input", "s1", {"type": "approval", "payload": 1})
    last = (await cluster.ended("s1"))[-1]
    assert isinstance(last, ev.SessionCompleted)
    assert last.artifacts == {"value": 7, "answer": [False, 1]}


async def test_a_stage_that_blocks_the_event_loop_is_reported_by_name(cluster: Cluster) -> None:
    engine = await cluster.engine(blocked_after=0.1)
    await cluster.start("s1", {"entry": "h", "nodes": [stage("h", "Hog", "end"), END]})
    await cluster.ended("s1")
    assert engine.watchdog.reports == ["stage Hog at node h of session s1"]


async def test_a_stage_that_wants_to_quit_the_process_only_fails(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.start("s1", {"entry": "q", "nodes": [stage("q", "Quits", "end"), END]})
    last = (await cluster.ended("s1"))[-1]
    assert isinstance(last, ev.SessionFailed)
    assert last.error.type == "SystemExit"


async def test_stop_cancels_a_running_stage_and_skip_passes_one(cluster: Cluster) -> None:
    await cluster.engine()
    for session in ("s1", "s2"):
        await cluster.start(session, gated())
        await cluster.until(session, bool)
        await Gate.began[session].wait()
    await cluster.send("control", "s1", {"action": "stop"})
    await cluster.send("control", "s2", {"action": "skip"})
    assert kinds(await cluster.ended("s1")) == ["session_started", "session_stopped"]
    assert kinds(await cluster.ended("s2"))[1] == "stage_skipped"


BAD: list[tuple[str, Any, str]] = [
    ("start", b"{", "not JSON"),
    ("start", {}, "pipeline"),
    ("start", {"pipeline": "nobody"}, "no pipeline"),
    ("start", {"pipeline": {"entry": "x", "nodes": []}}, ""),
    ("start", {"pipeline": {"entry": "a", "nodes": [stage("a", "Nope", None)]}}, "Nope"),
    ("start", {"pipeline": chain(1), "extra": 1}, "extra"),
    ("start", {"pipeline": chain(1), "session": "other"}, "other"),
    ("input", {"type": "x"}, "no session"),
    ("control", {"action": "dance"}, "dance"),
    ("control", {"action": "stop"}, "no session"),
]


@pytest.mark.parametrize(("kind", "body", "says"), BAD)
async def test_a_command_that_cannot_be_accepted_is_answered_by_a_rejection(
    cluster: Cluster, kind: str, body: Any, says: str
) -> None:
    await cluster.engine()
    rejections = await watch_rejections(cluster)
    seq = await cluster.send(kind, "s1", body)
    async with asyncio.timeout(PATIENCE):
        rejection = await rejections.get()
    assert rejection["command_seq"] == seq
    assert says in msgspec.json.encode(rejection).decode()
    assert await cluster.history("s1") == []
    await cluster.start("s2", chain(1))
    await cluster.ended("s2")


async def test_a_refused_command_to_an_existing_session_leaves_an_event_and_a_rejection(cluster: Cluster) -> None:
    await cluster.engine()
    rejections = await watch_rejections(cluster)
    await cluster.start("s1", chain(1))
    await cluster.ended("s1")
    seqs = [await cluster.start("s1", chain(1)), await cluster.send("input", "s1", {"type": "x"})]
    async with asyncio.timeout(PATIENCE):
        answers = [await rejections.get(), await rejections.get()]
    assert [answer["command_seq"] for answer in answers] == seqs
    history = await cluster.history("s1")
    assert [event.cause for event in history[-2:]] == seqs
    assert kinds(history[-2:]) == ["command_rejected"] * 2


async def test_a_command_repeated_under_its_id_is_applied_once(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.send("start", "s1", {"pipeline": waiting()}, "s1-start")
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    for _ in range(2):
        await cluster.send("start", "s1", {"pipeline": waiting()}, "s1-start")
    await cluster.send("input", "s1", {"type": "approval", "payload": 1}, "s1-a")
    history = await cluster.ended("s1")
    assert count(history, ev.CommandRejected) == 0
    assert count(history, ev.SessionStarted) == 1


async def watch_rejections(cluster: Cluster) -> asyncio.Queue[dict[str, Any]]:
    """Rejections as they are published, decoded."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    publish = cluster.bus.commands.reject

    async def reject(session: str, command_seq: int, data: bytes) -> None:
        await publish(session, command_seq, data)
        queue.put_nowait(msgspec.json.decode(data))

    cluster.bus.commands.reject = reject  # type: ignore[method-assign]
    return queue
