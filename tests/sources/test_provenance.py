"""Each item tells which object it was, also to who takes it over, and never a wrong one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jollyae.sources.provenance import FILE, Provenance
from jollyae.spool import notes
from jollyae.spool.item import Item
from jollyae.spool.owner import Owner
from jollyae.spool.spool import Spool
from tests.real.support import Process, until
from tests.sources.conftest import Store
from tests.sources.scene import Queue, Taking

JOB = """import pathlib, time
from jollyae import Permanent
here = pathlib.Path(__file__).parent
def process(item):
    with (here / "told").open("a") as file:
        file.write(f"{item.name} {item.source}\\n")
    while (here / "hang").exists():
        time.sleep(0.05)
    if (here / "fail").exists():
        raise Permanent("out of luck")
"""


class Job:
    """A Python processor that writes down what it is given, as a worker's; it hangs or fails where told to."""

    def __init__(self, workers: Taking) -> None:
        self.directory = workers.directory
        self._workers = workers
        (self.directory / "job.py").write_text(JOB)

    def start(self, *words: str, queue: Queue | None = None) -> Process:
        """A worker that calls it; ``queue``: which it takes from, if not the usual one."""
        paths = f"{self.directory}:{os.environ.get('PYTHONPATH', '')}:{Path(__file__).parents[2] / 'src'}"
        more = {"JOLLYAE_FROM": queue.url} if queue is not None else {}
        return self._workers.start("--call", "job:process", *words, copying=False, PYTHONPATH=paths, **more)

    def told(self) -> list[str]:
        """Name and source of each item that it was given."""
        file = self.directory / "told"
        return file.read_text().splitlines() if file.exists() else []

    def only(self, *flags: str) -> None:
        """Hang, or fail, from now on, or neither."""
        for flag in ("hang", "fail"):
            (self.directory / flag).unlink(missing_ok=True)
        for flag in flags:
            (self.directory / flag).touch()
        (self.directory / "told").unlink(missing_ok=True)


@pytest.fixture
def job(workers: Taking) -> Job:
    """The processor."""
    return Job(workers)


@pytest.fixture
def elsewhere(queue: Queue) -> Queue:
    """Another queue, in which nothing is."""
    return Queue(queue.rabbit, f"{queue.name}-elsewhere")


@pytest.fixture
def other(store: Store) -> Store:
    """Another bucket."""
    made = Store(f"{store.bucket}-2", store.environment, store.client)
    store.client.create_bucket(Bucket=made.bucket)
    return made


def receipts(workers: Taking) -> list[dict[str, Any]]:
    """All that was written."""
    found = (workers.directory / "work" / "receipts").glob("*.jsonl")
    return [json.loads(line) for path in found for line in path.read_text().splitlines()]


def test_a_command_and_the_receipt_know_the_object(queue: Queue, store: Store, workers: Taking) -> None:
    """JOLLYAE_SOURCE is the object's URL with its key as it is, also where the item's name is another."""
    keys = ["2026/a b%41.txt", ".hidden ü.txt"]
    queue.send(*(store.put(key, key.encode()) for key in keys))
    told = workers.directory / "told"
    script = workers.directory / "tell.sh"
    script.write_text(f'printf "%s\\n" "$JOLLYAE_SOURCE" >>{told}\n')
    worker = workers.start("--exec", f"sh {script} {{}}", "--idle-exit", "2", copying=False)
    assert worker.wait().code == 0, worker.tail()
    expected = sorted(f"s3://{store.bucket}/{key}" for key in keys)
    assert sorted(told.read_text().splitlines()) == expected
    assert sorted(one["source"] for one in receipts(workers)) == expected
    assert not set(keys) & {one["name"] for one in receipts(workers)}
    assert (workers.directory / "work" / FILE).read_text() == f"{store.bucket}\n"


def test_who_takes_an_item_over_knows_it(
    queue: Queue, elsewhere: Queue, store: Store, other: Store, workers: Taking, job: Job
) -> None:
    """Killed with items of two buckets in work and in incoming/: a process that gets none of their messages knows what
    they are. Only those of the second bucket have notes, and at the end there are none."""
    keys = ["a.txt", ".hidden.txt", "b/c.txt"]
    queue.send(store.put("first.txt", b"1"))
    worker = job.start("--concurrency", "1")
    until(lambda: len(job.told()) == 1 and not workers.lying(), lambda: worker.tail())
    job.only("hang")
    queue.send(*(place.put(f"{place.bucket}/{key}", b"x") for place in (store, other) for key in keys))
    until(lambda: len(workers.lying()) == 6 and job.told(), lambda: worker.tail())
    until(lambda: [one for one in workers.lying() if "working/" in one], lambda: worker.tail())
    worker.kill()
    work = workers.directory / "work"
    noted = [json.loads(note.read_text())["source"] for note in work.rglob(".*.note")]
    assert sorted(noted) == sorted(f"s3://{other.bucket}/{other.bucket}/{key}" for key in keys)
    job.only()
    worker = job.start("--idle-exit", "2", queue=elsewhere)
    assert worker.wait().code == 0, worker.tail()
    expected = sorted(f"s3://{place.bucket}/{place.bucket}/{key}" for place in (store, other) for key in keys)
    assert sorted(line.partition(" s3:")[2] for line in job.told()) == [one.removeprefix("s3:") for one in expected]
    assert not workers.lying()
    assert not list(work.rglob(".*.note"))


