"""Faults put into the engine and the core on purpose. Each takes a `MonkeyPatch` and breaks one rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import msgspec
import pytest

from stageflow_es.engine.actor import Actor
from stageflow_es.engine.checkpointing import Checkpointing
from stageflow_es.engine.debts import Debts
from stageflow_es.engine.durable_calls import DurableCalls
from stageflow_es.engine.engine import Engine
from stageflow_es.engine.ledger import Ledger
from stageflow_es.engine.partition import Partition
from stageflow_es.engine.partition_host import PartitionHost
from stageflow_es.engine.ports import Checkpoint, CommandMessage, Unanswered, WrongSequence
from stageflow_es.engine.stage_view import StageContext
from stageflow_es.session import cursor, runs, state
from stageflow_es.session import events as ev
from stageflow_es.session.evolve import TRANSITIONS

decide = import_module("stageflow_es.session.decide")

Patch = pytest.MonkeyPatch
Apply = Callable[[Patch], None]


class Mutation(NamedTuple):
    """`faults`: those that bring it to light soon."""

    apply: Apply
    faults: dict[str, float] | None


MUTATIONS: dict[str, Mutation] = {}


def mutation(**faults: float) -> Callable[[Apply], Apply]:
    """Put a mutation into the table, with the faults to run it under; none: any mixture."""

    def register(apply: Apply) -> Apply:
        MUTATIONS[apply.__name__] = Mutation(apply, faults or None)
        return apply

    return register


# --- the recovery protocol -------------------------------------------------------------------------------------


@mutation()
def the_floor_is_the_last_message_read(patch: Patch) -> None:
    patch.setattr(Ledger, "floor", property(lambda self: self.read))


@mutation()
def an_applied_command_that_is_read_again_wakes_nobody(patch: Patch) -> None:
    original = Partition._take_command

    async def take(self: Partition, message: CommandMessage) -> None:
        if message.session not in self.host.actors:
            state = await self.host.load(message.session, 0)
            if message.seq <= state.last_command:
                self.checkpointing.commands.handled(message.seq)
                return
        await original(self, message)

    patch.setattr(Partition, "_take_command", take)


@mutation(slow_bus=10, crash_any_time=5)
def a_listed_session_is_dropped_before_it_is_loaded(patch: Patch) -> None:
    original = Checkpointing._checkpoint

    def checkpoint(self: Checkpointing) -> Checkpoint:
        made = original(self)
        loaded = {name: item for name, item in made.sessions.items() if self._host.actors[name].state is not None}
        return msgspec.structs.replace(made, sessions=loaded)

    patch.setattr(Checkpointing, "_checkpoint", checkpoint)


@mutation(small_limits=10, slow_step=3)
def a_full_list_holds_no_floor_down(patch: Patch) -> None:
    original = Checkpointing._checkpoint

    def checkpoint(self: Checkpointing) -> Checkpoint:
        return msgspec.structs.replace(original(self), commands=max(self.commands.floor, self._saved.commands))

    patch.setattr(Checkpointing, "_checkpoint", checkpoint)


@mutation(late_request=8, second_engine=3, lease_expired=8, lease_blind=5)
def a_refused_checkpoint_is_written_again_over_the_other(patch: Patch) -> None:
    original = Checkpointing._write

    async def write(self: Checkpointing) -> None:
        try:
            await original(self)
        except (WrongSequence, Unanswered):
            with suppress(Unanswered):
                self._revision, _ = await self._bus.checkpoints.read(self._number)

    patch.setattr(Checkpointing, "_write", write)


@mutation()
def the_log_is_purged_before_the_checkpoint_is_written(patch: Patch) -> None:
    original = Checkpointing._write

    async def write(self: Checkpointing) -> None:
        await self._purge(self._saved, self._checkpoint())
        await original(self)

    patch.setattr(Checkpointing, "_write", write)


@mutation()
def a_rejection_is_not_outstanding_work(patch: Patch) -> None:
    patch.setattr(Debts, "owes_rejection", lambda self, state: False)


@mutation(crash_before_request=10, crash_after_request=10, crash_any_time=5)
def timers_are_not_set_again_by_who_loads_the_session(patch: Patch) -> None:
    original = Actor._load

    async def load(self: Actor) -> None:
        await original(self)
        assert self.state is not None
        self._debts._set.update(dict.fromkeys(self.state.timers, True))

    patch.setattr(Actor, "_load", load)


@mutation(timer_early=5)
def fires_are_judged_by_the_clock(patch: Patch) -> None:
    original = decide._fire

    def fire(state: state.State, command: Any) -> Any:
        timer = state.timers.get(command.timer)
        return None if timer is not None and command.at < timer.due else original(state, command)

    patch.setattr(decide, "_fire", fire)


@mutation()
def an_unanswered_append_is_taken_for_stored(patch: Patch) -> None:
    original = Actor._append

    async def append(self: Actor, state: state.State, data: list[bytes]) -> bool:
        before = self.host.events.append
        stored = await original(self, state, data)
        if not stored and before is not None and self.state is None:
            self.state = state
            return True
        return stored

    patch.setattr(Actor, "_append", append)


@mutation(lease_blind=8, second_engine=3, lease_expired=8)
def appends_expect_nothing(patch: Patch) -> None:
    async def append(self: Actor, state: state.State, data: list[bytes]) -> bool:
        self.appending = True
        try:
            head = await self.host.events.head(self.session)
            state.seq = await self.host.events.append(self.session, data, head.seq if head else 0)
        except (WrongSequence, Unanswered):
            self.state = None
            return False
        finally:
            self.appending = False
        self.least = state.n
        return True

    patch.setattr(Actor, "_append", append)


@mutation()
def a_report_of_a_run_that_is_over_counts(patch: Patch) -> None:
    patch.setattr(runs, "live_run", lambda state, run: state.runs.get(run.scope))


@mutation(lease_blind=12)
def a_lapsed_lease_lets_sessions_go(patch: Patch) -> None:
    patch.setattr(
        Actor,
        "idle",
        property(lambda self: not (self._inbox or self.queued or self.workers.occupied or self._debts.local)),
    )


@mutation(hand_over=20, late_request=10, lease_expired=20)
def a_lost_partition_is_handed_over(patch: Patch) -> None:
    patch.setattr(Checkpointing, "lose", lambda self: None)


@mutation(lost_answer=20, lost_request=20, lease_expired=10, crash_any_time=5)
def the_leases_wait_for_the_first_partitions(patch: Patch) -> None:
    async def wait(self: Engine, patience: float) -> None:
        await asyncio.gather(*(held.partition.serving.wait() for held in self._held.values()))
        self._serving.set()

    patch.setattr(Engine, "_await_serving", wait)


@mutation(small_limits=10, lease_expired=8, lost_answer=10)
def a_dropped_session_keeps_its_turn(patch: Patch) -> None:
    original = Actor.close

    def close(self: Actor) -> None:
        queued = self.queued
        original(self)
        self.queued = queued

    def drop(self: PartitionHost) -> None:
        turns = dict(self.turns)
        dropped(self)
        self.turns = turns

    dropped = PartitionHost.drop
    patch.setattr(Actor, "close", close)
    patch.setattr(PartitionHost, "drop", drop)


@mutation(small_limits=10)
def a_session_that_waits_for_its_turn_is_not_listed(patch: Patch) -> None:
    original = Checkpointing._checkpoint

    def checkpoint(self: Checkpointing) -> Checkpoint:
        turns, self._host.turns = self._host.turns, {}
        try:
            return original(self)
        finally:
            self._host.turns = turns

    patch.setattr(Checkpointing, "_checkpoint", checkpoint)


# --- the core and the runner -----------------------------------------------------------------------------------


@mutation()
def a_join_does_not_wait_for_its_last_branch(patch: Patch) -> None:
    original = TRANSITIONS[ev.BranchCompleted]

    def completed(state: state.State, event: Any) -> None:
        parent = state.scopes[event.scope].parent
        original(state, event)
        join = state.scopes[parent].join
        if len(join.open) == 1:
            state.settled[parent] = None

    patch.setitem(TRANSITIONS, ev.BranchCompleted, completed)


@mutation()
def an_input_that_was_taken_is_kept_too(patch: Patch) -> None:
    original = TRANSITIONS[ev.UserInput]

    def given(state: state.State, event: Any) -> None:
        original(state, event)
        if event.waits:
            original(state, msgspec.structs.replace(event, waits=[]))

    patch.setitem(TRANSITIONS, ev.UserInput, given)


@mutation()
def a_kept_input_is_taken_from_the_wrong_end(patch: Patch) -> None:
    original = decide.decide_wait

    def wait(state: state.State, command: Any) -> Any:
        kept = state.inputs.get(command.type, [])
        kept.reverse()
        event = original(state, command)
        kept.reverse()
        return event

    patch.setattr(decide, "decide_wait", wait)


@mutation()
def a_stage_is_retried_once_too_often(patch: Patch) -> None:
    original = runs._fail
    patch.setattr(
        runs,
        "_fail",
        lambda state, command, run, node: original(
            state, msgspec.structs.replace(command, retries=command.retries + (command.retries > 0)), run, node
        ),
    )


@mutation()
def outputs_are_applied_before_the_stage_completes(patch: Patch) -> None:
    original = StageContext.set

    def write(self: StageContext, path: str, value: Any) -> None:
        original(self, path, value)
        self._scope().frame.write(path, value)

    patch.setattr(StageContext, "set", write)


@mutation()
def the_losers_of_a_join_are_not_cancelled(patch: Patch) -> None:
    patch.setattr(cursor, "drop", _drop_the_scope_alone)


def _drop_the_scope_alone(state: state.State, path: str) -> None:
    if path in state.due or path not in state.runs:
        state.due.pop(path, None)
        state.settled.pop(path, None)
        del state.scopes[path]


@mutation()
def a_command_sent_again_is_applied_again(patch: Patch) -> None:
    patch.setattr(decide, "_repeated", lambda state, command: False)


@mutation()
def nobody_looks_again_at_a_wait_that_began_during_an_append(patch: Patch) -> None:
    patch.setattr(DurableCalls, "_look_again", lambda self, worker: None)


@mutation()
def a_recorded_step_is_forgotten(patch: Patch) -> None:
    original = DurableCalls._call

    def call(self: DurableCalls, kind: str, name: str) -> Any:
        key, record = original(self, kind, name)
        return key, None if kind == "step" else record

    patch.setattr(DurableCalls, "_call", call)


@mutation()
def a_stage_waits_on_when_the_delay_before_its_retry_is_over(patch: Patch) -> None:
    original = TRANSITIONS[ev.TimerFired]

    def fired(state: state.State, event: Any) -> None:
        timer = state.timers[event.timer]
        original(state, event)
        if timer.kind == "retry":
            cursor.block(state, state.runs[timer.scope])

    patch.setitem(TRANSITIONS, ev.TimerFired, fired)


@mutation()
def a_retry_forgets_the_steps(patch: Patch) -> None:
    patch.setattr(cursor, "steps_of", lambda run: {})


@mutation()
def a_paused_session_moves_on(patch: Patch) -> None:
    def stirring(self: state.State) -> bool:
        return not self.outcome and bool(self.due or self.settled or self.terminated)

    patch.setattr(state.State, "active", property(lambda self: self.n > 0 and not self.outcome))
    patch.setattr(state.State, "stirring", stirring)


@mutation()
def a_map_does_not_wait_for_its_last_item(patch: Patch) -> None:
    original = TRANSITIONS[ev.IterationCompleted]

    def completed(state: state.State, event: Any) -> None:
        parent = state.scopes[event.scope].parent
        original(state, event)
        if len(state.scopes[parent].join.open) == 1:
            state.settled[parent] = None

    patch.setitem(TRANSITIONS, ev.IterationCompleted, completed)


@mutation()
def a_stopped_session_goes_on(patch: Patch) -> None:
    def stopped(state: state.State, event: Any) -> None:
        state.result = {"result": "stopped"}

    patch.setitem(TRANSITIONS, ev.SessionStopped, stopped)
