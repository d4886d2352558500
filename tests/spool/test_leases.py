"""Who lives, and who may take over, on a spool that several hosts share. Each host here is a `Leases` with a clock."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jollyae.spool import fs, leases, owner, sharing
from jollyae.spool.claims import Claims
from jollyae.spool.item import Item
from jollyae.spool.leases import LEASE, MARGIN, SILENT, Lease, Leases
from jollyae.spool.owner import Owner
from jollyae.spool.places import Places
from jollyae.spool.readiness import Readiness
from jollyae.spool.spool import Spool, SpoolError
from tests.faults import planted

PERIOD = LEASE / leases.RENEWALS


class Clock:
    """A host's own clock, which tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """A worker of a host of its own."""

    def __init__(self, spool: Spool) -> None:
        self.clock = Clock()
        self.leases = Leases(str(spool.places.working), now=self.clock)
        self.claims = Claims(spool.places, Readiness(0), ownership=self.leases)
        self.living = True

    def take(self, name: str) -> Item:
        item = self.claims.take(name, renamed=True)
        assert isinstance(item, Item)
        return item

    def items(self) -> list[str]:
        return sorted(item.name for item in self.claims.items())


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool(tmp_path / "spool")


def put(spool: Spool, *names: str) -> None:
    """Put in items of these names."""
    for name in names:
        (spool.places.incoming / name).write_text(name)


def pass_time(*hosts: Host, seconds: float = LEASE + MARGIN + 2 * PERIOD) -> list[str]:
    """Let so much pass on all clocks; the hosts do what is due every period. Whose items any of them took over."""
    adopted = []
    for _ in range(round(seconds / PERIOD)):
        for host in hosts:
            host.clock.now += PERIOD
            adopted += [item.name for item in host.claims.adopt()]
    return adopted


def freeze(host: Host, seconds: float) -> None:
    """Its clock goes on, and it does nothing."""
    host.clock.now += seconds


def names_in(directory: Path) -> list[str]:
    """What lies there, but for dotfiles."""
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))


def test_the_living_keep_what_they_have(spool: Spool) -> None:
    """However long: who renews its lease is left alone."""
    put(spool, "a")
    one, two = Host(spool), Host(spool)
    one.take("a")
    assert pass_time(one, two, seconds=20 * LEASE) == []
    assert one.items() == ["a"]


def test_the_dead_are_taken_over_once(spool: Spool) -> None:
    """Who does not renew it is taken over by one of the others, wholly, after a lease and the margin and not before."""
    put(spool, "a", "b")
    dead, *others = [Host(spool) for _ in range(4)]
    dead.take("a")
    dead.take("b")
    assert pass_time(*others, seconds=LEASE) == []
    assert sorted(pass_time(*others)) == ["a", "b"]
    assert sorted(len(host.items()) for host in others) == [0, 0, 2]
    assert len(names_in(spool.places.working)) == 4  # three of their own and one taken over: the dead one's is gone


def test_what_was_taken_over_lives_by_the_adopters_lease(spool: Spool) -> None:
    """One lease for all that a worker has; with it, all of it dies and is taken over again."""
    put(spool, "a", "b")
    first, second, third = [Host(spool) for _ in range(3)]
    first.take("a")
    assert pass_time(second) == ["a"]
    second.take("b")
    assert pass_time(second, third) == []
    assert len(list(spool.places.working.glob(f"*/{leases.FILE}"))) == 2
    assert sorted(pass_time(third)) == ["a", "b"]
    assert {item.noted().adoptions for item in third.claims.items()} == {1}  # a's first adopter had not begun with it


