"""The documentation says what is: options, variables, fields, texts, links and commands agree with the program."""

import argparse
import asyncio
import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jollyae.cli import album, legacy
from jollyae.cli.main import VERBS, build_parser, verbs
from jollyae.processors.finding import Finding
from jollyae.processors.s3 import faults
from jollyae.service.observing import status
from jollyae.spool.spool import Spool
from jollyae.spool.survey import Trouble
from jollyae.worker.state import Flight, Paused, Snapshot
from tests.processors.s3.fake import Bench, MiB

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
VERB_PAGES = {verb: DOCS / "verbs" / f"{verb}.md" for verb in VERBS}
OPERATIONS = DOCS / "OPERATIONS.md"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "OUTPUT", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]
OF_COMMANDS = {"JOLLYAE_NAME", "JOLLYAE_PATH", "JOLLYAE_SIZE", "JOLLYAE_ATTEMPT", "JOLLYAE_SOURCE", "JOLLYAE_KEY"}
"""What a command run by --exec finds in its environment."""
OF_NOTIFICATIONS = {"JOLLYAE_DELIVERY_ID", "JOLLYAE_EVENT", "JOLLYAE_URL", "JOLLYAE_BUCKET", "JOLLYAE_KEY"}
"""What a command run by --notify finds besides."""
OF_SECRETS = {
    "JOLLYAE_ALBUM_PASSWORD",
    "JOLLYAE_ALBUM_PASSWORD_FILE",
    "JOLLYAE_USER_PASSWORD",
    "JOLLYAE_WEBHOOK_SECRET",
}
"""What no option says."""

_ENVIRONMENT = re.compile(r"env: (JOLLYAE_\w+)\]")
_DEFAULT = re.compile(r"\[default: ([^;\]]+)")
_OTHER_PROGRAMS = re.compile(r"^ +(systemctl|useradd|loginctl) .*$|`systemctl [^`]*`", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_RUNNABLE = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL)


@cache
def _actions(verb: str) -> tuple[argparse.Action, ...]:
    """The options and arguments of a verb, as its help shows them; of 'album VERB' too, and of 'album' those of all."""
    name, _, inner = verb.partition(" ")
    parser = verbs(build_parser((name,)))[name]
    parsers = [verbs(parser)[inner]] if inner else [parser, *verbs(parser).values()]
    return tuple(action for one in parsers for action in one._actions)


def _shown(verb: str) -> list[argparse.Action]:
    return [action for action in _actions(verb) if action.help is not argparse.SUPPRESS]


