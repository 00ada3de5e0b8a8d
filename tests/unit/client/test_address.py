"""Where a client connects to: a URL, the environment, or a context of the `nats` command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stageflow_es.client import resolve
from stageflow_es.client.address import resolve_prefix
from stageflow_es.errors import OperatorError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    contexts = tmp_path / "nats" / "context"
    contexts.mkdir(parents=True)
    staging = {"url": "nats://staging:4222, nats://staging-2:4222", "user": "ada", "password": "secret"}
    (contexts / "staging.json").write_text(json.dumps({"description": "x", **staging}))
    (contexts / "domain.json").write_text(json.dumps({"url": "nats://x", "jetstream_domain": "hub"}))
    (contexts / "broken.json").write_text("{")
    (contexts / "no-ca.json").write_text(json.dumps({"ca": "/no/such/ca.pem"}))
    return tmp_path


def test_a_url_given_comes_first(home: Path) -> None:
    address = resolve("nats://a:1,nats://b:2", "staging", {"NATS_URL": "nats://c:3", "XDG_CONFIG_HOME": str(home)})
    assert address.servers == ["nats://a:1", "nats://b:2"]


def test_a_context_given_comes_before_the_environment(home: Path) -> None:
    address = resolve(None, "staging", {"NATS_URL": "nats://c:3", "XDG_CONFIG_HOME": str(home)})
    assert address.servers == ["nats://staging:4222", "nats://staging-2:4222"]
    assert address.options == {"user": "ada", "password": "secret"}


def test_nats_url_comes_before_the_selected_context(home: Path) -> None:
    (home / "nats" / "context.txt").write_text("staging")
    address = resolve(environment={"NATS_URL": "nats://c:3", "XDG_CONFIG_HOME": str(home)})
    assert (address.servers, address.source) == (["nats://c:3"], "NATS_URL")


def test_the_context_named_in_the_environment_is_used(home: Path) -> None:
    address = resolve(environment={"NATS_CONTEXT": "staging", "XDG_CONFIG_HOME": str(home)})
    assert address.options["user"] == "ada"


def test_the_selected_context_is_used(home: Path) -> None:
    (home / "nats" / "context.txt").write_text("staging\n")
    address = resolve(environment={"XDG_CONFIG_HOME": str(home)})
    assert address.source == "the NATS context 'staging'"


def test_without_anything_it_is_this_machine(tmp_path: Path) -> None:
    address = resolve(environment={"HOME": str(tmp_path)})
    assert (address.servers, address.options) == (["nats://127.0.0.1:4222"], {})


def test_contexts_are_found_in_the_home_directory(tmp_path: Path) -> None:
    contexts = tmp_path / ".config" / "nats" / "context"
    contexts.mkdir(parents=True)
    (contexts / "mine.json").write_text('{"url": "nats://mine", "token": "t", "creds": "/etc/c.creds"}')
    address = resolve(None, "mine", {"HOME": str(tmp_path)})
    assert address.options == {"token": "t", "user_credentials": "/etc/c.creds"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "no NATS context"),
        ("broken", "cannot be read"),
        ("domain", "jetstream_domain"),
        ("no-ca", "certificates"),
    ],
)
def test_a_context_that_cannot_be_used_is_the_operators_error(home: Path, name: str, message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        resolve(None, name, {"XDG_CONFIG_HOME": str(home)})


@pytest.mark.parametrize(
    ("given", "environment", "prefix"),
    [
        ("shop", {"STAGEFLOW_PREFIX": "other"}, "shop"),
        (None, {"STAGEFLOW_PREFIX": "shop"}, "shop"),
        (None, {"STAGEFLOW_PREFIX": ""}, "stageflow"),
        (None, {}, "stageflow"),
    ],
)
def test_a_prefix_given_comes_before_the_environment(
    given: str | None, environment: dict[str, str], prefix: str
) -> None:
    assert resolve_prefix(given, environment) == prefix
