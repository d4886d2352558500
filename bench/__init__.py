"""jollyae beside its peers, on one machine in one go: ``make bench``, or ``python -m bench --list``.

What is measured and how is said in docs/PERFORMANCE.md. Nothing here is part of the package that is installed.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

HOME = ROOT / ".bench"
"""What the benchmarks make and keep: the peers' venv, results, files on disk while they run."""
