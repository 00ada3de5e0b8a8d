"""Rules a history must keep, told from its events and the definition alone: nothing here asks the core.

A fault in the core that decides and folds alike would agree with itself; it does not agree with these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stageflow_es.pipeline.json_schema import schema_errors
from stageflow_es.stages import BaseStage

Event = dict[str, Any]
RUN_ENDS = frozenset({"stage_completed", "stage_failed", "stage_timeout", "stage_skipped"})
INTERNAL = frozenset(
    {
        "condition_evaluated",
        "parallel_started",
        "parallel_completed",
        "branch_completed",
        "map_started",
        "map_completed",
        "iteration_completed",
        "subpipeline_started",
        "subpipeline_completed",
        "session_terminated",
        "session_completed",
        "session_failed",
    }
)
"""Transitions nobody asked for; a paused session makes none."""

AFTER = {"session_completed": (), "session_stopped": (), "session_failed": ("session_retried",)}
"""What may follow an outcome, beside refusals."""

UNCONDITIONAL = frozenset({"PathError", "StageInterrupted", "TooLarge"})
"""Failures that are not retried, whatever the class says."""


class HistoryRules:
    """Checks the events of one session, given one after the other."""

    def __init__(self, document: dict[str, Any], stages: Mapping[str, type[BaseStage]]) -> None:
        self._stages = stages
        self._pipelines: dict[str, dict[str, Any]] = {"": _indexed(document, {})}
        self._once: set[tuple[Any, ...]] = set()
        self._waits: dict[str, tuple[str, str, Any]] = {}
        self._buffered: dict[str, list[tuple[int, Any]]] = {}
        self._failures: dict[tuple[str, str], int] = {}
        self._joins: dict[str, _Join] = {}
        self._closed: set[str] = set()
        self._paused = False
        self._outcome = ""

    def check(self, data: bytes) -> Iterator[str]:
        """What is wrong with the next event."""
        event: Event = msgspec.json.decode(data)
        kind = event["type"]
        for text in [*self._inside_closed(event), *self._twice(event), *self._by_kind(event)]:
            yield f"{event['n']} ({kind}): {text}"
        if self._outcome and kind not in ("command_rejected", "skip_denied", *AFTER[self._outcome]):
            yield f"{event['n']} ({kind}): after {self._outcome}"
        self._outcome = kind if kind in AFTER else "" if kind == "session_retried" else self._outcome
        if self._paused and kind in INTERNAL:
            yield f"{event['n']} ({kind}): while the session was paused"
        self._paused = (
            kind == "session_paused" or event.get("paused", False) or (self._paused and kind != "session_resumed")
        )
        if kind in RUN_ENDS and not event.get("retry"):
            self._close_waits(event["scope"])
        elif kind in RUN_ENDS:
            self._close_waits(event["scope"], inner=False)

    def _by_kind(self, event: Event) -> Iterator[str]:
        rule = getattr(self, f"_{event['type']}", None)
        if rule is not None:
            yield from rule(event)

    # --- nothing twice, nothing after its end ---

    def _twice(self, event: Event) -> Iterator[str]:
        kind = event["type"]
        keys: list[tuple[Any, ...]] = []
        if kind in RUN_ENDS and kind != "stage_skipped":
            keys.append(("run", event["cause"]))
        if kind in ("stage_event", "step_completed", "timer_set", "waiting_for_input"):
            keys.append(("call", event["cause"], event["key"]))
        if kind == "step_completed":
            keys.append(("step", event["cause"].rpartition(".")[0], event["key"]))
        if kind in ("timer_fired", "input_timeout"):
            keys.append(("fire", event["timer"]))
        if event.get("took") is not None:
            keys.append(("took", event["took"]))
        if event.get("command_id") is not None:
            keys.append(("command", event["command_id"]))
        for key in keys:
            if key in self._once:
                yield f"{key} for the second time"
            self._once.add(key)

    def _inside_closed(self, event: Event) -> Iterator[str]:
        scope = event.get("scope")
        if not isinstance(scope, str) or event["type"] == "skip_denied":
            return
        for base in self._closed:
            if _within(scope, base):
                yield f"in scope {scope!r}, although {base!r} is over"

    # --- stages ---

    def _stage_failed(self, event: Event) -> Iterator[str]:
        run = event["scope"], str(event["cause"]).rpartition(".")[0]
        earlier = self._failures.get(run, 0)
        self._failures[run] = earlier + 1
        stage = self._stages.get(event.get("stage", ""))
        if stage is None or event["error"]["type"] in UNCONDITIONAL:
            return
        if bool(event.get("retry")) != (earlier < stage.retries):
            yield f"failure {earlier + 1} of a stage with {stage.retries} retries: retry is {bool(event.get('retry'))}"

    _stage_timeout = _stage_failed

    # --- inputs ---

    def _waiting_for_input(self, event: Event) -> Iterator[str]:
        kept = self._buffered.get(event["input_type"], [])
        took = event.get("took")
        first = kept[0][0] if kept else None
        if took != first:
            yield f"took {took}; the oldest input kept was {first}"
        if took is not None:
            self._buffered[event["input_type"]] = [item for item in kept if item[0] != took]
        else:
            self._waits[event["wait"]] = event["input_type"], event["scope"], event.get("schema")

    def _user_input(self, event: Event) -> Iterator[str]:
        kind, payload = event["input_type"], event.get("payload")
        open_ = [name for name, (type_, _, schema) in self._waits.items() if type_ == kind and _takes(schema, payload)]
        given = event.get("waits", [])
        if sorted(given) != sorted(open_):
            yield f"went to {given}; the waits open for it were {open_}"
        for name in given:
            self._waits.pop(name, None)
        if not given:
            self._buffered.setdefault(kind, []).append((event["n"], payload))

    def _input_rejected(self, event: Event) -> Iterator[str]:
        kept = self._buffered.get(event["input_type"], [])
        buffered = event.get("buffered")
        if buffered is None:
            return
        if not kept or kept[0][0] != buffered:
            yield f"input {buffered} was not the oldest kept"
        self._buffered[event["input_type"]] = [item for item in kept if item[0] != buffered]

    def _input_timeout(self, event: Event) -> Iterator[str]:
        if self._waits.pop(event["wait"], None) is None:
            yield f"wait {event['wait']} was not open"

    def _close_waits(self, scope: str, *, inner: bool = True) -> None:
        for name, (_, where, _) in list(self._waits.items()):
            if where == scope or (inner and _within(where, scope) and scope):
                del self._waits[name]

    # --- joins ---

    def _parallel_started(self, event: Event) -> Iterator[str]:
        node = self._node(event)
        if event["children"] != node["children"]:
            yield f"began {event['children']}, not {node['children']}"
        yield from self._open_join(event, len(node["children"]))

    def _map_started(self, event: Event) -> Iterator[str]:
        yield from self._open_join(event, event["count"])

    def _subpipeline_started(self, event: Event) -> Iterator[str]:
        base = _path(event["scope"], event["node"])
        around = self._around(event["scope"])
        self._pipelines[base] = around["subpipelines"][event["subpipeline_id"]]
        yield from self._open_join(event, 1)

    def _open_join(self, event: Event, count: int) -> Iterator[str]:
        base = _path(event["scope"], event["node"])
        self._closed.discard(base)
        self._joins[base] = _Join(count)
        yield from ()

    def _branch_completed(self, event: Event) -> Iterator[str]:
        base = event["scope"].rpartition("/")[0]
        yield from self._ended_inside(event, base)

    def _iteration_completed(self, event: Event) -> Iterator[str]:
        base = event["scope"].rpartition("[")[0]
        yield from self._ended_inside(event, base)

    def _ended_inside(self, event: Event, base: str) -> Iterator[str]:
        join = self._joins.get(base)
        self._close_waits(event["scope"])
        if join is None:
            yield f"there is no join at {base!r}"
        elif event["scope"] in join.ended:
            yield "this one ended before"
        else:
            join.ended[event["scope"]] = event.get("error") is not None

    def _parallel_completed(self, event: Event) -> Iterator[str]:
        node = self._node(event)
        join = self._close_join(event)
        if join is None:
            yield "it had not begun"
            return
        cancels = node.get("cancel_on_error")
        policy = node.get("policy", "all")
        cancels = policy == "all" if cancels is None else cancels
        failed = sum(join.ended.values())
        won = policy == "any" and len(join.ended) > failed
        if not (won or (failed and cancels) or len(join.ended) == join.count):
            yield f"{len(join.ended)} of {join.count} branches had ended, {failed} of them failed"
        should_fail = not won and bool(failed) and (cancels or policy == "any")
        if (event.get("error") is not None) != should_fail:
            yield f"error is {event.get('error')} with {failed} of {join.count} failed under {policy!r}"

    def _map_completed(self, event: Event) -> Iterator[str]:
        node = self._node(event)
        join = self._close_join(event)
        if join is None:
            if event.get("error") is None:
                yield "it had not begun"
            return
        failed = sum(join.ended.values())
        lost = bool(failed) and node.get("cancel_on_error", True)
        if not lost and len(join.ended) != join.count:
            yield f"{len(join.ended)} of {join.count} items were done"
        if lost and event.get("error") is None:
            yield f"{failed} items failed, and it did not"

    def _subpipeline_completed(self, event: Event) -> Iterator[str]:
        self._close_join(event)
        yield from ()

    def _close_join(self, event: Event) -> _Join | None:
        base = _path(event["scope"], event["node"])
        self._closed.add(base)
        for name, (_, where, _) in list(self._waits.items()):
            if _within(where, base):
                del self._waits[name]
        return self._joins.pop(base, None)

    def _node(self, event: Event) -> dict[str, Any]:
        found: dict[str, Any] = self._around(event["scope"])["by_id"][event["node"]]
        return found

    def _around(self, scope: str) -> dict[str, Any]:
        bases = [base for base in self._pipelines if not base or _within(scope, base)]
        return self._pipelines[max(bases, key=len)]


class _Join:
    """A join in progress: how many are inside, and who ended, with whether it failed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.ended: dict[str, bool] = {}


def _indexed(document: dict[str, Any], inherited: dict[str, Any]) -> dict[str, Any]:
    subpipelines = dict(inherited)
    for name, inner in document.get("subpipelines", {}).items():
        subpipelines[name] = _indexed(inner, subpipelines)
    return {"by_id": {node["id"]: node for node in document["nodes"]}, "subpipelines": subpipelines}


def _within(scope: str, base: str) -> bool:
    return scope == base or scope.startswith((f"{base}/", f"{base}["))


def _path(scope: str, node: str) -> str:
    for char in "%/[]":
        node = node.replace(char, f"%{ord(char):02X}")
    return f"{scope}/{node}" if scope else node


def _takes(schema: Any, payload: Any) -> bool:
    return schema is None or not schema_errors(schema, payload, 1)
