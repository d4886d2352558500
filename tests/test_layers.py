"""Imports run one way: spool ← worker ← sources ← service ← web ← cli; spool ← processors ← service; http ← album."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "jollyae"

ALLOWED = {
    "spool": ("spool",),
    "worker": ("worker", "spool"),
    "processors": ("processors", "spool.item", "spool.outcomes", "spool.names", "spool.notes", "spool.fs"),
    "sources": (
        *("sources", "processors.amqp", "processors.notify", "processors.s3", "spool"),
        *(
            "worker.health",
            "worker.reasons",
            "worker.retry",
            "worker.supply",
            "worker.telling",
        ),  # spoken with its worker
    ),
    "http": ("http",),
    "album": ("album", "http", "processors.photo", "spool.item", "spool.outcomes", "spool.names"),
    "aws": ("aws", "sources.events", "sources.naming", "spool", "worker.reasons", "worker.retry"),  # no loop, no S3
    "service": ("service", "sources", "http", "album", "processors", "worker", "spool", ""),  # "": the version
    "web": ("web", "http", "service", "spool"),
    "cli": ("cli", "web", "http", "service", "album", "processors", "worker", "spool", ""),
    "__main__": ("cli",),
    "": ("worker", "spool"),  # __init__: the public names
}
"""For each package, what of ours it may import; '' is ``jollyae/__init__.py`` itself."""

HEAVY = (
    "boto3",
    "botocore",
    "msgspec",
    "uvloop",
    "shtab",
    "PIL",
    "httpx",
    "starlette",
    "uvicorn",
    "jinja2",
    "opentelemetry",
    "aiormq",
)


def _modules() -> dict[str, Path]:
    """Every module below ``jollyae`` by its dotted name; a package by its own."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imports(module: str, path: Path) -> Iterator[str]:
    """What of ours the module imports, wherever in it, by dotted names below ``jollyae``."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "jollyae":
                    yield alias.name.partition(".")[2]
        elif isinstance(node, ast.ImportFrom) and (base := _base(node, package)) is not None:
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield inner if inner in MODULES else base


def _base(node: ast.ImportFrom, package: str) -> str | None:
    """The module that a ``from … import`` names; None where it is not ours."""
    named = node.module or ""
    if node.level == 0:
        return named.partition(".")[2] if named.split(".")[0] == "jollyae" else None
    parts = package.split(".") if package else []
    above = parts[: len(parts) - (node.level - 1)]
    return ".".join([*above, *([named] if named else [])])


def _may(module: str, imported: str) -> bool:
    return any(imported == one or (one and imported.startswith(f"{one}.")) for one in ALLOWED[module.split(".")[0]])


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    """No module imports what its package must not know."""
    wrong = [imported for imported in _imports(module, MODULES[module]) if not _may(module, imported)]
    assert not wrong, f"jollyae.{module} must not import {', '.join(wrong)}"


def test_a_wrong_arrow_is_seen(tmp_path: Path) -> None:
    """The test itself: relative and absolute imports, at the top and inside a function, are told."""
    path = tmp_path / "places.py"
    lines = (
        "from ..worker import rules",
        "def late():",
        "    from jollyae.cli.main import run",
        "    import jollyae.service",
    )
    path.write_text("\n".join(lines))
    assert list(_imports("spool.places", path)) == ["worker.rules", "cli.main", "service"]
    assert not any(_may("spool.places", imported) for imported in ("worker.rules", "cli.main", "service", ""))


def _loaded(program: str, names: tuple[str, ...]) -> str:
    """Which of the named modules are loaded after the program."""
    program += f"; import sys; print([name for name in {names!r} if name in sys.modules], file=sys.stderr)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr.strip()


def test_help_loads_nothing_heavy() -> None:
    """jollyae --help needs neither boto3 nor msgspec nor even asyncio."""
    program = "from jollyae.cli.main import build_parser; build_parser(()).print_help()"
    assert _loaded(program, (*HEAVY, "asyncio")) == "[]"


def test_declaring_the_options_of_all_verbs_loads_nothing_heavy() -> None:
    """The parser of every verb, as completion builds it, needs none of the slow libraries."""
    assert _loaded("from jollyae.cli.main import build_parser; build_parser()", HEAVY) == "[]"