def test_who_was_frozen_retires_nothing_that_is_anothers(spool: Spool) -> None:
    """It wakes after its lease, with an item delivered: another has it, so it lets go; and works on."""
    put(spool, "a", "b", "c", "d", "e")
    frozen, other = Host(spool), Host(spool)
    items = [frozen.take(name) for name in ("a", "b", "c", "d")]
    freeze(frozen, 2 * LEASE)
    assert sorted(pass_time(other)) == ["a", "b", "c", "d"]
    assert frozen.claims.finish(items[0]) == ""
    assert frozen.claims.fail(items[1], "bad", "") == ""
    frozen.claims.delete(items[2])
    frozen.claims.defer(items[3], 5, "later", "")
    assert names_in(spool.places.finished) == names_in(spool.places.failed) == names_in(spool.places.deferred) == []
    assert frozen.items() == [] and other.items() == ["a", "b", "c", "d"]
    assert frozen.claims.finish(frozen.take("e"))
    for item in other.claims.items():
        other.claims.finish(item)
    assert names_in(spool.places.finished) == ["a", "b", "c", "d", "e"]
    frozen.claims.stop()
    other.claims.stop()
    assert list(spool.places.working.iterdir()) == []


def test_who_was_frozen_takes_into_a_directory_of_its_own(spool: Spool) -> None:
    """What it takes first when it wakes is not lost in the directory that another has by now."""
    put(spool, "a", "b", "c")
    frozen, other = Host(spool), Host(spool)
    frozen.claims.defer(frozen.take("b"), -1, "later", "")
    frozen.take("a")
    freeze(frozen, 2 * LEASE)
    assert pass_time(other) == ["a"]
    assert isinstance(frozen.claims.take_deferred("b"), Item)
    freeze(frozen, 2 * LEASE)
    assert pass_time(other) == ["b"]
    item = frozen.take("c")
    assert item.where == f"{frozen.claims.directory}/c" and os.path.exists(item.where)


