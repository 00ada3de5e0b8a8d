"""Every pipeline in examples/ runs, in this process, and comes to the result its description promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stageflow_es import Context, Pipeline, Session
from stageflow_es.stages.modules import load_stages

EXAMPLES = Path(__file__).parents[2] / "examples"

load_stages([str(EXAMPLES / "order_stages.py")])

ORDER = json.loads((EXAMPLES / "order.json").read_text())
SMALL = {"order": {"items": [{"sku": "chair", "quantity": 1, "price": 8900}]}, "customer": {"orders": 2}}
APPROVE = ("approval", {"approved": True, "by": "Grace"})
DECLINE = ("approval", {"approved": False})

Input = tuple[str, dict[str, Any]]

CASES: list[tuple[str, str, dict[str, Any], list[Input], dict[str, Any], dict[str, Any]]] = [
    (
        "a large order that is approved ships",
        "order_approval",
        ORDER,
        [APPROVE],
        {"status": "shipped"},
        {
            "order.total": 89300,
            "payment.receipt": {"amount": 89300, "reference": "bank-89300"},
            "decision": {"approved": True, "by": "Grace"},
        },
    ),
    (
        "a large order that is declined does not ship",
        "order_approval",
        ORDER,
        [DECLINE],
        {"status": "declined"},
        {"order.total": 89300, "decision": {"approved": False, "by": "somebody"}},
    ),
    (
        "a small order of a good customer needs nobody",
        "order_approval",
        SMALL,
        [],
        {"status": "shipped"},
        {"order.total": 8900, "payment.receipt": {"amount": 8900, "reference": "bank-8900"}, "decision": None},
    ),
    ("a loop ends at its goal", "count_up", {"goal": 4}, [], {"status": "done"}, {"counter": 4}),
    (
        "a map keeps the order of its items",
        "greetings",
        {"guests": [{"name": "Ada"}, {"name": "Grace"}]},
        [],
        {"status": "sent"},
        {"greetings": ["Welcome, Ada!", "Welcome, Grace!"], "places": [0, 1]},
    ),
    (
        "a map over nobody sends nothing",
        "greetings",
        {"guests": []},
        [],
        {"status": "sent"},
        {"greetings": [], "places": []},
    ),
    (
        "a subpipeline can be used twice",
        "two_currencies",
        {"price": {"eur": 10, "gbp": 9}, "signs": {"eur": "€", "gbp": "£"}},
        [],
        {"status": "labelled"},
        {"labels": {"eur": "€ 10", "gbp": "£ 9"}, "last": {"status": "written"}},
    ),
    ("a check that holds needs no plan B", "plan_b", {"stock": 5, "wanted": 3}, [], {"status": "reserved"}, {}),
    (
        "a fallback reads what went wrong",
        "plan_b",
        {"stock": 1, "wanted": 3},
        [],
        {"status": "back-ordered"},
        {"reason": "not enough in stock"},
    ),
    ("the first success wins a race", "fastest_quote", {}, [], {"status": "picked"}, {"carrier": "courier"}),
]


@pytest.mark.parametrize(
    ("name", "payload", "inputs", "result", "artifacts"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_an_example_comes_to_its_result(
    name: str, payload: dict[str, Any], inputs: list[Input], result: dict[str, Any], artifacts: dict[str, Any]
) -> None:
    pipeline = Pipeline.from_dict(json.loads((EXAMPLES / f"{name}.json").read_text()))
    session = Session(id="example", pipeline=pipeline, context=Context(payload=payload))
    for type_, content in inputs:
        await session.input(type_, content)

    ended = await session.run()

    assert ended.result == result
    assert ended.artifacts == artifacts


def test_every_example_is_executed() -> None:
    """A pipeline nobody runs would rot."""
    pipelines = {path.stem for path in EXAMPLES.glob("*.json") if "entry" in json.loads(path.read_text())}
    assert pipelines == {case[1] for case in CASES}
