"""What tests of several rooms share: one real NATS server for the whole run, started when a test first wants it; that
every history a test makes has to verify; and that no example of a property fails because the machine is busy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from stageflow_es.bus.jetstream import EmbeddedServer

from .histories import collect

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


@pytest.fixture(autouse=True)
def every_history_verifies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test's session may store what its definition does not lead to."""
    stored = collect(monkeypatch)
    yield
    assert stored.broken() == []


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
