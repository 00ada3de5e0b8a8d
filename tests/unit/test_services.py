"""The deployable processes' command lines: what they do not take they refuse, before they connect to anything."""

from __future__ import annotations

import runpy
import sys

import pytest

NOT_TAKEN = [
    ("engine", ["nonsense"]),
    ("engine", ["health", "nonsense"]),
    ("engine", ["--partitions", "4"]),
    ("projector", ["nonsense"]),
    ("query", ["health"]),
    ("projection", ["--db=x"]),
    ("metrics", ["9464"]),
]


def _run(monkeypatch: pytest.MonkeyPatch, service: str, *arguments: str) -> object:
    """The exit code."""
    monkeypatch.setattr(sys, "argv", [service, *arguments])
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"services.{service}", run_name="__main__")
    return ended.value.code


@pytest.mark.parametrize(("service", "arguments"), NOT_TAKEN)
def test_an_argument_it_does_not_take_ends_a_service_with_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: str, arguments: list[str]
) -> None:
    assert _run(monkeypatch, service, *arguments) == 2
    said = capsys.readouterr().err
    assert f"usage: python -m services.{service}" in said
    assert ("{health}" in said) == (service in ("engine", "metrics"))


@pytest.mark.parametrize("service", ["engine", "projector", "query", "projection", "metrics"])
def test_asked_for_help_a_service_says_what_it_does_and_which_settings_it_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: str
) -> None:
    assert _run(monkeypatch, service, "--help") == 0
    said = capsys.readouterr().out
    assert "Exit codes" in said
    assert "NATS_URL" in said
    assert "STAGEFLOW_PREFIX" in said