@pytest.mark.parametrize("bug", ["", "retired_without_a_look"])
def test_a_client_of_nfs_gives_no_item_two_names(spool: Spool, monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    """It would link a file that it knows to a new name, though another worker has failed it meanwhile; so it looks."""
    monkeypatch.setattr(fs, "rename", fs.rename)
    monkeypatch.setattr(leases.Leased, "is_fresh", leases.Leased.is_fresh)
    planted.plant(f"links_by_handle+{bug}")
    put(spool, "a")
    frozen, other = Host(spool), Host(spool)
    item = frozen.take("a")
    freeze(frozen, 2 * LEASE)
    assert pass_time(other) == ["a"]
    [taken] = other.claims.items()
    other.claims.fail(taken, "bad", "")
    frozen.claims.finish(item)
    assert names_in(spool.places.failed) == ["a"]
    assert names_in(spool.places.finished) == (["a"] if bug else [])


def test_who_was_frozen_and_not_missed_goes_on(spool: Spool) -> None:
    """Nobody took what it has: it renews its lease, and retires."""
    put(spool, "a")
    frozen = Host(spool)
    item = frozen.take("a")
    freeze(frozen, 10 * LEASE)
    assert frozen.claims.finish(item)
    assert names_in(spool.places.finished) == ["a"]


def test_time_in_which_nobody_looked_is_no_evidence(spool: Spool) -> None:
    """A judge that was frozen itself, or could not ask the server, begins to count when it is back."""
    put(spool, "a")
    one, judge = Host(spool), Host(spool)
    one.take("a")
    judge.claims.adopt()
    freeze(judge, 100 * LEASE)
    assert [item.name for item in judge.claims.adopt()] == []
    one.claims.renew()
    assert pass_time(one, judge) == []


def test_clocks_are_not_compared(spool: Spool) -> None:
    """The lease's own times may be of any century."""
    put(spool, "a")
    one, two = Host(spool), Host(spool)
    two.clock.now -= 1e6
    one.take("a")
    for _ in range(20):
        pass_time(one, seconds=PERIOD)
        os.utime(spool.places.working / one.claims.worker / leases.FILE, (10**9, 10**9))
        assert pass_time(two, seconds=PERIOD) == []


def test_one_that_comes_back_in_that_instant_gets_it_back(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It renews between the last look at its lease and the rename: the rename is undone."""
    put(spool, "a")
    slow, judge = Host(spool), Host(spool)
    item = slow.take("a")
    rename, done = fs.rename, list[str]()

    def late(source: str, target: str, *, ours: bool = False) -> None:
        if source.endswith(slow.claims.worker) and not done:
            done.append(source)
            slow.claims.renew()
        rename(source, target, ours=ours)

    monkeypatch.setattr(fs, "rename", late)
    assert pass_time(judge) == []
    assert done
    assert slow.claims.finish(item)
    assert names_in(spool.places.finished) == ["a"]


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EIO, errno.ESTALE])
def test_a_takeover_whose_answer_was_lost_is_seen(spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """On NFS a rename that was done may say that it was not: the name is this worker's alone, so it looks."""
    put(spool, "a")
    dead, other = Host(spool), Host(spool)
    dead.take("a")
    rename = fs.rename

    def lost(source: str, target: str, *, ours: bool = False) -> None:
        rename(source, target, ours=ours)
        if os.path.isdir(target):
            raise OSError(code, os.strerror(code), source)

    monkeypatch.setattr(fs, "rename", lost)
    assert pass_time(other) == ["a"]


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EIO, errno.ESTALE])
def test_a_claim_whose_answer_was_lost_is_seen(spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The same of a claim."""
    put(spool, "a")
    host = Host(spool)
    move = fs.move

    def lost(source: str, target: str, *, ours: bool = False, within: str = "") -> None:
        move(source, target, ours=ours, within=within)
        raise OSError(code, os.strerror(code), source)

    monkeypatch.setattr(fs, "move", lost)
    assert host.take("a").name == "a"


def test_a_claim_that_failed_is_told(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO of what was not done stays an error."""
    put(spool, "a")
    host = Host(spool)

    def refuse(source: str, target: str, **_: object) -> None:
        raise OSError(errno.EIO, "no", source)

    monkeypatch.setattr(fs, "move", refuse)
    with pytest.raises(OSError, match="no"):
        host.take("a")


def test_who_stops_in_order_is_not_waited_for(spool: Spool) -> None:
    """What it leaves is taken over at the next look."""
    put(spool, "a")
    one, two = Host(spool), Host(spool)
    one.take("a")
    one.claims.stop()
    assert [item.name for item in two.claims.adopt()] == ["a"]
    assert [item.noted().adoptions for item in two.claims.items()] == [0]


def test_who_stops_leaves_what_it_had_taken_over(spool: Spool) -> None:
    """That lives by its lease, which ends with it: a third takes it at the next look, and nothing is left."""
    put(spool, "a")
    first, second, third = [Host(spool) for _ in range(3)]
    first.take("a")
    assert pass_time(second) == ["a"]
    second.claims.stop()
    assert [item.name for item in third.claims.adopt()] == ["a"]
    for item in third.claims.items():
        third.claims.finish(item)
    third.claims.stop()
    assert list(spool.places.working.iterdir()) == []


def test_a_directory_that_could_not_go_is_tried_again(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that NFS keeps under another name while it is open is in its way."""
    put(spool, "a")
    dead, other = Host(spool), Host(spool)
    dead.take("a")
    assert pass_time(other) == ["a"]
    [taken] = spool.places.working.glob("*.*")
    remove = fs.remove_directory
    monkeypatch.setattr(fs, "remove_directory", lambda path: False)
    [item] = other.claims.items()
    other.claims.finish(item)
    assert taken.exists()
    monkeypatch.setattr(fs, "remove_directory", remove)
    assert pass_time(other, seconds=PERIOD) == []
    assert not taken.exists()


def test_a_renewal_that_cannot_be_written_is_none(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: the lease runs out as it would have."""
    host = Host(spool)
    for code in (errno.ESTALE, errno.ENOSPC, errno.EIO):

        def refuse(path: str, data: bytes, code: int = code) -> None:
            raise OSError(code, os.strerror(code), path)

        with monkeypatch.context() as patched:
            patched.setattr(fs, "rewrite_in_place", refuse)
            host.clock.now += LEASE
            with pytest.raises(OSError, match=os.strerror(code)):
                host.claims.renew()
            assert not host.leases.is_fresh()
        host.claims.renew()
        assert host.leases.is_fresh()


def test_one_that_cannot_make_its_directory_again_tries_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken for dead, and the disk is full: when there is room it works on."""
    put(spool, "a", "b")
    frozen, other = Host(spool), Host(spool)
    frozen.take("a")
    freeze(frozen, 2 * LEASE)
    assert pass_time(other) == ["a"]

    def full(path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    with monkeypatch.context() as patched:
        patched.setattr(fs, "rewrite_in_place", full)
        for _ in range(2):
            with pytest.raises(OSError, match="space"):
                frozen.claims.renew()
    assert frozen.claims.finish(frozen.take("b"))
    [held] = frozen.claims.items()
    assert frozen.claims.finish(held) == ""
    frozen.claims.stop()
    assert sorted(path.name for path in spool.places.working.iterdir()) == sorted(
        path.name for path in spool.places.working.glob(f"{other.claims.worker}*")
    )


def test_one_write_for_everything(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal costs one write, however much a worker has."""
    names = [f"n{number}" for number in range(50)]
    put(spool, *names, "other")
    host, dead = Host(spool), Host(spool)
    dead.take("other")
    assert pass_time(host) == ["other"]
    for name in names:
        host.take(name)
    seen: list[str] = []
    monkeypatch.setattr(fs, "observer", lambda operation, path: seen.append(operation))
    host.claims.renew()
    assert seen == ["write", "fsync"]


def _dead_by_lock(spool: Spool) -> Owner:
    made = owner.publish(str(spool.places.working))
    (Path(made.path) / "a").write_text("a")
    return made


def test_a_worker_with_a_lock_is_judged_by_it(spool: Spool) -> None:
    """One of an older program, or on the server's own disk, whose locks may not be seen: its lock must be free, and it
    must have told nothing for long."""
    made, host = _dead_by_lock(spool), Host(spool)
    assert pass_time(host, seconds=2 * SILENT) == []  # its lock is held
    os.close(made.lock)
    (Path(made.path) / ".state.json").write_text("{}")
    assert pass_time(host, seconds=SILENT - 2 * PERIOD) == []  # it may be that the lock is not seen
    (Path(made.path) / ".state.json").write_text("{ }")
    assert pass_time(host, seconds=SILENT) == []
    assert pass_time(host, seconds=4 * PERIOD) == ["a"]
    assert not Path(made.path).exists()


def test_a_worker_with_locks_leaves_leases_alone(spool: Spool) -> None:
    """It cannot tell; nor could the older program: the names are others."""
    put(spool, "a")
    Host(spool).take("a")
    assert list(owner.adopt(str(spool.places.working), "somebody")) == []


def _other_boot(spool: Spool, client: str) -> Path:
    """What a worker of a host of that name left, or has."""
    path = spool.places.working / "alpha-1-s00000000"
    path.mkdir()
    lease = {"host": "alpha", "client": client, "boot": "another", "pid": 1, "lease": LEASE, "counter": 1}
    (path / leases.FILE).write_text(json.dumps(lease))
    return path / leases.FILE


def _publish(spool: Spool, client: str, clock: Clock, meanwhile: Callable[[], None]) -> None:
    def sleep(seconds: float) -> None:
        clock.now += seconds
        meanwhile()

    Leases(str(spool.places.working), client=client, now=clock, sleep=sleep).publish()


def test_a_living_namesake_is_refused(spool: Spool) -> None:
    """Two hosts with one name are one to their file server: the second does not begin."""
    file, clock = _other_boot(spool, "alpha/"), Clock()

    def renew() -> None:
        file.write_text(file.read_text().replace('"counter": 1', '"counter": 2'))

    with pytest.raises(SpoolError, match="another host named"):
        _publish(spool, "alpha/", clock, renew)
    assert names_in(spool.places.working) == ["alpha-1-s00000000"]


def test_this_hosts_life_before_is_no_namesake(spool: Spool) -> None:
    """What it left before it was started again does not change; nor is another client's looked at."""
    _other_boot(spool, "alpha/")
    clock = Clock()
    _publish(spool, "alpha/", clock, lambda: None)
    assert clock.now > 1000 + PERIOD
    waited = clock.now
    _publish(spool, "alpha/unique", clock, lambda: None)
    assert clock.now == waited


def test_those_who_only_look(spool: Spool) -> None:
    """They see whose a directory is, by the file's time and their own clock, and change nothing."""
    put(spool, "a")
    host, dead = Host(spool), Host(spool)
    dead.take("a")
    working = spool.places.working
    old = os.stat(working).st_mtime - LEASE - MARGIN - 10
    assert pass_time(host) == ["a"]
    mine = working / host.claims.worker
    [taken] = [path for path in working.iterdir() if path != mine]
    before = sorted(str(path) for path in working.rglob("*"))
    assert [sharing.holder(str(path)) for path in (mine, taken)] == [mine.name, mine.name]
    os.utime(mine / leases.FILE, (old, old))
    assert [sharing.holder(str(path)) for path in (mine, taken)] == ["", ""]
    assert sorted(str(path) for path in working.rglob("*")) == before


def test_what_is_no_lease_is_read_as_none(tmp_path: Path) -> None:
    """Half written, or not there."""
    (tmp_path / leases.FILE).write_text('{"host": "al')
    assert leases.read(str(tmp_path)) is None
    assert leases.read(str(tmp_path / "missing")) is None


def test_an_unknown_field_is_passed_over(tmp_path: Path) -> None:
    """A later version may say more."""
    (tmp_path / leases.FILE).write_text('{"host": "alpha", "later": [1], "counter": 7}   ')
    assert leases.read(str(tmp_path)) == Lease(host="alpha", counter=7)


def test_not_all_watch_all(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twenty workers that live each looks at eight."""
    hosts = [Host(spool) for _ in range(20)]
    assert pass_time(*hosts, seconds=2 * LEASE) == []
    look, looked = leases._look, list[str]()

    def counted(directory: str) -> tuple[bytes, int] | None:
        looked.append(directory)
        return look(directory)

    monkeypatch.setattr(leases, "_look", counted)
    pass_time(hosts[0], seconds=PERIOD)
    assert len(looked) == leases.WATCHED


def test_whoever_is_dead_is_watched(spool: Spool) -> None:
    """Of twenty workers all but two die at once: what they had is taken over, all within one lease."""
    put(spool, *(f"n{number}" for number in range(20)))
    hosts = [Host(spool) for _ in range(20)]
    for number, host in enumerate(hosts):
        host.take(f"n{number}")
    hosts.sort(key=lambda host: host.claims.worker)
    living = hosts[:2]
    pass_time(*living)
    assert sum(len(host.items()) for host in living) == 20


def test_places_are_as_they_were(tmp_path: Path) -> None:
    """A spool where leases lie is shared, also on a local disk: others come to it by another way."""
    spool = Spool(tmp_path / "spool")
    assert not sharing.look(spool.places, sharing.Shared.AUTO).by_leases
    Host(spool)
    assert sharing.look(spool.places, sharing.Shared.AUTO).by_leases
    assert not sharing.look(spool.places, sharing.Shared.NO).by_leases
    assert isinstance(sharing.ownership(Places.under(spool.places.control), sharing.Shared.AUTO)[0], Leases)
