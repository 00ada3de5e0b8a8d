"""Where the bus is and how to be let in: a URL, the environment, or a context of the `nats` command line.

In this order: a URL given, a context given, `NATS_URL`, `NATS_CONTEXT`, the context `nats context select` chose, and
at last `nats://127.0.0.1:4222`. The subject prefix: one given, `STAGEFLOW_PREFIX`, and at last `stageflow`.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stageflow_es.errors import OperatorError

DEFAULT_URL = "nats://127.0.0.1:4222"
DEFAULT_PREFIX = "stageflow"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """`servers` to try, `options` as `nats.connect` takes them, and `source`: what it was found in, for people."""

    servers: list[str]
    options: dict[str, Any] = {}
    source: str = ""


class _Context(msgspec.Struct, kw_only=True):
    """The fields of a context file that this client can honour, and those it must not ignore."""

    url: str = DEFAULT_URL
    token: str = ""
    user: str = ""
    password: str = ""
    creds: str = ""
    nkey: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""
    user_jwt: str = ""
    inbox_prefix: str = ""
    jetstream_domain: str = ""
    jetstream_api_prefix: str = ""
    socks_proxy: str = ""
    nsc: str = ""


_UNSUPPORTED = ("jetstream_domain", "jetstream_api_prefix", "socks_proxy", "nsc", "user_jwt")


def resolve(
    url: str | None = None, context: str | None = None, environment: Mapping[str, str] | None = None
) -> Address:
    """The address to use. Raises OperatorError when a named context is not there or cannot be used."""
    env = os.environ if environment is None else environment
    for given in (url, context):
        if not isinstance(given, str | None):
            raise OperatorError(f"a server is given as a URL, a context by its name, both as texts, not as {given!r}")
    if url:
        return Address(servers=_split(url), source="the URL given")
    if context:
        return _from_context(context, env)
    if env.get("NATS_URL"):
        return Address(servers=_split(env["NATS_URL"]), source="NATS_URL")
    if env.get("NATS_CONTEXT"):
        return _from_context(env["NATS_CONTEXT"], env)
    selected = _selected(env)
    if selected:
        return _from_context(selected, env)
    return Address(servers=[DEFAULT_URL], source="the default")


def resolve_prefix(prefix: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """The subject prefix to use: the one given, `STAGEFLOW_PREFIX`, or `stageflow`."""
    if prefix is not None:
        return prefix
    return (os.environ if environment is None else environment).get("STAGEFLOW_PREFIX") or DEFAULT_PREFIX


def _split(url: str) -> list[str]:
    return [part.strip() for part in url.split(",") if part.strip()]


def _home(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_CONFIG_HOME") or str(Path(env.get("HOME") or Path.home()) / ".config")
    return Path(base) / "nats"


def _selected(env: Mapping[str, str]) -> str | None:
    try:
        return (_home(env) / "context.txt").read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _from_context(name: str, env: Mapping[str, str]) -> Address:
    path = Path(name) if name.endswith(".json") else _home(env) / "context" / f"{name}.json"
    try:
        context = msgspec.json.decode(path.read_bytes(), type=_Context)
    except OSError as problem:
        raise OperatorError(f"there is no NATS context {name!r} ({path}: {problem.strerror})") from problem
    except ValueError as problem:
        raise OperatorError(f"the NATS context {str(path)!a} cannot be read: {problem}") from problem
    for field in _UNSUPPORTED:
        if getattr(context, field):
            raise OperatorError(f"the NATS context {name!r} sets {field}, which this client does not support")
    try:
        options = _options(context)
    except OSError as problem:
        raise OperatorError(f"the certificates of the NATS context {name!r} cannot be used: {problem}") from problem
    return Address(servers=_split(context.url), options=options, source=f"the NATS context {name!r}")


def _options(context: _Context) -> dict[str, Any]:
    plain = {
        "token": context.token,
        "user": context.user,
        "password": context.password,
        "user_credentials": _expand(context.creds),
        "nkeys_seed": _expand(context.nkey),
        "inbox_prefix": context.inbox_prefix,
    }
    options: dict[str, Any] = {name: value for name, value in plain.items() if value}
    if context.ca or context.cert:
        tls = ssl.create_default_context(cafile=_expand(context.ca) or None)
        if context.cert:
            tls.load_cert_chain(_expand(context.cert), _expand(context.key) or None)
        options["tls"] = tls
    return options


def _expand(path: str) -> str:
    return str(Path(path).expanduser()) if path else ""
