"""Fields as the page lists them, of stages and of nodes alike; and the little markup that prose has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stageflow_es.docs.markup import Markup, join, tag


def field_table(caption: str, rows: Sequence[Markup]) -> Markup:
    return tag("table", tag("caption", caption), tag("tbody", *rows), class_="fields")


def field_row(name: str, type_: str, remark: str, about: str, default: Any) -> Markup:
    """One field. `remark`: whether it has to be there; `default` None: it has none."""
    return tag(
        "tr",
        tag(
            "th", tag("code", name), tag("span", tag("code", type_), f" {remark}".rstrip(), class_="type"), scope="row"
        ),
        tag(
            "td",
            prose(about),
            None if default is None else tag("span", "default ", tag("code", json.dumps(default)), class_="default"),
        ),
    )


def prose(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return join(text)
    return join(*(tag("code", part) if at % 2 else part for at, part in enumerate(parts)))
