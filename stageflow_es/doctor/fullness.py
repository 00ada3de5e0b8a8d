"""How full something is, and sizes for people."""

from __future__ import annotations

from stageflow_es.doctor.finding import Finding

ALMOST_FULL, FULL = 0.8, 0.95


def fullness(about: str, used: int, most: int, what: str) -> Finding:
    """A finding on how full something is: `used` of `most` bytes, a limit that is `what`."""
    share = used / most if most else 1.0
    says = f"{size(used)} of {size(most)} ({what}) are used"
    if share < ALMOST_FULL:
        return Finding(severity="ok", about=about, says=says)
    return Finding(
        severity="error" if share >= FULL else "warning",
        about=about,
        says=says,
        means="when it is full, commands are refused and sessions stand still; nothing stored is lost",
        do="give it more room, or archive finished sessions: stageflow archive --older-than 30d -o DIR",
    )


def size(count: int) -> str:
    """Bytes, for people."""
    left = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if left < 1024:
            return f"{left:.0f} {unit}" if unit == "bytes" else f"{left:.1f} {unit}"
        left /= 1024
    return f"{left:.1f} TiB"
