"""Histories and forgeries: every history a session can make verifies, and what was changed in one is found.

A forger here knows the format: the hashes and numbers are made anew after each change, so that only what the events
say can give it away.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest

from stageflow_es.pipeline import Pipeline
from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of
from stageflow_es.session.spelling import TYPES
from stageflow_es.session.verify import Broken, Verified, verify

from .test_core_properties import SEEDS, Walk

Document = dict[str, Any]

FORGED = [*range(12), 14, 27, 33, 129]
"""Walks whose beginnings have every type of event."""

ANY = {"at", "by"}
SENT = {"cause", "command_id", "reason"}
FROM_OUTSIDE: dict[str, set[str]] = {
    "session_started": {"pipeline", "payload", "labels", "paused", *SENT},
    "session_paused": SENT,
    "session_resumed": SENT,
    "session_stopped": SENT,
    "session_retried": SENT,
    "command_rejected": {"problems", "command", *SENT},
    "stage_completed": {"writes"},
    "stage_failed": {"error.type", "error.message", "retry", "timer", "due"},
    "stage_timeout": {"error.type", "error.message", "retry", "timer", "due"},
    "stage_skipped": SENT,
    "skip_denied": {"scope", *SENT},
    "stage_event": {"key", "payload"},
    "step_completed": {"key", "value"},
    "timer_set": {"key", "alone"},
    "waiting_for_input": {"key", "input_type", "schema", "timeout", "alone"},
    "user_input": {"input_type", "payload", *SENT},
    "input_rejected": {"payload", "input_type", "cause", "command_seq", "problems", *SENT},
}
"""What an event alone can say, because it came from outside. All other fields follow from the history before."""

LEAVES_NO_TRACE = {
    "command_rejected",
    "input_rejected",
    "input_timeout",
    "session_paused",
    "session_resumed",
    "skip_denied",
    "stage_event",
    "stage_interrupted",
    "step_completed",
    "timer_fired",
    "timer_set",
    "user_input",
    "waiting_for_input",
}
"""What may or may not have happened, sooner or later, without moving a cursor: a history without it can be one too."""


def chained(documents: list[Document]) -> list[bytes]:
    """Events as bytes, numbered and hashed anew."""
    stored: list[bytes] = []
    prev = ""
    for n, document in enumerate(documents, 1):
        stored.append(msgspec.json.encode({**document, "n": n, "prev": prev}))
        prev = hash_of(stored[-1])
    return stored


def walked(seed: int, longest: int = 150) -> tuple[Pipeline, list[Document]]:
    scenario = Walk(seed).run()
    return scenario.pipeline, [msgspec.json.decode(data) for data in scenario.history[:longest]]


def changes(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Other values in place of one: of another size or type, with a bit more, with one thing changed inside."""
    match value:
        case bool():
            yield path, not value
            yield path, int(value)
        case int():
            yield path, value + 1
            yield path, float(value)
        case float():
            yield path, value + 0.5
        case str():
            yield path, value + "x"
            yield path, None
        case None:
            yield path, "x"
        case list():
            yield path, [*value, *value[:1]] if value else ["x"]
            for index, item in enumerate(value):
                yield path, value[:index] + value[index + 1 :]
                for inside, other in changes(item, path):
                    yield inside, [*value[:index], other, *value[index + 1 :]]
        case dict():
            yield path, {**value, "forged": 1}
            for key, item in value.items():
                yield f"{path}.{key}" if path else key, {name: value[name] for name in value if name != key}
                for inside, other in changes(item, f"{path}.{key}" if path else key):
                    yield inside, {**value, key: other}


def derived_changes(document: Document) -> Iterator[tuple[str, Document]]:
    """An event with one thing changed that follows from the history before it."""
    outside = ANY | FROM_OUTSIDE.get(document["type"], set())
    for path, other in changes(document):
        field = path.split(".")[0]
        if field in ("n", "prev", "") or outside & {field, path} or not isinstance(other, dict) or "type" not in other:
            continue
        if default_left_out(document, other):
            continue
        yield path, other


def default_left_out(document: Document, other: Document) -> bool:
    """Whether what was left out is what is read where it is missing: the same event, as an earlier release wrote it."""
    try:
        before, after = (msgspec.convert(one, ev.AnyEvent) for one in (document, other))
    except msgspec.ValidationError:
        return False
    return msgspec.json.encode(before) == msgspec.json.encode(after) and other.keys() <= document.keys()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_walk_verifies_and_so_does_every_prefix_of_it(seed: int) -> None:
    scenario = Walk(seed).run()
    found = verify(scenario.pipeline, scenario.history)
    assert found == Verified(
        session="s",
        digest=scenario.pipeline.digest,
        count=len(scenario.history),
        head=scenario.state.head,
        status=scenario.state.status,
    )
    cut = Random(seed).randrange(1, len(scenario.history) + 1)
    assert verify(scenario.pipeline, scenario.history[:cut])


