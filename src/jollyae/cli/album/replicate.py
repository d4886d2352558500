"""``jollyae album replicate URL [OTHER…]``: replication between CouchDB servers."""

import argparse
from typing import TYPE_CHECKING

from ..options import Option, UsageError, add_all, was_given
from . import common

if TYPE_CHECKING:
    from ...album.couch.plan import Step
    from ...album.couch.watching import Seen
    from ...service.albums.meshes import Mesh

CONFIG = Option(("--config", "-c"), "the servers of [mesh.NAME] in this file, instead of URLs", "FILE")
LINKS = (
    Option(("--ring",), "each with the next, instead of each with each", parse=None),
    Option(("--star",), "each with the first", parse=None),
    Option(("--publish",), "one way, from the public album URL to those of public servers", parse=None),
    Option(("--as",), "who replicates, a member of each database; else each URL's user", "USER"),
    Option(("--forget",), "this server is gone for good: do not ask it for what it holds; repeatable", "URL", (),
           many=True),
)  # fmt: skip
KINDS = ("ring", "star", "publish")


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    text = "the albums, http(s)://[USER@]HOST/DB; one alone: show. Passwords: JOLLYAE_ALBUM_PASSWORD, or a file that "
    parser.add_argument("urls", metavar="URL", nargs="*", help=f"{text}JOLLYAE_ALBUM_PASSWORD_FILE names")
    add_all(parser, "servers", (CONFIG,))
    parser.add_argument("--name", metavar="NAME", help="which [mesh.NAME], where the file has several")
    add_all(parser, "links", LINKS)
    parser.add_argument("--status", action="store_true", help="show how all links between all servers fare")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--remove", action="store_true", help="end the replication; what was replicated stays")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def main(arguments: argparse.Namespace) -> int:
    """Set up, remove or show; 75 where something waits for a server that is away, 1 where something failed or what is
    shown is not well."""
    mesh = _mesh(arguments)
    changes = [f"--{word}" for word in (*KINDS, "remove", "dry-run") if getattr(arguments, word.replace("-", "_"))]
    if arguments.status and changes:
        raise UsageError(f"--status changes nothing: leave {changes[0]} out")
    if len(mesh.servers) == 1 and changes:
        raise UsageError("which other album? say its URL")
    if arguments.status or len(mesh.servers) == 1:
        return common.run(_show(mesh.servers[0], arguments.json))
    return common.run(_change(mesh, arguments))


def _mesh(arguments: argparse.Namespace) -> "Mesh":
    from ...service.albums.meshes import Mesh, load

    kinds = [kind for kind in KINDS if getattr(arguments, kind)]
    if len(kinds) > 1:
        raise UsageError(f"--{kinds[0]} and --{kinds[1]}: say only one of them")
    if arguments.urls:
        if was_given(CONFIG, arguments, environment=False):
            raise UsageError(f"both {arguments.urls[0]} and -c {arguments.config}: say only one of them")
        kind, user = (kinds or ["mesh"])[0], vars(arguments)["as"] or ""
        return Mesh(servers=tuple(arguments.urls), kind=kind, user=user, forget=arguments.forget)
    if not arguments.config:
        raise UsageError("say the albums' URLs, or -c FILE", hint="Try: jollyae album replicate URL OTHER")
    if kinds or vars(arguments)["as"] or arguments.forget:
        raise UsageError("--ring, --star, --publish, --as and --forget go with URLs: the file has keys for them")
    return load(arguments.config, arguments.name or "")


# --- changing


async def _change(mesh: "Mesh", arguments: argparse.Namespace) -> int:
    from ...service.albums import replicate as album_replicate

    steps = await album_replicate.change(mesh, remove=arguments.remove, dry_run=arguments.dry_run)
    for step in steps:
        if arguments.json:
            common.show_json(_told(step) | {"dry_run": arguments.dry_run})
        else:
            _say(step, arguments.dry_run)
    if not arguments.json and not steps:
        common.show("There is nothing to remove.")
    if not arguments.json and arguments.dry_run:
        common.show("Nothing was changed (--dry-run).")
    done = {step.done for step in steps}
    return 1 if "failed" in done else 75 if "waits" in done else 0


def _told(step: "Step") -> dict[str, object]:
    return {
        "source": step.source,
        "target": step.target,
        "held_by": str(step.at),
        "done": step.done,
        "why": step.why,
    }


_WORDS = {"made": "make", "changed": "change", "kept": "keep", "removed": "remove", "waits": "wait"}


def _say(step: "Step", is_dry: bool) -> None:
    common.show(f"{_WORDS.get(step.done, step.done) if is_dry else step.done:<8} {step}")
    if step.why:
        common.show(f"         {common.printable(step.why)}")


# --- showing


async def _show(url: str, is_json: bool) -> int:
    from dataclasses import asdict

    from ...service.albums import replicate as album_replicate

    health = await album_replicate.health(url)
    for link in health.links:
        if is_json:
            more = {"well": link.is_well, "success": _time(link.success), "advice": link.advice}
            common.show_json(asdict(link.state) | more)
        else:
            _tell(link)
    for server in health.servers:
        if server.trouble:
            common.complain(f"{server.url}: {common.printable(server.trouble)}", common.printable(server.hint))
    if not health.links and not is_json:
        common.show("This server replicates with nobody. Set it up: jollyae album replicate URL OTHER")
    return int(not health.is_well)


def _tell(link: "Seen") -> None:
    state = link.state
    lag = "" if state.lag is None else f", {state.lag:,} changes behind"
    last = f", last through {_time(link.success)}" if link.success else ""
    common.show(f"{state.state:<8} {state.source} → {state.target}: {state.written:,} documents written{lag}{last}")
    if state.error:
        common.show(f"         {common.printable(state.error)}")
    if state.refused:
        common.show(f"         the target refused {state.refused:,} documents")
    if link.advice:
        common.show(f"         {common.printable(link.advice)}")


def _time(seconds: float | None) -> str | None:
    from datetime import UTC, datetime

    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
