"""The stages of an order's approval: what a user of StageFlow writes.

They are simulated, so that the examples run anywhere: the warehouse knows every SKU, the bank takes every card.
"""

from __future__ import annotations

from typing import Any

from stageflow_es import BaseStage, register_stage

STOCK = {"desk": 12, "chair": 40, "lamp": 0}


@register_stage("ReserveItem")
class ReserveItem(BaseStage):
    """
    description: "Reserves one line of an order in the warehouse and prices it."
    arguments:
      item: {type: object, description: "sku, quantity and unit price in cents"}
    outputs:
      line: {type: object, description: "the line with its total and where it stands"}
    """

    category = "order"
    retries = 2

    async def run(self) -> None:
        item: dict[str, Any] = self.get_arguments()["item"]
        reservation = await self.step("reserve", self._reserve, item["sku"], item["quantity"])
        total = item["quantity"] * item["price"]
        self.set_outputs({"line": {**item, "total": total, "status": reservation}})

    async def _reserve(self, sku: str, quantity: int) -> str:
        return "reserved" if STOCK.get(sku, 0) >= quantity else "back-ordered"


@register_stage("TotalOrder")
class TotalOrder(BaseStage):
    """
    description: "Adds up the lines of an order."
    arguments:
      lines: array
    outputs:
      total: {type: integer, description: "in cents"}
    """

    category = "order"

    async def run(self) -> None:
        self.set_outputs({"total": sum(line["total"] for line in self.get_arguments()["lines"])})


@register_stage("ScoreCustomer")
class ScoreCustomer(BaseStage):
    """
    description: "Rates how likely a customer is to pay, from 0 (never) to 100 (always)."
    arguments:
      customer: {type: object, description: "with the number of orders so far"}
    outputs:
      score: integer
    """

    category = "order"

    async def run(self) -> None:
        orders = self.get_arguments()["customer"].get("orders", 0)
        self.set_outputs({"score": min(40 + 10 * orders, 100)})


@register_stage("AskForApproval")
class AskForApproval(BaseStage):
    """
    description: "Asks a person whether an order may go out, and waits for the answer."
    arguments:
      total: {type: integer, description: "in cents"}
      score: integer
    config:
      timeout: {type: number, optional: true, description: "seconds to wait; then the order is declined"}
    outputs:
      approved: boolean
      by: string
    """

    category = "order"
    skipable = True
    allowed_events = [{"type": "approval_requested", "description": "somebody has to decide"}]
    allowed_inputs = [
        {
            "type": "approval",
            "payload_schema": {
                "type": "object",
                "properties": {"approved": {"type": "boolean"}, "by": {"type": "string"}},
                "required": ["approved"],
            },
        }
    ]

    async def run(self) -> None:
        order = self.get_arguments()
        self.emit("approval_requested", {"total": order["total"], "score": order["score"]})
        answer = await self.wait_input("approval", timeout=self.config.get("timeout"))
        decision = answer["payload"] if answer else {"approved": False, "by": "nobody in time"}
        self.set_outputs({"approved": decision["approved"], "by": decision.get("by", "somebody")})


@register_stage("ChargeCard")
class ChargeCard(BaseStage):
    """
    description: "Charges a card. The idempotency key makes a repeated run charge once."
    arguments:
      amount: {type: integer, description: "in cents"}
    outputs:
      receipt: {type: object, description: "amount and the bank's reference"}
    """

    category = "payment"
    retries = 3
    retry_delay = 0.2

    async def run(self) -> None:
        amount = self.get_arguments()["amount"]
        reference = await self.step("charge", self._charge, amount, self.idempotency_key)
        self.set_outputs({"receipt": {"amount": amount, "reference": reference}})

    async def _charge(self, amount: int, key: str) -> str:
        return f"bank-{amount}"
