"""Snapshots for tests: of a worker that never was."""

from typing import Any

from jollyae.worker.state import Counted, Histogram, Snapshot

NOW = 1_795_000_000.0


def snapshot(**changed: Any) -> Snapshot:
    """A worker that did this and that, with ``changed`` otherwise."""
    usual: dict[str, Any] = {
        "worker": "host-1-0123abcd",
        "pid": 1,
        "started": NOW - 3600,
        "destination": "s3://bucket/prefix",
        "watch": "inotify",
        "delivered": 12,
        "delivered_bytes": 3400,
        "failed": 2,
        "deferred": 3,
        "unready": 1,
        "limit": 16,
        "in_flight": [],
        "held": 0,
        "paused": None,
        "attempts": {"done": 12, "defer": 3, "fail": 2, "hold": 4},
        "failed_by": {"collision": 2},
        "deferred_by": {"denied": 1, "timeout": 2},
        "sent_bytes": 4000,
        "delivery": Histogram([1, 2, 3, 6], 0.05),
        "attempt": Histogram([4, 8], 0.02),
        "last_delivery": NOW - 5,
        "last_scan": NOW - 1,
        "places": {
            "incoming": Counted(7, 700, NOW - 30, NOW - 60),
            "failed": Counted(2, 20, NOW - 86400, NOW - 60),
            "deferred": Counted(0, 0, None, NOW - 60),
        },
        "oldest_waiting": NOW - 30,
        "free_bytes": 1 << 40,
        "free_inodes": 1 << 20,
    }
    return Snapshot(**usual | changed)
