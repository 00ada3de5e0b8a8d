"""How large the benchmarks are: in full, or with QUICK=1 in the environment small enough for two minutes in all."""

from __future__ import annotations

import os

QUICK = os.environ.get("QUICK", "0") not in ("", "0")


def sized(full: int, quick: int) -> int:
    """The first in full, the second when it is to be quick."""
    return quick if QUICK else full