def test_what_failed_is_known_when_it_is_retried(
    queue: Queue, elsewhere: Queue, store: Store, other: Store, workers: Taking, job: Job
) -> None:
    """By its note, whichever bucket it is of, and also where another bucket's name is the spool's by now."""
    job.only("fail")
    queue.send(store.put("a.txt", b"a"), other.put("b.txt", b"b"))
    worker = job.start()
    until(lambda: queue.waiting(f"{queue.name}.dead") == 2, lambda: worker.tail())
    assert worker.end().code == 0
    (workers.directory / "work" / FILE).write_text("another\n")
    assert {became for _, became in Spool(workers.directory / "work").retry()} == {"retried"}
    job.only()
    worker = job.start("--idle-exit", "2", queue=elsewhere)
    assert worker.wait().code == 0, worker.tail()
    assert sorted(job.told()) == sorted([f"a.txt s3://{store.bucket}/a.txt", f"b.txt s3://{other.bucket}/b.txt"])


def test_what_somebody_puts_there_has_no_source(queue: Queue, store: Store, workers: Taking, job: Job) -> None:
    """A file that lands in incoming/ of its own while a process works there: '' and no guess."""
    queue.send(store.put("a.txt", b"a"))
    worker = job.start()
    until(lambda: len(job.told()) == 1, lambda: worker.tail())
    (workers.directory / "work" / "incoming" / "by-hand.txt").write_text("by hand")
    until(lambda: len(job.told()) == 2, lambda: worker.tail())
    assert worker.end().code == 0
    assert job.told()[1] == "by-hand.txt "


@pytest.fixture
def unknown(queue: Queue, store: Store, workers: Taking, job: Job) -> None:
    """Two items, a.txt and b.txt, in work and in ``incoming/``, of which nothing tells what they were, as an older
    version leaves them; their messages are in the queue again."""
    job.only("hang")
    queue.send(store.put("a.txt", b"a"), store.put("b.txt", b"b"))
    worker = job.start("--concurrency", "1")
    until(lambda: len(workers.lying()) == 2 and job.told(), lambda: worker.tail())
    worker.kill()
    (workers.directory / "work" / FILE).unlink()
    job.only("hang")


@pytest.mark.usefixtures("unknown")
def test_the_message_that_comes_again_tells_it(queue: Queue, store: Store, workers: Taking, job: Job) -> None:
    """Where nothing else does: '' until its message joins it."""
    worker = job.start("--concurrency", "1")
    until(job.told, lambda: worker.tail())
    first = job.told()[0].split()[0]
    queue.send(store.put("c.txt", b"c"))  # the others' messages have come when it is here
    until(lambda: "incoming/c.txt" in workers.lying(), lambda: worker.tail())
    job.only()
    until(lambda: len(job.told()) == 2 and not workers.lying(), lambda: worker.tail())
    assert worker.end().code == 0
    second = {"a.txt": "b.txt", "b.txt": "a.txt"}[first]
    assert sorted(job.told()) == sorted(f"{name} s3://{store.bucket}/{name}" for name in (second, "c.txt"))


@pytest.mark.usefixtures("unknown")
def test_no_bucket_is_told_to_be_everythings_where_it_may_be_wrong(
    elsewhere: Queue, store: Store, workers: Taking, job: Job
) -> None:
    """While items lie there of which nothing is known, what comes has a note each."""
    elsewhere.send(store.put("c.txt", b"c"))
    worker = job.start("--concurrency", "1", queue=elsewhere)
    until(lambda: len(workers.lying()) == 3 and job.told(), lambda: worker.tail())
    worker.kill()
    work = workers.directory / "work"
    assert not (work / FILE).exists()
    assert [json.loads(note.read_text())["source"] for note in work.rglob(".c.txt.note")] == [
        f"s3://{store.bucket}/c.txt"
    ]
    job.only()
    worker = job.start("--idle-exit", "2", queue=elsewhere)
    assert worker.wait().code == 0, worker.tail()
    assert sorted(job.told()) == ["a.txt ", "b.txt ", f"c.txt s3://{store.bucket}/c.txt"]


def held(spool: Spool, name: str) -> Item:
    """An item as a claim makes it."""
    path = spool.places.working / "me" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    os.rename(spool.places.incoming / name, path)
    descriptor = os.open(path, os.O_RDONLY)
    return Item(name, str(path), Owner(str(path.parent), -1), descriptor, os.fstat(descriptor))


def test_a_spool_that_was_empty_forgets_the_bucket(tmp_path: Path) -> None:
    """What was fetched from another bucket before is gone, so its name is told of nothing any more."""
    spool = Spool(tmp_path)
    Provenance(spool.places, is_empty=True).settle("first")
    assert Provenance(spool.places, is_empty=False).bucket == "first"
    again = Provenance(spool.places, is_empty=True)
    assert again.bucket == ""
    again.settle("second")
    assert Provenance(spool.places, is_empty=False).bucket == "second"


def test_a_note_of_another_file_tells_nothing(tmp_path: Path) -> None:
    """It is about the one that was there before, of which the name is the same."""
    spool = Spool(tmp_path)
    provenance = Provenance(spool.places, is_empty=True)
    provenance.settle("photos")
    arriving = tmp_path / "arriving"
    arriving.write_text("one")
    provenance.note("a.txt", str(arriving), "s3://other/a.txt")
    (spool.places.incoming / "a.txt").write_text("somebody else's")
    item = held(spool, "a.txt")
    assert provenance.of_stranger(item, was_here=False) == ""
    assert provenance.of_stranger(item, was_here=True) == "s3://photos/a.txt"
    item.close()
    os.rename(arriving, spool.places.incoming / "a.txt")
    item = held(spool, "a.txt")
    assert provenance.of_stranger(item, was_here=True) == "s3://other/a.txt"
    note = notes.read(item.where)
    assert note is not None and note.source == "s3://other/a.txt"
    item.close()
