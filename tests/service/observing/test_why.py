"""Why a queue waits, in one sentence: each trouble is told apart from the others, with the way out of it."""

from typing import Any

import pytest

from jollyae.service.observing.why import OK, TROUBLE, WAITS, Silent, Situation, explain
from jollyae.spool.places import Places
from jollyae.spool.survey import Trouble
from jollyae.worker.state import Counted, Flight, Paused, Stuck
from tests.web.spools import snapshot

NOW = 1000.0
ONE = {"incoming": 1, "working": 0, "deferred": 0, "failed": 0}
LONG_AGO = NOW - 600


def paused(reason: str, error: str, hint: str, by: str = "destination", since: float = LONG_AGO) -> list[Any]:
    """One worker in a pause."""
    return [snapshot(paused=Paused(by, error, hint, since, reason, NOW + 8), last_scan=NOW)]


def trouble(place: str, error: str, hint: str, name: str = "a.jpg") -> dict[str, Trouble]:
    """The newest trouble of a place."""
    return {place: Trouble(name, place, error, hint, NOW - 5, 1, NOW + 100)}


RUNS = [snapshot(last_scan=NOW)]
STILL = [snapshot(last_scan=NOW, oldest_waiting=NOW - 900)]
LATE = {"places": {"deferred": Counted(3, 1, NOW - 1140, NOW)}, "last_scan": NOW}
CASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # what is so: (the situation, level, words of the sentence, command)
    "all is well": ({"snapshots": RUNS, "items": {}}, OK, "1 worker running, nothing waits", ""),
    "it moves": ({"snapshots": RUNS}, OK, "1 worker running, 1 item to deliver", ""),
    "gone": (
        {"gone": ("there is no spool at /s", "Was it removed?")},
        TROUBLE,
        "there is no spool at /s. Was it removed?",
        "ls -la '/s p'",
    ),
    "by hand": (
        {"by_hand": "the bucket moves", "snapshots": RUNS},
        WAITS,
        "paused by hand: the bucket moves. To go on: jollyae resume '/s p'",
        "jollyae resume '/s p'",
    ),
    "no worker": (
        {"live": 0},
        TROUBLE,
        "no worker is running, 1 item to deliver: start it again as it was started (its unit, or its command line)",
        "",
    ),
    "no worker of a configuration": (
        {"live": 0, "config": "/j y.toml"},
        TROUBLE,
        "no worker is running, 1 item to deliver: start it again by its unit, or jollyae run -c '/j y.toml'",
        "jollyae run -c '/j y.toml'",
    ),
    "no worker of a configuration, nothing to do": (
        {"live": 0, "items": {}, "config": "/j.toml", "is_wanted": True},
        TROUBLE,
        "no worker is running: start it again by its unit, or jollyae run -c /j.toml",
        "jollyae run -c /j.toml",
    ),
    "no worker of one that ends when idle": ({"live": 0, "items": {}, "config": "/j"}, OK, "no worker is running", ""),
    "no worker, nothing to do": ({"live": 0, "items": {}}, OK, "no worker is running", ""),
    "no worker, some failed": (
        {"live": 0, "items": {"failed": 2}, "last": trouble("failed", "not an image", "Convert it.")},
        TROUBLE,
        "no worker is running, 2 failed; the last: a.jpg: not an image. Convert it.",
        "jollyae retry '/s p' --all",
    ),
    "stopped by a signal": (
        {"snapshots": RUNS, "silent": [Silent(77, 3.0, True)]},
        TROUBLE,
        "the worker (pid 77) was stopped by a signal, 1 item to deliver. To go on: kill -CONT 77",
        "kill -CONT 77",
    ),
    "hangs": (
        {"snapshots": RUNS, "silent": [Silent(77, 300.0, False)]},
        TROUBLE,
        "the worker (pid 77) did not look at the spool for 5 min, 1 item to deliver. It hangs",
        "ps -o pid,stat,wchan:30,args -p 77",
    ),
    "one of two stopped": (
        {"snapshots": RUNS * 2, "live": 2, "silent": [Silent(77, 3.0, True)]},
        TROUBLE,
        "2 workers running, 1 item to deliver; one of the workers (pid 77) was stopped by a signal: what it",
        "kill -CONT 77",
    ),
    "stopped server": (
        {"snapshots": paused("network", "connection refused: http://s:9000", "Is the store running?")},
        TROUBLE,
        "paused: connection refused: http://s:9000. Is the store running? 1 item to deliver; next try in 8 s",
        "",
    ),
    "stopped server of a configuration": (
        {"snapshots": paused("network", "refused", ""), "config": "/j.toml"},
        TROUBLE,
        "paused: refused. 1 item to deliver",
        "jollyae check -c /j.toml",
    ),
    "a hiccup": (
        {"snapshots": paused("network", "connection refused: x", "", since=NOW - 2)},
        WAITS,
        "paused: connection refused: x. 1 item to deliver",
        "",
    ),
    "throttled": (
        {"snapshots": paused("throttled", "the store asks for fewer requests: x", "Nothing to do: fewer are sent.")},
        WAITS,
        "paused: the store asks for fewer requests",
        "",
    ),
    "an error that ends in a full stop": (
        {"snapshots": paused("denied", "403 AccessDenied: it is not in our records.", "Check them.")},
        TROUBLE,
        "paused: 403 AccessDenied: it is not in our records. Check them.",
        "",
    ),
    "403": (
        {"snapshots": paused("denied", "access denied: s3://b: 403 AccessDenied", "They need s3:PutObject.")},
        TROUBLE,
        "paused: access denied: s3://b: 403 AccessDenied. They need s3:PutObject.",
        "",
    ),
    "credentials expired": (
        {"snapshots": paused("credentials", "the credentials have expired: s3://b", "Renew them.")},
        TROUBLE,
        "paused: the credentials have expired: s3://b. Renew them.",
        "",
    ),
    "full disk": (
        {"snapshots": paused("full", "No space left on device: /s p/receipts/x", "Free some room.", by="spool")},
        TROUBLE,
        "paused: No space left on device: /s p/receipts/x. Free some room",
        "df -h '/s p'",
    ),
    "a place that cannot be written in": (
        {"snapshots": paused("machine", "cannot write in /s p/finished: Permission denied", "chmod it", by="spool")},
        TROUBLE,
        "paused: cannot write in /s p/finished: Permission denied. chmod it; 1 item to deliver",
        "ls -ld '/s p' '/s p'/*",
    ),
    "full disk, as the disk says": (
        {"snapshots": RUNS, "full": "room"},
        TROUBLE,
        "the spool's disk is full: it has no room left, 1 item to deliver. Free some: nothing is lost, and it goes on",
        "df -h '/s p'",
    ),
    "no inodes": (
        {"snapshots": RUNS, "full": "inodes"},
        TROUBLE,
        "the spool's disk is full: it has no inodes left, 1 item to deliver. Free some",
        "df -h -i '/s p'",
    ),
    "below the floor": (
        {"snapshots": RUNS, "items": {}, "below_floor": "1 GiB free, 2 GiB wanted"},
        TROUBLE,
        "1 worker running, nothing waits; nothing more is put in: 1 GiB free, 2 GiB wanted",
        "",
    ),
    "poisoned": (
        {"snapshots": RUNS, "deadly": ("bad%0A.jpg", 2)},
        TROUBLE,
        "1 worker running, 1 item to deliver; workers died 2 times with bad%0A.jpg, which goes to failed/ after the",
        "jollyae log '/s p'",
    ),
    "poisoned, and over": (
        {
            "snapshots": RUNS,
            "items": {"failed": 1},
            "last": trouble("failed", "the worker died three times with this", "Look at it."),
        },
        TROUBLE,
        "1 worker running, 1 failed; the last: a.jpg: the worker died three times with this. Look at it.",
        "jollyae retry '/s p' --all",
    ),
    "a collision": (
        {
            "snapshots": RUNS,
            "items": {"failed": 1},
            "last": trouble("failed", "refused: s3://b/a.jpg: it exists with other content", "Rename it."),
        },
        TROUBLE,
        "1 worker running, 1 failed; the last: a.jpg: refused: s3://b/a.jpg: it exists with other content. Rename it.",
        "jollyae status '/s p'",
    ),
    "a pipe, and no worker": (
        {
            "live": 0,
            "items": {"failed": 1},
            "last": trouble("failed", "it is not a regular file but a named pipe", ""),
        },
        TROUBLE,
        "no worker is running, 1 failed; the last: a.jpg: it is not a regular file but a named pipe.",
        "jollyae status '/s p'",
    ),
    "cannot be taken": (
        {"snapshots": [snapshot(stuck=[Stuck("d x/a", "Permission denied")])]},
        TROUBLE,
        "1 worker running, 1 item to deliver; d x/a cannot be taken: Permission denied",
        "ls -ld '/s p/incoming/d x'",
    ),
    "cannot be taken, elsewhere": (
        {
            "snapshots": [snapshot(stuck=[Stuck("d x/a", "Permission denied")])],
            "places": Places.under("/s p", incoming="/ftp/in"),
        },
        TROUBLE,
        "1 worker running, 1 item to deliver; d x/a cannot be taken: Permission denied",
        "ls -ld '/ftp/in/d x'",
    ),
    "failed, elsewhere": (
        {"snapshots": RUNS, "items": {"failed": 1}, "places": Places.under("/s p", failed="/bad box")},
        TROUBLE,
        "1 worker running, 1 failed",
        "jollyae retry '/s p' --failed '/bad box' --all",
    ),
    "failed, of a configuration": (
        {"snapshots": RUNS, "items": {"failed": 1}, "config": "/j y.toml", "queue": "a/hook"},
        TROUBLE,
        "1 worker running, 1 failed",
        "jollyae retry -c '/j y.toml' --queue a/hook --all",
    ),
    "still being written": (
        {"snapshots": [snapshot(unready=1, last_scan=NOW)]},
        WAITS,
        "1 worker running, 1 item to deliver; 1 of them still being written or settling",
        "",
    ),
    "all deferred": (
        {
            "snapshots": [snapshot(next_attempt=NOW + 300, last_scan=NOW)],
            "items": {"deferred": 3},
            "last": trouble("deferred", "access denied: x", "They need s3:PutObject."),
        },
        WAITS,
        "1 worker running, 3 deferred; the first is tried again in 5 min; the last: a.jpg: access denied: x. They need",
        "jollyae retry '/s p' --all",
    ),
    "deferred for long": (
        {
            "snapshots": [snapshot(next_attempt=NOW + 300, **LATE)],
            "items": {"deferred": 3},
            "last": trouble("deferred", "access denied: x", "They need s3:PutObject."),
        },
        TROUBLE,
        "1 worker running, 3 deferred; the oldest arrived 19 min ago; the first is tried again in 5 min; the last: a",
        "jollyae retry '/s p' --all",
    ),
    "a long name": (
        {
            "snapshots": RUNS,
            "items": {"failed": 1},
            "last": trouble("failed", f"access denied: s3://b/{'n' * 200}.jpg: 403", "", f"{'n' * 200}.jpg"),
        },
        TROUBLE,
        f"1 worker running, 1 failed; the last: {'n' * 24}…{'n' * 11}.jpg: access denied: s3://b/…: 403.",
        "jollyae retry '/s p' --all",
    ),
    "deferred for minutes, and nothing else is delivered": (
        {
            "snapshots": [
                snapshot(places={"deferred": Counted(3, 1, NOW - 400, NOW)}, oldest_waiting=NOW - 400, last_scan=NOW),
                snapshot(last_scan=NOW),
            ],
            "live": 2,
            "items": {"deferred": 3},
        },
        TROUBLE,
        "2 workers running, 3 deferred; the oldest arrived 6 min ago",
        "jollyae retry '/s p' --all",
    ),
    "deferred for minutes, while others were delivered": (
        {
            "snapshots": [
                snapshot(places={"deferred": Counted(3, 1, NOW - 400, NOW)}, oldest_waiting=NOW - 400, last_scan=NOW),
                snapshot(last_scan=NOW, last_delivery=NOW - 60),
            ],
            "live": 2,
            "items": {"deferred": 3},
        },
        WAITS,
        "2 workers running, 3 deferred",
        "jollyae retry '/s p' --all",
    ),
    "deferred for long while others go": (
        {
            "snapshots": [snapshot(in_flight=[Flight("b", 1, 0)], **LATE)],
            "items": {**ONE, "deferred": 1},
            "last": trouble("deferred", "access denied: x", ""),
        },
        TROUBLE,
        "1 worker running, 1 item to deliver, 1 deferred; the oldest in deferred/ arrived 19 min ago; the last: a",
        "jollyae status '/s p'",
    ),
    "behind its namesake": (
        {
            "snapshots": [snapshot(next_attempt=NOW + 300, last_scan=NOW)],
            "items": {**ONE, "deferred": 1},
            "namesakes": ["later33"],
        },
        WAITS,
        "1 worker running, 1 item to deliver, 1 deferred; later33 waits for its earlier namesake in deferred/; the"
        " first is tried again in 5 min",
        "jollyae retry '/s p' --all",
    ),
    "a command that hangs": (
        {"snapshots": [snapshot(in_flight=[Flight("b", 1, 0)], last_scan=NOW, silent_since=NOW - 7200)]},
        TROUBLE,
        "1 worker running, 1 item to deliver; one item has been worked on for 2 h and nothing of it was sent",
        "jollyae status '/s p'",
    ),
    "a long transfer": (
        {"snapshots": [snapshot(in_flight=[Flight("b", 9, 3)], last_scan=NOW, silent_since=NOW - 2)]},
        OK,
        "1 worker running, 1 item to deliver",
        "",
    ),
    "by hand, some failed": (
        {"by_hand": "lunch", "snapshots": RUNS, "items": {"failed": 2}, "last": trouble("failed", "too large", "")},
        TROUBLE,
        "paused by hand: lunch. 2 failed; the last: a.jpg: too large. To go on: jollyae resume '/s p'",
        "jollyae resume '/s p'",
    ),
    "a hiccup, some failed": (
        {
            "snapshots": paused("network", "connection refused: x", "", since=NOW - 2),
            "items": {**ONE, "failed": 1},
        },
        TROUBLE,
        "paused: connection refused: x. 1 item to deliver, 1 failed",
        "",
    ),
    "some failed while others go": (
        {
            "snapshots": [snapshot(in_flight=[Flight("b", 1, 0)], last_scan=NOW)],
            "items": {**ONE, "failed": 2},
            "last": trouble("failed", "too large", ""),
        },
        TROUBLE,
        "1 worker running, 1 item to deliver, 2 failed; the last: a.jpg: too large.",
        "jollyae retry '/s p' --all",
    ),
}