def _section(text: str, title: str) -> str:
    """What is below a heading, up to the next of its rank."""
    found = re.search(rf"^(##+) {re.escape(title)}$(.*?)(?=^\1 |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title}"
    return found.group(2)


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def _first_cells(text: str) -> set[str]:
    """The words in backticks in the first column of the tables in the text."""
    return {word for row in _rows(text) for word in re.findall(r"`(\w+)`", row.split("|")[1])}


# --- options


@pytest.mark.parametrize("verb", VERBS)
def test_a_page_has_the_sections_of_a_manual(verb: str) -> None:
    """NAME, SYNOPSIS … SEE ALSO, in this order."""
    found = re.findall(r"^## (.+)$", VERB_PAGES[verb].read_text(), re.MULTILINE)
    assert found == SECTIONS


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented(verb: str) -> None:
    """Each option, with its variable and its default, has a row in the page of its verb."""
    rows = _rows(_section(VERB_PAGES[verb].read_text(), "OPTIONS"))
    for action in _shown(verb):
        if not action.option_strings:
            continue
        flag = max(action.option_strings, key=len)
        row = next((row for row in rows if re.search(rf"`{flag}[ `]", row.split("|")[1])), "")
        assert row, f"{verb} {flag} has no row"
        for text in (*_ENVIRONMENT.findall(action.help or ""), *_DEFAULT.findall(action.help or "")):
            assert re.sub(r"\.0$", "", text) in row, f"{verb} {flag}: the row does not say {text}"


@pytest.mark.parametrize("verb", VERBS)
def test_every_documented_option_exists(verb: str) -> None:
    """The OPTIONS of a page name only this verb's; the rest of it only what some verb has."""
    text = VERB_PAGES[verb].read_text()
    own = {flag for action in _actions(verb) for flag in action.option_strings}
    for row in _rows(_section(text, "OPTIONS")):
        for flag in _OPTION.findall(row.split("|")[1]):
            assert flag in own, f"{verb} has no {flag}"
    ours = re.sub(_OTHER_PROGRAMS, "", text)
    assert set(_OPTION.findall(ours)) <= _all_flags()


@cache
def _all_flags() -> frozenset[str]:
    return frozenset(flag for verb in VERBS for action in _actions(verb) for flag in action.option_strings)


@pytest.mark.parametrize("verb", album.VERBS)
def test_the_options_of_the_albums_verbs_are_documented(verb: str) -> None:
    """Each has its own table, with exactly its options, their variables and their defaults."""
    rows = _rows(_section(VERB_PAGES["album"].read_text(), f"album {verb}"))
    shown = [action for action in _shown(f"album {verb}") if action.option_strings]
    for action in shown:
        flag = max(action.option_strings, key=len)
        row = next((row for row in rows if re.search(rf"`{flag}[ `]", row.split("|")[1])), "")
        assert row, f"album {verb} {flag} has no row"
        for text in (*_ENVIRONMENT.findall(action.help or ""), *_DEFAULT.findall(action.help or "")):
            assert text in row, f"album {verb} {flag}: the row does not say {text}"
    own = {flag for action in shown for flag in action.option_strings}
    assert {flag for row in rows for flag in _OPTION.findall(row.split("|")[1])} <= own


def test_the_options_of_2016_are_documented() -> None:
    """The page of the verbless command line has each old option, and no other."""
    table = _section((DOCS / "verbs" / "legacy.md").read_text(), "OPTIONS")
    old = {flag for action in legacy.parser()._actions for flag in action.option_strings}
    told = {flag for row in _rows(table) for flag in re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", row.split("|")[1])}
    assert told == old


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_documented_variable_exists(page: Path) -> None:
    """A variable JOLLYAE_… that a page names is an option's, or a command's."""
    helps = [action.help or "" for verb in VERBS for action in _actions(verb)]
    known = (
        {name for text in helps for name in _ENVIRONMENT.findall(text)} | OF_COMMANDS | OF_NOTIFICATIONS | OF_SECRETS
    )
    assert set(re.findall(r"JOLLYAE_[A-Z][A-Z_]*[A-Z]", page.read_text())) <= known


# --- JSON


def test_the_fields_of_status(tmp_path: Path) -> None:
    """SCRIPTING.md names the fields that status --json prints, and no others."""
    section = _section((DOCS / "SCRIPTING.md").read_text(), "status --json")
    printed = status.look(Spool(tmp_path / "spool"))
    assert _first_cells(section) == set(printed)
    places = {field for place in printed["places"].values() for field in place}
    structs = [field.name for struct in (Snapshot, Flight, Paused) for field in msgspec.structs.fields(struct)]
    nested = places | set(structs) | {field.name for field in dataclasses.fields(Trouble)}
    assert nested <= set(re.findall(r"`(\w+)`", section))


def _documented_receipt() -> set[str]:
    return _first_cells(_section((DOCS / "SCRIPTING.md").read_text(), "log --json"))


def test_the_fields_of_receipts(tmp_path: Path) -> None:
    """SCRIPTING.md names every field that log --json prints."""
    (tmp_path / "note.txt").write_text("hello")
    printed: set[str] = set()
    for to in (["--to", f"file://{tmp_path}/there"], ["--exec", "true"]):
        spool = tmp_path / to[0]
        _jollyae("init", str(spool))
        _jollyae("submit", str(spool), str(tmp_path / "note.txt"))
        _jollyae("run", str(spool), *to, "--once", "--settle", "0")
        printed |= set(json.loads(_jollyae("log", str(spool), "--json")))
    assert {"id", "url", "command", "worker"} <= printed <= _documented_receipt()


@pytest.mark.parametrize("algorithm", ["sha256", "crc32", "md5"])
def test_the_fields_of_s3_receipts(tmp_path: Path, algorithm: str) -> None:
    """Whole and in parts, again, and with --head-first: all that delivery to S3 adds is documented."""
    sizes: dict[str, Any] = {"part_size": 5 * MiB, "multipart_threshold": 5 * MiB}
    printed: set[str] = set()
    with Bench(tmp_path) as bench:
        for size in (5, 6 * MiB):
            for head_first in (False, True):
                delivery = bench.delivery(checksum_algorithm=algorithm, head_first=head_first, **sizes)
                printed |= set(asyncio.run(delivery(bench.item(bytes(size), f"{size}.bin"))))
    assert {"etag", "already_there", "parts", "atomic"} <= printed <= _documented_receipt()


def test_every_documented_receipt_field_exists() -> None:
    """A field that SCRIPTING.md names is written somewhere."""
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for field in _documented_receipt():
        name = "checksum_" if field.startswith("checksum_") else field
        assert re.search(rf'["\s(]{name}["=\{{]', source), f"nothing writes {field}"


def test_the_fields_of_check() -> None:
    """SCRIPTING.md names the fields that check --json prints, and no others."""
    section = _section((DOCS / "SCRIPTING.md").read_text(), "check --json")
    assert _first_cells(section) == {field.name for field in dataclasses.fields(Finding)}


# --- texts


def test_every_fault_of_a_store_is_explained() -> None:
    """TROUBLESHOOTING.md has what each error of a store is called."""
    text = (DOCS / "TROUBLESHOOTING.md").read_text()
    named = {row.what for row in (*faults._BY_CODE.values(), *faults._BY_STATUS.values())}
    assert not [what for what in sorted(named) if what not in text]


def test_the_tests_that_are_named_exist() -> None:
    """The README's table names tests; each of them is there."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "README.md").read_text()))
    there = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert named and named <= there


# --- links


def _links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    """Each link between pages leads to a file, and to a heading that is in it."""
    for link in _links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


# --- commands


def _environment(directory: Path) -> dict[str, str]:
    """An environment in which ``jollyae`` is this checkout's."""
    tools = directory / ".bin"
    tools.mkdir(exist_ok=True)
    command = tools / "jollyae"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jollyae "$@"\n')
    command.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "AWS_"))}
    path = f"{tools}{os.pathsep}{clean.get('PATH', os.defpath)}"
    return clean | {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "HOME": str(directory)}


