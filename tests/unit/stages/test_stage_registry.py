"""Stages are registered by name, and what the core must know of them is plain JSON."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stageflow_es.errors import OperatorError
from stageflow_es.pipeline.spec import FieldSpec, MessageSpec, StageSpec
from stageflow_es.stages import (
    BaseStage,
    EventSpec,
    InputSpec,
    catalog,
    get_stage,
    get_stages,
    get_stages_by_category,
    register_stage,
    spec_of,
)
from stageflow_es.stages.modules import load_stages


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr("stageflow_es.stages.registry._stages", get_stages())


def make(module: str = "shop", qualname: str = "Ship", **attributes: Any) -> type[BaseStage]:
    return type(qualname, (BaseStage,), {"__module__": module, "__qualname__": qualname, **attributes})


def test_a_registered_class_is_found_by_name_and_category() -> None:
    ship = register_stage("Ship")(make(category="shop"))
    plain = register_stage("Plain")(make(qualname="Plain"))

    assert (ship.stage_name, get_stage("Ship"), get_stages()["Ship"]) == ("Ship", ship, ship)
    assert get_stages_by_category()["shop"] == [ship]
    assert plain in get_stages_by_category()["default"]


@pytest.mark.parametrize("other", [type("Stray", (), {}), lambda: None, make()("stage")])
def test_what_is_no_stage_cannot_be_registered(other: Any) -> None:
    with pytest.raises(TypeError, match="as stage 'Stray': it is no subclass of BaseStage"):
        register_stage("Stray")(other)

    assert "Stray" not in get_stages()
    catalog()


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("timeout", "5"),
        ("timeout", float("nan")),
        ("timeout", -1),
        ("retries", None),
        ("retries", "3"),
        ("retries", True),
        ("retry_delay", "1"),
        ("retry_backoff", -2),
        ("skipable", "no"),
        ("blocking", 1),
        ("category", 5),
        ("allowed_inputs", "cancel"),
        ("allowed_inputs", ["cancel"]),
        ("allowed_inputs", {"type": "cancel"}),
        ("allowed_inputs", [{"type": "cancel", "schema": int}]),
        ("allowed_inputs", [{"type": 5}]),
        ("allowed_inputs", None),
        ("allowed_events", [{"payload_schema": int}]),
        ("allowed_events", [EventSpec("asked", payload_schema="object")]),
    ],
)
def test_a_class_that_declares_what_cannot_be_is_not_registered(attribute: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"shop\.Ship cannot be registered as stage 'Ship': {attribute}"):
        register_stage("Ship")(make(**{attribute: value}))

    assert "Ship" not in get_stages()


def test_all_that_a_class_may_declare_is_registered() -> None:
    attributes = {"timeout": None, "retries": float("inf"), "retry_delay": 0.5, "allowed_events": (EventSpec("asked"),)}
    inputs = [InputSpec(), {"type": "cancel", "payload_schema": {"why": str}}]

    assert register_stage("Ship")(make(**attributes, allowed_inputs=inputs)) is get_stage("Ship")


def test_a_class_that_is_registered_without_a_name_is_told_how() -> None:
    with pytest.raises(TypeError, match=r"@register_stage\('Name'\)"):
        register_stage(make())  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [make(module="other"), make(qualname="Other")])
def test_a_name_is_taken_once(other: type[BaseStage]) -> None:
    first = register_stage("Ship")(make())

    with pytest.raises(ValueError, match=r"'Ship' is registered already, by shop\.Ship"):
        register_stage("Ship")(other)

    assert get_stage("Ship") is first
    assert other.stage_name == "BaseStage"


def test_a_reloaded_class_takes_its_own_place() -> None:
    register_stage("Ship")(make())
    again = register_stage("Ship")(make())

    assert get_stage("Ship") is again


def test_an_unknown_stage_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no stage 'Nope' is registered"):
        get_stage("Nope")


def test_the_registry_is_not_changed_through_what_it_gives() -> None:
    get_stages().clear()
    get_stages_by_category().clear()

    assert "SetValueStage" in get_stages()


def test_a_spec_says_all_that_a_class_declares() -> None:
    document = """
    description: Ships.
    arguments: {order: object}
    config: [{name: fast, type: bool, optional: true, description: quicker}]
    """
    stage = register_stage("Ship")(
        make(
            __doc__=document,
            category="shop",
            skipable=True,
            blocking=True,
            timeout=None,
            retries=2,
            retry_delay=0.5,
            retry_backoff=3,
            allowed_events=[EventSpec(type="shipped", description="off", payload_schema={"n": int})],
            allowed_inputs=[InputSpec(type="address", payload_schema={"type": "string"}), {"type": "any"}],
        )
    )

    fields = {"type": "object", "properties": {"n": {"type": "integer", "format": "int"}}, "required": ["n"]}
    assert catalog()["Ship"] == StageSpec(
        stage_name="Ship",
        category="shop",
        description="Ships.",
        skipable=True,
        blocking=True,
        timeout=None,
        retries=2,
        retry_delay=0.5,
        retry_backoff=3,
        allowed_events=(MessageSpec(type="shipped", description="off", payload_schema=fields),),
        allowed_inputs=(MessageSpec(type="address", payload_schema={"type": "string"}), MessageSpec(type="any")),
        arguments=(FieldSpec(name="order", type="object"),),
        config=(FieldSpec(name="fast", type="bool", optional=True, description="quicker"),),
        outputs=None,
    )
    assert spec_of(stage) is spec_of(stage)


def test_a_subclass_does_not_inherit_what_its_parent_documents() -> None:
    parent = make(__doc__="description: Ships.\narguments: {order: object}")

    spec = spec_of(type("Child", (parent,), {}))

    assert (spec.description, spec.arguments) == ("", None)


def test_a_spec_follows_the_name_a_class_gets() -> None:
    stage = make()
    assert spec_of(stage).stage_name == "BaseStage"

    register_stage("Ship")(stage)

    assert spec_of(stage).stage_name == "Ship"


def test_the_catalogue_goes_over_the_wire() -> None:
    data = msgspec.json.encode(catalog())

    assert msgspec.json.decode(data, type=dict[str, StageSpec]) == catalog()


def test_loading_says_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "two_stages.py"
    lines = [f"@register_stage({name!r})\nclass {name}(BaseStage): ..." for name in ("LoadedOne", "LoadedTwo")]
    path.write_text("\n".join(["from stageflow_es.stages import BaseStage, register_stage", *lines]))

    assert load_stages([str(path)]) == ["LoadedOne", "LoadedTwo"]
    assert load_stages([str(path)]) == []


def test_a_module_that_does_not_import_is_the_operators_error_and_can_be_loaded_once_mended(tmp_path: Path) -> None:
    path = tmp_path / "broken_stages.py"
    path.write_text("1 / 0")

    with pytest.raises(OperatorError, match="cannot be loaded: ZeroDivisionError"):
        load_stages([str(path)])
    path.write_text("from stageflow_es.stages import *\n@register_stage('Mended')\nclass Mended(BaseStage): ...\n")

    assert load_stages([str(path)]) == ["Mended"]


def test_importing_the_stages_does_not_import_yaml() -> None:
    script = "import sys, stageflow_es.stages; sys.exit('yaml' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