def situation(more: dict[str, Any]) -> Situation:
    """One worker and one item, unless it says otherwise."""
    usual: dict[str, Any] = {"spool": "/s p", "items": ONE, "live": 1, "now": NOW}
    return Situation(**usual | more)


@pytest.mark.parametrize("case", CASES)
def test_each_trouble_has_its_own_sentence_level_and_way_out(case: str) -> None:
    """What it is, and what to do, in words and as a command line that can be pasted."""
    more, level, said, command = CASES[case]
    why = explain(situation(more))
    assert why.sentence.startswith(said), why.sentence
    assert (why.level, why.command) == (level, command)
    assert why.sentence.isprintable() and "  " not in why.sentence


def test_troubles_are_told_apart_by_one_word() -> None:
    """So a page or a script need not read the sentence."""
    reasons = {case: explain(situation(more)).reason for case, (more, *_) in CASES.items()}
    told = ("stopped server", "403", "poisoned", "full disk", "credentials expired", "no worker", "by hand", "gone")
    assert [reasons[case] for case in told] == [
        "network",
        "denied",
        "deadly",
        "full",
        "credentials",
        "absent",
        "hand",
        "gone",
    ]


def test_a_command_that_would_lack_options_is_not_offered() -> None:
    """A worker knows more of its destination than its name: head_first, an endpoint, a key. Run without them, items
    would be overwritten; checked without them, another store is asked, with our keys."""
    for more in [more for more, *_ in CASES.values()] + [{"snapshots": STILL}]:
        command = explain(situation(more)).command
        assert not command.startswith(("jollyae run", "jollyae check")) or more["config"] in command
    assert explain(situation({"snapshots": STILL})).reason == "still"
    assert explain(situation({"snapshots": STILL, "config": "/j"})).command == "jollyae check -c /j"
