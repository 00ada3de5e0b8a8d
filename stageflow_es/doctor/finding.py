"""One thing the doctor found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["ok", "note", "unknown", "warning", "error"]
"""`ok`: as it should be. `note`: good to know. `unknown`: could not be seen. `warning`: it works, but promises less, or
somebody should look. `error`: it does not work, or loses what was promised."""

SEVERITIES: tuple[Severity, ...] = ("ok", "note", "unknown", "warning", "error")


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`says` is what was found about what, `means` what follows from it, `do` what to do about it."""

    severity: Severity
    about: str
    says: str
    means: str = ""
    do: str = ""


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst severity of them; `ok` when there are none."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default="ok")
