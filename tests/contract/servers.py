"""Servers with a configuration of their own."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

from stageflow_es.bus.jetstream import EmbeddedServer


class Configured(EmbeddedServer):
    """A server with a configuration of one's own; `STORE` is its directory, `monitor` its monitoring port."""

    def __init__(self, directory: Path, config: str) -> None:
        super().__init__(directory)
        self._config = config

    def _write_config(self) -> Path:
        config = super()._write_config()
        text = self._config.replace("STORE", json.dumps(str(self.directory / "jetstream")))
        config.write_text(f"listen: 127.0.0.1:{self.port or -1}\nhttp: 127.0.0.1:-1\n{text}\n")
        return config

    @property
    def monitor(self) -> str:
        found = re.findall(r"Starting http monitor on (\S+)", (self.directory / "nats.log").read_text())
        return f"http://{found[-1]}"

    def as_user(self, user: str) -> str:
        return f"nats://{user}:p@127.0.0.1:{self.port}"


ALWAYS = "jetstream { store_dir: STORE, sync_interval: always }"
USERS = """
jetstream { store_dir: STORE, sync_interval: always }
accounts {
  A: { jetstream: enabled, users: [
    {user: engine, password: p}
    {user: client, password: p, permissions: {
      publish: ["t.command.>", "t.query.>"], subscribe: ["_INBOX.>", "t.events.>", "t.rejections.>"]}}
    {user: careless, password: p, permissions: {publish: {allow: [">"], deny: ["$JS.API.STREAM.PURGE.>"]}}}
    {user: reader, password: p, permissions: {publish: ["$JS.API.>"], subscribe: [">"]}}
    {user: metrics, password: p, permissions: {
      publish: ["$JS.API.INFO", "$JS.API.STREAM.INFO.>", "$JS.API.STREAM.MSG.GET.>", "$JS.API.DIRECT.GET.>",
        "$JS.API.CONSUMER.LIST.>", "t.query.>"], subscribe: ["_INBOX.>"]}}
    {user: deaf, password: p, permissions: {publish: [">"], subscribe: ["nothing"]}}
  ]}
  B: { users: [{user: nothing, password: p}] }
  SYS: { users: [{user: sys, password: p}] }
}
system_account: SYS
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
