"""What tests of several rooms share: one real NATS server for the whole run, started when a test first wants it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server on 127.0.0.1 that syncs always. Tests share it, each under a prefix of its own."""
    with EmbeddedServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server for one test, which may stop, kill and start it again."""
    with EmbeddedServer(tmp_path / "nats") as server:
        yield server
