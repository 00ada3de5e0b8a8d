"""Events and sessions as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table
from rich.text import Text

from stageflow_es.cli.console import as_json, plain
from stageflow_es.session import events as ev

if TYPE_CHECKING:
    from stageflow_es.client import SessionCounts, SessionInfo, UnknownEvent
    from stageflow_es.engine.vitals import Vitals
    from stageflow_es.projection.state_view import StateView
    from stageflow_es.session.verify import Broken, Verified

WIDEST = 100
"""Characters of a value that a line shows."""

_STYLES = {
    "session_completed": "bold green",
    "session_failed": "bold red",
    "session_stopped": "bold yellow",
    "session_started": "bold",
    "stage_completed": "green",
    "stage_failed": "red",
    "stage_timeout": "red",
    "stage_interrupted": "yellow",
    "stage_event": "magenta",
    "waiting_for_input": "bold cyan",
    "user_input": "cyan",
    "input_rejected": "yellow",
    "command_rejected": "yellow",
    "skip_denied": "yellow",
}
_STATUS = {"completed": "green", "failed": "red", "stopped": "yellow", "paused": "yellow", "waiting": "cyan"}


def event_line(event: ev.AnyEvent | UnknownEvent) -> Text:
    """One line: when, its number, its type, where, and what is worth knowing of it."""
    kind = _type(event)
    line = Text()
    line.append(_clock(event.at), style="dim")
    line.append(f" {event.n:>4} ")
    line.append(f"{plain(kind):<22}", style=_STYLES.get(kind, ""))
    where = place(getattr(event, "scope", None) or "", getattr(event, "node", None))
    line.append(f" {where:<34} " if where else " ", style="blue")
    line.append(detail(event))
    line.rstrip()
    return line


def _type(event: Any) -> str:
    return str(event.type if not isinstance(event, ev.Event) else event.__struct_config__.tag)


def _clock(moment: str) -> str:
    """The time of day, in milliseconds."""
    return moment[11:23] if len(moment) >= 23 else moment


def place(scope: str, node: str | None) -> str:
    """A node in its scope, as `scope:node`."""
    return plain(f"{scope}:{node}" if scope and node else node or scope)


def value(content: Any) -> str:
    """A JSON value, cut where it gets long."""
    text = as_json(content)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def detail(event: Any) -> str:
    """What else there is to say about an event."""
    match event:
        case ev.SessionStarted(pipeline=pipeline, digest=digest, payload=payload, fork=fork):
            begun = f"{plain(pipeline or '')}@{digest[:12]} {value(payload)}".lstrip("@")
            return begun if fork is msgspec.UNSET else f"fork of {plain(fork.session)} at {fork.n}, {begun}"
        case ev.SessionCompleted(result=result):
            return value(result)
        case (
            ev.SessionFailed(error=error)
            | ev.StageFailed(error=error)
            | ev.BranchCompleted(error=ev.ErrorInfo() as error)
        ):
            return plain(f"{error.type}: {error.message}")
        case ev.StageCompleted(stage=stage, writes=writes):
            return f"{plain(stage)} {value(writes) if writes else ''}"
        case ev.StageEvent(name=name, payload=payload):
            return f"{plain(name)} {value(payload)}"
        case ev.StepCompleted(name=name, value=result):
            return f"{plain(name)} -> {value(result)}"
        case _:
            return _more_detail(event)


def _more_detail(event: Any) -> str:
    match event:
        case ev.WaitingForInput(input_type=kind, due=due, took=took):
            limit = f", until {_minute(due)}" if due else ""
            return plain(kind) + (f" (took input {took})" if took else limit)
        case ev.UserInput(input_type=kind, payload=payload, waits=waits):
            return f"{plain(kind)} {value(payload)}" + ("" if waits else " (kept)")
        case (
            ev.CommandRejected(problems=problems)
            | ev.InputRejected(problems=problems)
            | ev.SkipDenied(problems=problems)
        ):
            return plain("; ".join(problem.message for problem in problems))
        case ev.ConditionEvaluated(branch=branch, next=target):
            which = "else" if branch is None else f"condition {branch}"
            return f"{which} -> {plain(target or 'end')}"
        case ev.ParallelStarted(children=children):
            return plain(", ".join(children))
        case ev.MapStarted(count=count):
            return f"{count} items"
        case ev.IterationCompleted(outputs=outputs):
            return value(outputs)
        case ev.SubpipelineStarted(subpipeline_id=name) | ev.SubpipelineCompleted(subpipeline_id=name):
            return plain(name)
        case ev.TimerSet(seconds=seconds):
            return f"{seconds:g} s"
        case _:
            return ""


def verified_line(found: Verified) -> Text:
    """A history that verifies."""
    line = Text.assemble(("verified", "bold green"), f": session {plain(found.session)}, {found.count} events, ")
    line.append_text(status(found.status))
    return line.append(f", head {found.head}", style="dim")


def broken_lines(found: Broken) -> list[Text]:
    """The first event of a history that does not follow, what it says, and what had to be there."""
    where = f"event {found.n} of session {plain(found.session)} does not follow" if found.n else "not as it was written"
    lines = [Text.assemble((where, "bold red"), f" ({found.kind}): {plain(found.message)}")]
    for name, content in (("found", found.found), ("expected", found.expected)):
        if content is not None:
            lines.append(Text(f"  {name:<9}{plain(as_json(content))}"))
    return lines


def state_lines(view: StateView) -> list[Text]:
    """A state, one fact a line."""
    lines = [Text.assemble(f"session {plain(view.session)} as of event {view.version}: ", status(view.status))]
    for scope in view.scopes:
        run = f", attempt {scope.run.attempt}" if scope.run else ""
        inside = f", {scope.inner} inside" if scope.inner is not None else ""
        where = place(scope.path, scope.node) or "-"
        lines.append(Text.assemble(f"  {scope.kind:<10}", (where, "blue"), f"{run}{inside}"))
    for wait in view.waits:
        limit = f", until {_minute(wait.due)}" if wait.due else ""
        lines.append(
            Text(f"  {'waits':<10}{plain(wait.type)} ({plain(wait.id)}) in {plain(wait.scope or 'the root')}{limit}")
        )
    facts = {"kept": view.inputs, "context": view.context, "result": view.result, "artifacts": view.artifacts}
    for name, content in {**facts, "error": view.error}.items():
        if content:
            lines.append(Text(f"  {name:<10}{as_json(content)}"))
    return lines


def session_table(rows: list[SessionInfo]) -> Table:
    """Sessions, one a line. Where there is no room, what is copied or counted stays whole, and the rest is cut."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("SESSION", "STATUS", "PIPELINE", "N", "AT", "WAITING FOR", "STARTED"):
        table.add_column(heading, no_wrap=heading in ("SESSION", "STATUS", "N"))
    for row in rows:
        table.add_row(
            row.session,
            status(row.status),
            _cut(row.pipeline or row.digest[:12]),
            str(row.version),
            _cut(", ".join(row.nodes)),
            _cut(", ".join(row.waiting_for)),
            _cut(_minute(row.started_at)),
        )
    return table


