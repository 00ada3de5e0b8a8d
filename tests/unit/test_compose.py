"""compose.yaml names what there is: processes, files, and a server that syncs every write."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from stageflow_es.bus.jetstream.staging import staged
from stageflow_es.bus.jetstream.subjects import Names

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_every_process_is_a_module_of_ours_with_a_health_check_and_a_restart_policy() -> None:
    services = COMPOSE["services"]
    modules = {name: service["command"][2] for name, service in services.items() if name != "nats"}
    assert modules == {
        "engine": "services.engine",
        "projection": "services.projection",
        "metrics": "services.metrics",
    }
    assert all(find_spec(f"{module}.__main__") for module in modules.values())
    assert all(service["healthcheck"] and service["restart"] == "unless-stopped" for service in services.values())


def test_every_file_it_mounts_exists() -> None:
    sources = [volume.split(":")[0] for volume in COMPOSE["services"]["nats"]["volumes"]]
    files = [source for source in sources if source.startswith("./")]
    assert files == ["./services/nats/nats.conf"]
    assert all((ROOT / file).is_file() for file in files)


def test_the_server_syncs_every_write() -> None:
    text = (ROOT / "services" / "nats" / "nats.conf").read_text()
    assert re.search(r"^\s*sync_interval: always$", text, re.MULTILINE)


def test_the_server_stages_the_batches_of_both_streams_in_memory() -> None:
    names, store = Names("stageflow"), Path("/data")
    places = [staged(store, name) for name in (names.events, names.commands)]
    assert COMPOSE["services"]["nats"]["tmpfs"] == [f"{place}:size=256m".replace("$", "$$") for place in places]
    assert f"store_dir: {store}\n" in (ROOT / "services" / "nats" / "nats.conf").read_text()
