"""The property list for launchd: its keys are those that launchd.plist(5) documents, with values of their types."""

import plistlib
from dataclasses import replace
from typing import Any

import pytest

from jollyae.service.managers import launchd
from jollyae.service.managers.install import mark_xml
from jollyae.service.managers.job import Job

DOCUMENTED: dict[str, type] = {
    "Label": str,
    "ProgramArguments": list,
    "WatchPaths": list,
    "StartInterval": int,
    "KeepAlive": bool,
    "RunAtLoad": bool,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "Umask": int,
    "StandardErrorPath": str,
    "EnvironmentVariables": dict,
    "UserName": str,
}
"""Of launchd.plist(5), those that we use."""

JOB = Job(
    program=("/opt/bin/jollyae",),
    run=("run", "/srv/a & b", "--to", "s3://uploads"),
    check=(),
    about="",
    spools=("/srv/a & b",),
    incoming=("/srv/a & b/incoming",),
    environment={"AWS_REGION": "eu-central-1"},
)


def parsed(job: Job) -> dict[str, Any]:
    """What launchd reads."""
    found: dict[str, Any] = plistlib.loads(mark_xml(launchd.text(job)).encode())
    return found


@pytest.mark.parametrize("users", [False, True])
def test_the_keys_are_documented_ones(users: bool) -> None:
    """Each key is one of launchd.plist(5), with a value of the type that it says."""
    for key, value in parsed(replace(JOB, is_users=users)).items():
        assert type(value) is DOCUMENTED[key], key


def test_it_starts_when_something_lands_and_ends() -> None:
    """WatchPaths and StartInterval, not QueueDirectories; --idle-exit ends it, and launchd does not keep it alive."""
    found = parsed(JOB)
    assert found["WatchPaths"] == ["/srv/a & b/incoming"] and found["StartInterval"] == 300 and found["RunAtLoad"]
    assert found["ProgramArguments"] == ["/opt/bin/jollyae", *JOB.run, "--idle-exit", "60"]
    assert not {"QueueDirectories", "KeepAlive"} & set(found)
    assert found["ThrottleInterval"] == 10 and found["ExitTimeOut"] > JOB.grace


def test_what_takes_from_a_broker_runs_all_the_time() -> None:
    """Nothing lands that could start it."""
    found = parsed(replace(JOB, endless=("thumbs",)))
    assert found["KeepAlive"] is True and found["RunAtLoad"] is True
    assert found["ProgramArguments"] == ["/opt/bin/jollyae", *JOB.run]
    assert not {"WatchPaths", "StartInterval"} & set(found)
    assert all(type(value) is DOCUMENTED[key] for key, value in found.items())


def test_a_user_s_agent_and_the_machine_s_daemon() -> None:
    """The daemon names its user; the agent logs into the user's Library."""
    assert parsed(JOB)["UserName"] == "jollyae"
    mine = replace(JOB, is_users=True)
    assert "UserName" not in parsed(mine) and "/Library/Logs/" in parsed(mine)["StandardErrorPath"]
    assert launchd.steps(mine, "/x")[0] == "launchctl bootstrap gui/$(id -u) '/x'"
