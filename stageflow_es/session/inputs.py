"""Deciding inputs and waits: who takes which input. None is lost, none is given twice.

An input goes to every wait for its type that is open and whose schema takes it; if there are such waits but no schema
takes it, it is refused; with no wait open it is kept, in order, for the next one.
"""

from __future__ import annotations

from typing import Any

from stageflow_es.errors import Problem
from stageflow_es.pipeline.json_schema import schema_errors
from stageflow_es.pipeline.pointers import below
from stageflow_es.session import events as ev
from stageflow_es.session.commands import Input, OpenWait
from stageflow_es.session.runs import due_at, live_run
from stageflow_es.session.state import State
from stageflow_es.session.transitions import stamp

MAX_PROBLEMS = 20


def decide_input(state: State, command: Input) -> ev.Event:
    """What becomes of an input to an existing session."""
    envelope = {**stamp(state, command, command.seq), "command_id": command.id}
    if state.outcome:
        body = {"command": "input", "type": command.type, "payload": command.payload}
        problem = Problem(message=f"session {state.session!r} has ended ({state.outcome}): it takes no inputs")
        return ev.CommandRejected(**envelope, problems=[problem], command=body)
    open_waits = [(name, wait) for name, wait in state.waits.items() if wait.type == command.type]
    refusals: list[Problem] = []
    taken: list[str] = []
    for name, wait in open_waits:
        problems = schema_problems(wait.schema, command.payload)
        refusals += problems
        if not problems:
            taken.append(name)
    if open_waits and not taken:
        return ev.InputRejected(
            **envelope,
            input_type=command.type,
            payload=command.payload,
            problems=refusals[:MAX_PROBLEMS],
            command_seq=command.seq,
        )
    return ev.UserInput(**envelope, input_type=command.type, payload=command.payload, waits=taken)


def decide_wait(state: State, command: OpenWait) -> ev.Event | None:
    """What a stage's `wait_input` leads to: an answer from the buffer, a buffered input refused, or an open wait."""
    run = live_run(state, command.run)
    if run is None or command.key in run.records:
        return None
    envelope = stamp(state, command, command.run.cause())
    kept = state.inputs.get(command.type)
    took = None
    if kept:
        problems = schema_problems(command.schema, kept[0].payload)
        if problems:
            return ev.InputRejected(
                **envelope,
                input_type=command.type,
                payload=kept[0].payload,
                problems=problems,
                command_seq=kept[0].seq,
                buffered=kept[0].n,
            )
        took = kept[0].n
    n = state.n + 1
    timed = took is None and command.timeout is not None
    return ev.WaitingForInput(
        **envelope,
        scope=command.run.scope,
        node=run.node,
        key=command.key,
        wait=f"w{n}",
        input_type=command.type,
        schema=command.schema,
        took=took,
        timer=f"t{n}" if timed else None,
        due=due_at(command.at, command.timeout) if timed and command.timeout is not None else None,
        timeout=command.timeout,
        alone=command.alone,
    )


def schema_problems(schema: Any, payload: Any) -> list[Problem]:
    """What a JSON Schema finds wrong with a payload, each with a pointer into the command's body. A schema that cannot
    be applied takes nothing."""
    if schema is None or schema is True:
        return []
    try:
        found = schema_errors(schema, payload, MAX_PROBLEMS)
    except ValueError as problem:
        return [Problem(path="/payload", message=str(problem))]
    return [Problem(path=below("/payload", *path), message=message) for path, message in found]