@pytest.mark.parametrize("seed", FORGED)
def test_every_change_to_what_follows_from_the_history_is_found_at_its_event(seed: int) -> None:
    pipeline, documents = walked(seed, 60)
    assert verify(pipeline, chained(documents))
    for index, document in enumerate(documents):
        for path, other in derived_changes(document):
            forged = chained([*documents[:index], other, *documents[index + 1 :]])
            found = verify(pipeline, forged, session="s")
            assert isinstance(found, Broken), (document, path, other)
            assert found.n == index + 1, (found, path, other)


def test_the_changes_reach_every_type_of_event() -> None:
    seen = {document["type"] for seed in FORGED for document in walked(seed, 60)[1]}
    assert set(TYPES) - seen == {"session_archived"}


@pytest.mark.parametrize("seed", range(40))
def test_an_event_that_moves_a_cursor_cannot_be_left_out(seed: int) -> None:
    pipeline, documents = walked(seed)
    for index, document in enumerate(documents[:-1]):
        if document["type"] not in LEAVES_NO_TRACE:
            forged = chained(documents[:index] + documents[index + 1 :])
            assert not verify(pipeline, forged), document


@pytest.mark.parametrize("seed", range(40))
def test_no_event_can_happen_twice(seed: int) -> None:
    pipeline, documents = walked(seed)
    for index, document in enumerate(documents):
        found = verify(pipeline, chained([*documents[: index + 1], *documents[index:]]))
        assert isinstance(found, Broken), document
        assert found.n == index + 2


@pytest.mark.parametrize("seed", range(40))
def test_two_events_that_move_cursors_cannot_change_places(seed: int) -> None:
    pipeline, documents = walked(seed)
    for index, (first, second) in enumerate(pairwise(documents)):
        if not {first["type"], second["type"]} & LEAVES_NO_TRACE:
            forged = [*documents[:index], second, first, *documents[index + 2 :]]
            assert not verify(pipeline, chained(forged)), (first, second)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_happens_after_the_end(seed: int) -> None:
    pipeline, documents = walked(seed, 1000)
    if documents[-1]["type"] not in ("session_completed", "session_stopped"):
        return
    for document in documents[1:-1]:
        found = verify(pipeline, chained([*documents, document]))
        assert isinstance(found, Broken), document
        assert found.n == len(documents) + 1


STRANGE = [
    b"NaN",
    b"1" + b"0" * 5000,
    b"-1e400",
    b'"\\ud800"',
    b'"\xff\xfe"',
    b"[" * 500 + b"]" * 500,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":1,"a":2}',
    b'{"a..b.0":[null]}',
    b"null",
    b'""',
    b'["a","a"]',
    b"18446744073709551616",
    b"-0",
]


@pytest.mark.parametrize("strange", STRANGE, ids=lambda value: str(value[:12]))
def test_a_strange_value_anywhere_is_a_verdict_and_never_an_exception(strange: bytes) -> None:
    pipeline, documents = walked(14, 40)
    stored = chained(documents)
    for index, document in enumerate(documents):
        for name in document:
            value = msgspec.json.encode({**msgspec.json.decode(stored[index]), name: msgspec.Raw(strange)})
            verdict = verify(pipeline, [*stored[:index], value], session="s")
            outside = name in FROM_OUTSIDE.get(document["type"], ()) or name in {*ANY, "error", "cause"}
            assert outside or value == stored[index] or isinstance(verdict, Broken), (document, name)


@pytest.mark.parametrize("seed", range(12))
def test_every_changed_byte_is_found(seed: int) -> None:
    scenario, random = Walk(seed).run(), Random(seed)
    for _ in range(200):
        index = random.randrange(len(scenario.history))
        data = bytearray(scenario.history[index])
        data[random.randrange(len(data))] ^= random.randrange(1, 256)
        history = [*scenario.history[:index], bytes(data), *scenario.history[index + 1 :]]
        found = verify(scenario.pipeline, history, head=scenario.state.head)
        assert isinstance(found, Broken)
        assert found.n in (index + 1, index + 2)


@pytest.mark.parametrize("seed", range(12))
def test_a_cut_tail_is_found_by_the_count_or_the_head(seed: int) -> None:
    scenario = Walk(seed).run()
    cut = scenario.history[: Random(seed).randrange(len(scenario.history))]
    assert not verify(scenario.pipeline, cut, head=scenario.state.head)
    assert not verify(scenario.pipeline, cut, count=scenario.state.n)