def _cut(text: str) -> Text:
    """A cell on one line, as far as there is room."""
    return Text(plain(text), no_wrap=True, overflow="ellipsis")


def count_table(counts: SessionCounts, statuses: Sequence[str]) -> Table:
    """How many sessions have which status: pipelines, one a line, and all sessions in the last one."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("PIPELINE")
    for name in (*statuses, "sum"):
        table.add_column(name.upper(), no_wrap=True, justify="right")
    lines = [(one.pipeline or "(no name)", one.sessions) for one in counts.pipelines]
    for name, sessions in [*lines, ("all", counts.sessions)]:
        table.add_row(_cut(name), *(str(sessions.get(one, 0)) for one in statuses), str(sum(sessions.values())))
    return table


def engine_table(engines: dict[str, Vitals]) -> Table:
    """Engines, one a line, with the partitions each holds and what group commit made durable lately. Where there is no
    room, the names are folded and the numbers stay whole."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("ENGINE", overflow="fold")
    table.add_column("RELEASE", no_wrap=True)
    for heading in ("HOLDS", "SESSIONS", "RUNNING", "QUEUED", "EVENTS/S", "ROUND", "MAX", "P50 MS", "P99 MS"):
        table.add_column(heading, no_wrap=True, justify="right")
    for name, one in engines.items():
        commits = one.commits
        counts = (one.partitions, one.sessions, one.running, one.queued, round(commits.events / (commits.seconds or 1)))
        sizes = (round(commits.events / (commits.rounds or 1), 1), commits.largest)
        table.add_row(
            plain(name), plain(one.release), *map(str, counts + sizes), f"{commits.p50:.2f}", f"{commits.p99:.2f}"
        )
    return table


def session_card(row: SessionInfo) -> Table:
    """One session, one field a line; what is empty is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    fields: dict[str, str | Text] = {
        "session": row.session,
        "status": status(row.status),
        "pipeline": f"{plain(row.pipeline or '')}@{row.digest[:12]}".lstrip("@"),
        "version": str(row.version),
        "at": plain(", ".join(row.nodes)),
        "waiting for": plain(", ".join(row.waiting_for)),
        "labels": plain(", ".join(f"{key}={text}" for key, text in row.labels.items())),
        "result": as_json(row.result) if row.result is not None else "",
        "artifacts": as_json(row.artifacts) if row.artifacts else "",
        "error": as_json(row.error) if row.error else "",
        "started": row.started_at or "",
        "updated": row.updated_at or "",
        "finished": row.finished_at or "",
    }
    for name, content in fields.items():
        if content:
            table.add_row(name, content)
    return table


def status(name: str) -> Text:
    """A session's status in its colour."""
    return Text(plain(name), style=_STATUS.get(name, ""))


def _minute(moment: str | None) -> str:
    return (moment or "")[:19].replace("T", " ")


def stage_table(stages: list[dict[str, Any]]) -> Table:
    """Stages, one a line: what goes in and what comes out."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("STAGE", "CATEGORY", "ARGUMENTS", "CONFIG", "OUTPUTS", "WHAT IT DOES"):
        table.add_column(heading, overflow="fold")
    for stage in stages:
        names = [_names(stage.get(kind)) for kind in ("arguments", "config", "outputs")]
        about = plain(stage.get("description") or "")
        table.add_row(plain(stage["stage_name"]), plain(stage.get("category") or ""), *names, about)
    return table


def _names(fields: list[dict[str, Any]] | None) -> str:
    """Documented names; `?` where the docstring says nothing."""
    return "?" if fields is None else plain(", ".join(field["name"] for field in fields))
