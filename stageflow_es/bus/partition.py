"""Which partition a session belongs to: FNV-1a (32 bit) of its id, modulo the number of partitions.

This is what nats-server computes for `{{partition(P,i)}}` in a subject transform, so the reference bus and
the real one agree on every session.
"""

from __future__ import annotations

_OFFSET = 2166136261
_PRIME = 16777619
_MASK = 0xFFFFFFFF


def partition_of(session: str, partitions: int) -> int:
    """The partition of `session`, 0 to `partitions` - 1."""
    value = _OFFSET
    for byte in session.encode():
        value = ((value ^ byte) * _PRIME) & _MASK
    return value % partitions
