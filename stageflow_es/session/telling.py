"""An explanation in words: one sentence a line, for people."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from stageflow_es.session import explanation as ex
from stageflow_es.session.state import ENDED

WIDEST = 200
"""Characters of a JSON value that a sentence shows."""


def tell(explanation: ex.Explanation) -> list[str]:
    """The explanation as sentences, the most important first."""
    lines = [_standing(explanation)]
    if explanation.failure is not None:
        lines += _failure(explanation.failure)
    if explanation.due:
        lines.append("its next transition needs nothing from outside: if none follows, no engine serves the session")
    lines += [_waiting(part) for part in explanation.waiting]
    lines += [
        f"an input of type {item.input_type!r} (event {item.n}) is kept: nobody has waited for it yet"
        for item in explanation.kept
    ]
    for choice in explanation.choices:
        lines += _choice(choice)
    return lines


def _standing(explanation: ex.Explanation) -> str:
    status = explanation.status
    said = f": {explanation.reason}" if explanation.reason else ""
    if status == "paused":
        by = "it was started so" if explanation.paused_by == "start" else f"by {explanation.paused_by}"
        return f"the session is paused ({by}{said}): what runs may finish, and nothing new begins until `resume`"
    if status == "completed":
        left = f", with {value(explanation.artifacts)}" if explanation.artifacts else ""
        return f"the session completed at {explanation.ended_at} with the result {value(explanation.result)}{left}"
    if status in ENDED:
        return f"the session was {status} at {explanation.ended_at or explanation.since}{said}"
    if status == "failed":
        return "the session failed, and can be retried (`retry`)"
    if status == "waiting":
        return "the session waits: no stage has anything to do before one of these happens"
    return f"the session is running, as of event {explanation.n} at {explanation.since}"


def _failure(failure: ex.Failure) -> list[str]:
    error = failure.error
    where = f" at node {place(error.node, error.scope)}" if error.node else ""
    lines = [f"it failed{where} at {failure.at} (event {failure.n}): {error.type}: {error.message}"]
    if failure.stage is not None:
        tries = len(failure.attempts)
        times = "at its first attempt" if tries == 1 else f"{tries} times, and was not to be tried again"
        lines.append(f"its stage {failure.stage} failed {times}; the node has no fallback to go to")
        lines += [f"  attempt {n}: {one.type}: {one.message}" for n, one in enumerate(failure.attempts[:-1], 1)]
    return lines


def _waiting(part: ex.Waiting) -> str:
    where = place(part.node, part.scope)
    since = f"since {part.since} (event {part.since_n})"
    match part:
        case ex.WaitsForInput():
            fits = "" if part.schema in (None, True) else f" that fits {value(part.schema)}"
            until = f", until {part.until}" if part.until else ", with no limit"
            return f"node {where} ({part.stage}) waits for an input of type {part.input_type!r}{fits}, {since}{until}"
        case ex.WaitsForTimer(attempt=None):
            return f"node {where} ({part.stage}) sleeps, {since}, until {part.until}"
        case ex.WaitsForTimer():
            failed = f"failed at {part.since} (event {part.since_n})"
            return f"node {where} ({part.stage}) {failed} and begins attempt {part.attempt} at {part.until}"
        case ex.RunsStage():
            of = f" of {part.attempts}" if part.attempts is not None else ""
            times = "once" if part.interruptions == 1 else f"{part.interruptions} times"
            lost = f", interrupted {times} by the loss of its engine" if part.interruptions else ""
            return f"node {where} is at its stage {part.stage}, attempt {part.attempt}{of}, {since}{lost}"
        case ex.WaitsForBranches():
            return _join(part, where, since)
        case _:
            assert_never(part)


def _join(part: ex.WaitsForBranches, where: str, since: str) -> str:
    if part.type == "subpipeline":
        return f"subpipeline node {where} waits for {part.open[0]!r} to end, {since}"
    kind, things = ("map", "items") if part.type == "map" else ("parallel", "branches")
    names = ", ".join(part.open[:10]) + (f" and {len(part.open) - 10} more" if len(part.open) > 10 else "")
    how = {"all": "all of ", "any": "the first success of "}.get(part.policy or "", "")
    failed = f", {part.failed} of them failed" if part.failed else ""
    done = f"{part.ended} of {part.total} are over{failed}"
    return f"{kind} node {where} waits for {how}its {things} ({done}); still inside: {names}; {since}"


def _choice(choice: ex.Choice) -> list[str]:
    where = place(choice.node, choice.scope)
    if choice.error is not None:
        way = f"failed: {choice.error.message}"
    else:
        by = "`else`" if choice.branch is None else f"condition {choice.branch}"
        way = f"went to {choice.next!r} by {by}"
    return [f"condition {where} (event {choice.n}) {way}", *map(_rule, choice.rules)]


def _rule(tried: ex.TriedRule) -> str:
    verdict = {True: "true", False: "false", None: "an error"}[tried.truthy]
    seen = [f"{name or 'the context'} = {value(read)}" for name, read in tried.variables.items()]
    seen += [f"{name} missing" for name in tried.missing]
    return f"  {value(tried.rule)} was {verdict}" + (f", with {', '.join(seen)}" if seen else "")


def place(node: str | None, scope: str) -> str:
    """A node and the scope it is in, where that is not the root."""
    return f"{node!r} in {scope}" if scope else f"{node!r}"


def value(content: Any) -> str:
    """A JSON value on one line, cut where it gets long."""
    text = msgspec.json.encode(content).decode()
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}..."
