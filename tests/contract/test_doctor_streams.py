"""`doctor` on streams that are not as they have to be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus

from .examining import about, examined, one


async def test_a_bus_nobody_has_set_up_is_one_error(nats_server: EmbeddedServer) -> None:
    findings = await examined(nats_server.url, "nobody-was-here")
    assert one(findings, "streams").severity == "error"
    assert not about(findings, "stream ")


async def test_a_stream_that_was_removed_is_named(jetstream: JetStreamBus, nats_server: EmbeddedServer) -> None:
    await jetstream.connection.jsm().delete_stream(jetstream.names.timers)
    found = one(await examined(nats_server.url, jetstream.names.prefix), "stream ")
    assert (found.severity, found.about) == ("error", f"stream {jetstream.names.timers}")


ALTERED = [
    ("events", {"max_age": 60_000_000_000}, "max_age"),
    ("events", {"max_msgs_per_subject": 5}, "max_msgs_per_subject"),
    ("events", {"discard": "old"}, "discard"),
    ("events", {"allow_direct": False}, "allow_direct"),
    ("events", {"allow_atomic": False}, "allow_atomic"),
    ("events", {"republish": None}, "republish"),
    ("events", {"duplicate_window": 60_000_000_000}, "duplicate_window"),
    ("events", {"no_ack": True}, "no_ack"),
    ("events", {"allow_rollup_hdrs": True}, "allow_rollup_hdrs"),
    ("events", {"allow_msg_ttl": True}, "allow_msg_ttl"),
    ("commands", {"allow_rollup_hdrs": True}, "allow_rollup_hdrs"),
    ("commands", {"max_msg_size": -1}, "max_msg_size"),
    ("commands", {"max_age": 60_000_000_000}, "max_age"),
    (
        "commands",
        {"subject_transform": {"src": "{p}.command.*.*", "dest": "{p}.x.{{wildcard(2)}}"}},
        "subject_transform",
    ),
    ("commands", {"republish": {"src": ">", "dest": "elsewhere.>"}}, "republish"),
    ("timers", {"max_bytes": 1_000_000}, "max_bytes"),
    ("timers", {"max_msgs": 10}, "max_msgs"),
    ("rejections", {"allow_direct": False}, "allow_direct"),
    ("engines", {"max_age": 600_000_000_000}, "max_age"),
    ("pipelines", {"max_msgs_per_subject": 5}, "max_msgs_per_subject"),
]


@pytest.mark.parametrize(
    ("stream", "change", "field"), ALTERED, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_whatever_was_altered_in_a_stream_is_named(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, stream: str, change: dict[str, Any], field: str
) -> None:
    names = jetstream.names
    name = getattr(names, stream) if stream not in ("engines", "pipelines") else f"KV_{getattr(names, stream)}"
    link = jetstream._link
    config = (await link.api(f"STREAM.INFO.{name}"))["config"]
    altered = json.loads(json.dumps(change).replace("{p}", names.prefix))
    await link.api(f"STREAM.UPDATE.{name}", {**config, **altered})
    findings = await examined(nats_server.url, names.prefix)
    assert f"stream {name}: {field}" in [found.about for found in findings if found.severity == "error"]


async def test_limits_that_lose_nothing_are_the_operators(jetstream: JetStreamBus, nats_server: EmbeddedServer) -> None:
    link, name = jetstream._link, jetstream.names.events
    config = (await link.api(f"STREAM.INFO.{name}"))["config"]
    await link.api(f"STREAM.UPDATE.{name}", {**config, "max_bytes": 1000, "max_msg_size": 600_000})
    await jetstream.events.append("s", [b"x" * 900], 0)
    findings = await examined(nats_server.url, jetstream.names.prefix)
    assert not [found for found in findings if found.severity == "error" and found.about.startswith("stream ")]
    assert one(findings, f"room in {name}").severity == "error"
    assert one(findings, f"stream {name}: max_msg_size").severity == "warning"
