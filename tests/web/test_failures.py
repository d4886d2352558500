"""Failures: alike ones together, found and paged through without reading all, retried as they are shown."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from jollyae import Spool
from jollyae.service.observing.alike import title
from jollyae.spool import names
from jollyae.spool.owner import items_below
from jollyae.spool.places import Place
from jollyae.web import actions, failures
from jollyae.web.failures import Failures, Filter
from jollyae.web.queue import named, placed
from tests.helpers import needs_root
from tests.web.spools import queue, trouble

HOSTILE = [
    "<script>alert(1)</script>",
    "a\nb",
    "caf\udce9.jpg",
    "evil\u202egpj.exe",
    "100%41.txt",
    "-rf",
    " ",
    "x" * 255,
]


@pytest.mark.parametrize(
    ("error", "name", "said"),
    [
        ("access denied: s3://b/a.jpg: 403 AccessDenied (request 7Q)", "a.jpg", "access denied: …: 403 AccessDenied"),
        (
            "no key is possible: x/../y: it has a '..' component",
            "x/../y",
            "no key is possible: …: it has a … component",
        ),
        ("sips ended with exit code 3: bad byte 77", "p.png", "sips ended with exit code 3: bad byte"),
        ("sips ended with exit code 4: bad byte 77", "p.png", "sips ended with exit code 4: bad byte"),
        ("No space left on device: /spool/receipts/x.jsonl", "x", "No space left on device"),
        ("it has 12,345 bytes and may have 10", "a b", "it has … bytes and may have"),
        ("a was not an image", "a", "a was not an image"),
        ("sh ended with exit code 3:\nstep 1\nstep 2\nno invoice", "a", "sh ended with exit code 3: no invoice"),
        ("", "a", "…"),
    ],
)
def test_what_differs_from_item_to_item_is_left_out(error: str, name: str, said: str) -> None:
    """Names, URLs, paths, numbers and identifiers do not make many troubles of one; exit codes and statuses do."""
    assert title(error, name) == said


def test_alike_troubles_are_one_group_the_newest_first(spool: Spool) -> None:
    """Two thousand failures are three errors."""
    for number in range(40):
        trouble(spool, f"m{number}.txt", f"not an image: m{number}.txt", "Convert it.")
    for number in range(5):
        trouble(spool, f"sub/d{number}", f"access denied: s3://b/sub/d{number}: 403 AccessDenied", place=Place.DEFERRED)
    (spool.places.failed / "bare").write_bytes(b"")
    found = Failures(queue(spool)).groups()
    assert [(one.place, one.title, one.count) for one in found.groups] == [
        ("failed", "no note says why", 1),
        ("deferred", "access denied: …: 403 AccessDenied", 5),
        ("failed", "not an image", 40),
    ]
    assert found.exact and found.total == 46 and len(found.groups[2].examples) == failures.EXAMPLES
    assert found.groups[2].hint == "Convert it." and found.groups[2].oldest <= found.groups[2].newest


def test_a_deferred_item_is_as_old_as_its_arrival(spool: Spool) -> None:
    """Its last try is told beside it."""
    now = time.time()
    for name, age in (("a", 100), ("b", 5000), ("c", 2000)):
        trouble(spool, name, "not now", place=Place.DEFERRED, arrived=now - age)
    seen = Failures(queue(spool))
    [group] = seen.groups().groups
    assert group.oldest == now - 5000 and now - 60 < group.newest
    assert {one.name: one.arrived for one in seen.page().failures} == {"a": now - 100, "b": now - 5000, "c": now - 2000}


def test_pages_show_each_failure_once_the_newest_first(spool: Spool) -> None:
    """Also where many came in one instant, and where others come while somebody pages."""
    for number in range(57):
        trouble(spool, f"d{number % 3}/m{number}", "no")
    looked = Failures(queue(spool))
    seen, page = [], looked.page(size=10)
    while True:
        seen += [one.name for one in page.failures]
        if not page.next:
            break
        trouble(spool, f"new{len(seen)}", "no")
        looked.changed()
        page = looked.page(after=page.next, size=10)
    assert len(seen) == len(set(seen)) == 57
    assert seen[0] == "d2/m56" and seen[-1] == "d0/m0"


@pytest.mark.parametrize("cursor", ["x", "1", "1.", "1.failed.%%", "1.nowhere.YQ", "1.failed.Li4vYQ", "9" * 30])
def test_what_is_no_page_is_refused(spool: Spool, cursor: str) -> None:
    """A cursor comes back from a browser: anybody can have written it."""
    with pytest.raises(ValueError, match="that is no"):
        Failures(queue(spool)).page(after=cursor)


def test_the_filter_means_the_same_for_list_numbers_and_action(spool: Spool) -> None:
    """What is retried is what was shown, and nothing else."""
    for number in range(30):
        trouble(spool, f"m{number:02}", ["too large", "not an image"][number % 2])
    trouble(spool, "m99", "busy", place=Place.DEFERRED, due=time.time() + 1000)
    looked = Failures(queue(spool))
    group = next(one for one in looked.groups().groups if one.title == "too large")
    wanted = Filter.of({"place": "failed", "text": " M1 ", "group": group.id, "page": "7"})
    assert wanted == Filter("failed", "M1", group.id) == Filter.of(wanted.fields())
    shown = looked.page(wanted)
    assert shown.exact and shown.total == len(shown.failures) == 5 == looked.groups(wanted).total
    done = actions.retry_matching(queue(spool), looked, wanted)
    assert (done.retried, done.skipped, done.sentence) == (5, 0, "5 retried, 0 skipped")
    assert sorted(os.listdir(spool.places.incoming)) == sorted(one.name for one in shown.failures)
    assert looked.page(wanted).total == 0 and looked.page().total == 26
    assert looked.page(Filter(text="IMAGE")).total == 15 and looked.page(Filter(place="deferred")).total == 1
    with pytest.raises(ValueError, match="no such place"):
        Filter.of({"place": "finished"})


def test_names_of_any_bytes_are_shown_safely_and_found_again(spool: Spool) -> None:
    """What is shown holds no control character and no byte that is not UTF-8; the identifier is the item all the
    same."""
    for name in HOSTILE:
        trouble(spool, name, f"cannot read {names.encode(name)}\x1b[2J \u202e")
    page = Failures(queue(spool)).page()
    assert {placed(one.id) for one in page.failures} == {("failed", name) for name in HOSTILE}
    for one in page.failures:
        assert one.name.isprintable() and one.error.isprintable() and one.id.isascii()
        assert one.error.startswith("cannot read ")
    done = actions.retry(queue(spool), [one.id for one in page.failures])
    assert (done.retried, done.skipped) == (len(HOSTILE), 0)
    assert sorted(items_below(str(spool.places.incoming))) == sorted(HOSTILE)


def test_what_cannot_be_retried_is_told_with_the_reason(spool: Spool) -> None:
    """A taken name, an item that somebody else took, an identifier that is none."""
    for name in ("taken", "gone", "there"):
        trouble(spool, name, "no")
    (spool.places.incoming / "taken").write_bytes(b"newer")
    wanted = [one.id for one in Failures(queue(spool)).page().failures]
    (spool.places.failed / "gone").unlink()
    done = actions.retry(queue(spool), [*wanted, "failed.Li4vLi4vZXRj", "../../etc"])
    assert (done.retried, done.skipped, done.over) == (1, 4, True)
    reasons = dict(done.reasons)
    assert "now: it stays in failed/" in reasons["taken"] and reasons["gone"] == "no such item in failed/"
    assert (spool.places.incoming / "taken").read_bytes() == b"newer" and (spool.places.failed / "taken").exists()


def test_a_name_that_failed_and_is_deferred_is_two_items(spool: Spool) -> None:
    """Which of them is meant is part of the identifier."""
    trouble(spool, "twice", "no")
    trouble(spool, "twice", "later", place=Place.DEFERRED, due=time.time() + 1000)
    looked = Failures(queue(spool))
    failed = next(one for one in looked.page().failures if one.place == "failed")
    assert actions.retry(queue(spool), [failed.id]).retried == 1
    assert (spool.places.incoming / "twice").exists()
    (deferred,) = looked.page().failures
    assert deferred.due > time.time() + 500
    assert actions.retry(queue(spool), [deferred.id]).retried == 1
    looked.changed()
    assert looked.page().failures[0].due <= time.time()


@needs_root
def test_what_cannot_be_read_is_said_and_the_rest_shown(spool: Spool) -> None:
    """A directory that is none of ours hides its items, not the others."""
    trouble(spool, "open", "no")
    trouble(spool, "closed/inner", "no")
    os.chmod(spool.places.failed / "closed", 0)
    for above in (spool.places.failed, spool.places.deferred, *spool.places.failed.parents):
        if len(above.parts) > 2 and not above.stat().st_mode & 0o001:
            os.chmod(above, 0o711)
    os.chmod(spool.places.failed, 0o755)
    os.chmod(spool.places.deferred, 0o755)
    code = (
        "import os, sys; from jollyae import Spool; from jollyae.web.failures import Failures; "
        "from jollyae.web.queue import Queue; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
        "looked = Failures(Queue('q', Spool(sys.argv[1], make=False))); page = looked.page(); "
        "print(page.exact, [one.name for one in page.failures], looked.error)"
    )
    program = [sys.executable, "-c", code, str(spool.places.control)]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert said.startswith("False ['open']") and "closed cannot be read: Permission denied" in said


def test_a_spool_that_is_gone_has_no_failures(spool: Spool) -> None:
    """It may be removed at any time, also between two looks."""
    trouble(spool, "a", "no")
    looked = Failures(queue(spool))
    assert looked.page().total == 1
    shutil.rmtree(spool.places.control)
    looked.changed()
    assert looked.page().failures == () and looked.groups().groups == ()
    assert actions.retry_matching(queue(spool), looked, Filter()).retried == 0


@pytest.mark.slow
def test_a_hundred_thousand_failures_are_shown_in_slices_and_retried_in_chunks(spool: Spool) -> None:
    """No call slurps: each says how far it is, and in the end all are counted and all are retried."""
    for number in range(100_000):
        trouble(spool, f"m{number:06}", f"bad pixel {number} in m{number:06}")
    looked, calls = Failures(queue(spool)), 0
    while not (found := looked.groups()).exact:
        calls += 1
        assert found.total == found.read <= found.items and calls < 100_000  # each call has its time, and no more
    assert [(one.title, one.count) for one in found.groups] == [("bad pixel … in", 100_000)]
    assert looked.page().failures[0].name == "m099999"
    far = list(actions.retrying(queue(spool), looked, Filter(group=found.groups[0].id)))
    assert len(far) == 101 and far[0].retried == 1000 and not far[0].over
    assert far[-1].over and (far[-1].retried, far[-1].skipped) == (100_000, 0)
    assert len(os.listdir(spool.places.incoming)) == 100_000 and os.listdir(spool.places.failed) == []
    assert named(looked.page().next or "YQ") == "a"


def test_a_spool_with_more_than_can_be_sorted_says_at_least(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound numbers are 'at least', and retrying all retries all."""
    monkeypatch.setattr(failures, "MOST", 10)
    for number in range(25):
        trouble(spool, f"m{number}", "no")
    looked = Failures(queue(spool))
    assert not looked.page().exact and looked.page().total == 10
    assert actions.retry_matching(queue(spool), looked, Filter()).retried == 25