def _jollyae(*arguments: str) -> str:
    command = [sys.executable, "-m", "jollyae", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JOLLYAE_")}
    environment = clean | {"PYTHONPATH": str(ROOT / "src")}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    return told.stdout


def _first_use(directory: Path, out: str) -> None:
    assert out.endswith("hello\nhello\n")


def _recipe(directory: Path, out: str) -> None:
    assert (directory / "spool" / "incoming" / "now.txt").read_text()
    assert not list((directory / "spool" / "tmp").iterdir())


@pytest.mark.parametrize(("number", "check"), [(0, _first_use), (1, _recipe)])
def test_the_readmes_commands(tmp_path: Path, number: int, check: Callable[[Path, str], Any]) -> None:
    """What the README marks as runnable runs, in a directory with a space in its name."""
    directory = tmp_path / "a place"
    directory.mkdir()
    blocks = _RUNNABLE.findall((ROOT / "README.md").read_text())
    assert len(blocks) == 2
    if number:
        _jollyae("init", str(directory / "spool"))
    environment = _environment(directory) | {"SPOOL": str(directory / "spool")}
    command = ["sh", "-eu", "-c", blocks[number]]
    told = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    check(directory, told.stdout)


def test_the_recipe_overwrites_nothing(tmp_path: Path) -> None:
    """Run twice without a worker, the producer's recipe says no and the first file stays as it was."""
    _jollyae("init", str(tmp_path / "spool"))
    recipe = _RUNNABLE.findall((ROOT / "README.md").read_text())[1]
    waiting = tmp_path / "spool" / "incoming" / "now.txt"
    waiting.write_text("the first")
    environment = _environment(tmp_path) | {"SPOOL": str(tmp_path / "spool")}
    told = subprocess.run(["sh", "-eu", "-c", recipe], cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert told.returncode == 1
    assert waiting.read_text() == "the first"


def test_the_readmes_python(tmp_path: Path) -> None:
    """The README's program runs, and its item is finished."""
    (tmp_path / "notes.txt").write_text("three words here")
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    command = [sys.executable, "-c", found.group(1)]
    told = subprocess.run(command, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "letters" / "finished" / "notes.txt").exists()


_COMMANDS = re.findall(r"^    (?:sudo -u \w+ )?jollyae (.*)$", OPERATIONS.read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", _COMMANDS)
def test_the_commands_of_operations(line: str) -> None:
    """Each command of OPERATIONS.md is one of this version."""
    words = shlex.split(line, comments=True)
    parsed, unknown = build_parser((words[0],)).parse_known_args(words)
    assert parsed.verb == words[0] and not unknown


def test_every_alert_is_in_operations() -> None:
    """Who is woken by an alert finds it there, or where it points to."""
    rules = (ROOT / "src" / "jollyae" / "ops" / "jollyae-rules.yml").read_text()
    text = OPERATIONS.read_text() + (DOCS / "METRICS.md").read_text()
    assert not [name for name in re.findall(r"alert: Jollyae(\w+)", rules) if name not in text]
