"""Units for systemd (252 and later): a hardened service, and with ``path`` what starts it when something lands.

The service has no more rights than it needs; what had to be relaxed says why beside it. Scores are systemd's own
(``systemd-analyze security``: 0 is best, a bare unit has 9.6).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from . import resolvers
from .job import Job

ACTIVE_AFTER = 15
"""Seconds from the timer's start to the first look: what lay there at boot is no event."""
_WATCHDOG = 60
_RESTART_AFTER = 10
_MORE_THAN_GRACE = 30


def units(job: Job, *, path: bool = False, web: bool = False) -> dict[str, str]:
    """Each unit's text by its file name. ``path``: the service is started when something lands and ends by itself;
    ``web``: one for the dashboard, too. Raises :class:`ConfigurationError` for ``path`` with what has no end."""
    if path:
        job.refuse_endless("a .path unit", "Leave --path out, so that the service runs all the time")
    made = {f"{job.name}.service": _text(_service(job, path=path))}
    if web:
        made[f"{job.name}-web.service"] = _text(_web(job))
    if path:
        made[f"{job.name}.path"] = _text(_path(job))
        made[f"{job.name}.timer"] = _text(_timer(job))
    return made


def steps(job: Job, *, path: bool = False, web: bool = False) -> list[str]:
    """The commands that come after the units are installed."""
    control = "systemctl --user" if job.is_users else "systemctl"
    started = f"{job.name}.path {job.name}.timer" if path else f"{job.name}.service"
    started += f" {job.name}-web.service" if web else ""
    look = f"{control} status {job.name}"
    first = [f"{control} daemon-reload", f"{control} enable --now {started}", look]
    return [*first, "loginctl enable-linger     # it runs while you are not logged in"] if job.is_users else first


def word(text: str) -> str:
    """``text`` as one word of a unit's value.

    >>> print(word("/srv/a b"), word("100%"), word('say "hi"'))
    "/srv/a b" 100%% "say \\"hi\\""
    """
    text = text.replace("\\", "\\\\").replace("%", "%%")
    if text and not set(text) & set(" \t\"';"):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def command(words: Iterable[str]) -> str:
    """A command line of a unit, in which ``$`` begins a variable.

    >>> command(["run", "/srv/$HOME", "--key", "{date:%Y}/{name}"])
    'run /srv/$$HOME --key {date:%%Y}/{name}'
    """
    return " ".join(word(one).replace("$", "$$") for one in words)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def _service(job: Job, *, path: bool) -> Iterator[str]:
    yield "[Unit]"
    yield f"Description=jollyae: {plain(job.about)}"
    if not job.is_users:
        yield "After=network-online.target"
        yield "Wants=network-online.target"
        yield f"RequiresMountsFor={' '.join(map(word, job.writable))}"
    yield "# However often it fails, it is tried again: what waits must go out some day."
    yield "StartLimitIntervalSec=0"
    yield ""
    yield "[Service]"
    yield from _commands(job, path=path)
    yield ""
    yield from _environment(job)
    if job.is_users:
        yield from _hardened_for_a_user(job)
    else:
        yield from _rights(job)
        yield from _hardened(job)
    if not path:
        yield ""
        yield "[Install]"
        yield f"WantedBy={'default.target' if job.is_users else 'multi-user.target'}"


def plain(text: str) -> str:
    """Text for a value that systemd shows, in which only ``%`` means something."""
    return text.replace("%", "%%")


def _commands(job: Job, *, path: bool) -> Iterator[str]:
    ending = ("--idle-exit", f"{job.idle_exit:g}") if path else ()
    yield "# READY=1 when every queue works; the line in `systemctl status` says what it does."
    yield "Type=notify"
    yield "# No check comes before: what cannot be it says itself, and one queue's missing program keeps no other down."
    if path:
        yield "# It ends when nothing was to do for so long. What is written, soon due or in a pause is to do."
    yield f"ExecStart={command((*job.program, *job.run, *ending))}"
    if job.config is not None:
        yield "# What run would refuse to begin is not loaded: systemctl reload says so, and all goes on as before."
        yield f"ExecReload={command((*job.program, *job.check, '--would-run'))}"
        yield "ExecReload=/bin/kill -HUP $MAINPID"
    if not job.is_users:
        yield f"User={job.user}"
    yield "Restart=on-failure"
    yield f"RestartSec={_RESTART_AFTER}"
    yield "# usage and configuration: again would be the same"
    yield "RestartPreventExitStatus=2 78"
    yield "# the parent process answers for its workers, and replaces one that hangs or dies; the others go on"
    yield f"WatchdogSec={_WATCHDOG}"
    yield "OOMPolicy=continue"
    yield "# only the parent is told to stop; it has --grace seconds for what is in flight"
    yield "KillMode=mixed"
    yield f"TimeoutStopSec={job.grace + _MORE_THAN_GRACE:g}"


def _environment(job: Job) -> Iterator[str]:
    if job.credentials is not None and not job.is_users:
        yield "# Keys: a file in the form of ~/.aws/credentials that only root can read."
        yield f"LoadCredential=aws:{plain(job.credentials)}"
        yield "Environment=AWS_SHARED_CREDENTIALS_FILE=%d/aws"
    elif job.credentials is not None:
        yield f"Environment={word(f'AWS_SHARED_CREDENTIALS_FILE={job.credentials}')}"
    if job.secrets and not job.is_users:
        yield "# read from $CREDENTIALS_DIRECTORY, so that only root need be able to read the file itself"
        yield from (f"LoadCredential={plain(name)}:{plain(path)}" for name, path in job.secrets)
    for name, value in job.environment.items():
        yield f"Environment={word(f'{name}={value}')}"
    yield "UMask=0077"
    yield "LimitCORE=0"


def _rights(job: Job) -> Iterator[str]:
    yield "# all else is read-only"
    yield "ProtectSystem=strict"
    yield f"ReadWritePaths={' '.join(map(word, job.writable))}"
    if job.touches_homes:
        yield "# not =yes: something that it needs is in a home directory"
        yield "ProtectHome=read-only"
    else:
        yield "ProtectHome=yes"
    if job.others_write:
        yield "# Other users put files in: with this right the kernel says whether they still write them (without, they"
        yield "# rest for 3 s first). And no PrivateUsers: all of them would be “nobody”."
        yield "AmbientCapabilities=CAP_LEASE"
        yield "CapabilityBoundingSet=CAP_LEASE"
    else:
        yield "# Where other users put files in: jollyae service systemd --other-owners"
        yield "CapabilityBoundingSet="
        yield "PrivateUsers=yes"
    if job.touches_tmp:
        yield "# not =yes: it works in a directory for temporary files"
    yield f"PrivateTmp={'no' if job.touches_tmp else 'yes'}"


def _hardened(job: Job) -> Iterator[str]:
    yield from (
        "NoNewPrivileges=yes",
        "PrivateDevices=yes",
        "ProtectProc=invisible",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "RemoveIPC=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "SystemCallErrorNumber=EPERM",
        "SystemCallFilter=@system-service",
    )
    if job.executes:
        yield "# The commands of --exec: some compile as they run (node, java), set their own limits or priority, ask"
        yield "# for the machine's memory and addresses. Where yours do not:"
        yield "#   MemoryDenyWriteExecute=yes, ProcSubset=pid, SystemCallFilter=~@resources"
        yield "SystemCallFilter=~@privileged"
        yield "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK"
    else:
        yield "SystemCallFilter=~@privileged @resources"
        yield "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"
        yield "MemoryDenyWriteExecute=yes"
        yield "ProcSubset=pid"
    if job.credentials is not None and job.needs_link_local:
        yield f"# No IPAddressDeny=169.254.0.0/16: {job.needs_link_local}."
    elif job.credentials is not None:
        yield "# Nothing is asked for where machines in a cloud get their keys; Amazon's resolver may be asked."
        yield "# Not for machines of Google's: they resolve names at that very address. There, leave both lines out."
        yield "IPAddressDeny=169.254.0.0/16 fe80::/10"
        yield f"IPAddressAllow={resolvers.AMAZONS}"


def _hardened_for_a_user(job: Job) -> Iterator[str]:
    """What the user's own systemd can do without more rights than the user has."""
    yield from (
        "NoNewPrivileges=yes",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "SystemCallErrorNumber=EPERM",
        "SystemCallFilter=@system-service",
    )
    if not job.executes:
        yield "MemoryDenyWriteExecute=yes"
        yield "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX"


def _web(job: Job) -> Iterator[str]:
    """The dashboard: it may act on the spools and needs nothing else, no keys and no commands."""
    bare = replace(job, writes=(), credentials=None, secrets=(), environment={}, executes=False, others_write=False)
    yield "[Unit]"
    yield f"Description=jollyae: the dashboard ({plain(job.about)})"
    if not job.is_users:
        yield f"RequiresMountsFor={' '.join(map(word, bare.writable))}"
    yield "StartLimitIntervalSec=0"
    yield ""
    yield "[Service]"
    yield "# It ends and begins at any time: the workers do not know of it."
    yield "Type=exec"
    yield f"ExecStart={command((*job.program, *job.web))}"
    if not job.is_users:
        yield f"User={job.user}"
    yield "Restart=on-failure"
    yield f"RestartSec={_RESTART_AFTER}"
    yield "# usage, configuration, or the extra “web” is not installed: again would be the same"
    yield "RestartPreventExitStatus=2 78"
    yield from _environment(bare)
    if job.is_users:
        yield from _hardened_for_a_user(bare)
    else:
        yield from _rights(bare)
        yield from _hardened(bare)
    yield ""
    yield "[Install]"
    yield f"WantedBy={'default.target' if job.is_users else 'multi-user.target'}"


def _path(job: Job) -> Iterator[str]:
    yield "[Unit]"
    yield f"Description=jollyae: something landed ({plain(job.about)})"
    yield ""
    yield "[Path]"
    yield "# Never DirectoryNotEmpty=: a file that is not ready, or litter, would start it again and again."
    yield "# This sees a file that is renamed in or closed after writing, not what happens in subdirectories, nor what"
    yield "# lands in the instant in which the service ends: for those there is the timer."
    yield from (f"PathModified={plain(directory)}" for directory in job.incoming)
    yield ""
    yield "[Install]"
    yield f"WantedBy={'default.target' if job.is_users else 'multi-user.target'}"


def _timer(job: Job) -> Iterator[str]:
    yield "[Unit]"
    yield f"Description=jollyae: look whether something waits ({plain(job.about)})"
    yield ""
    yield "[Timer]"
    yield f"OnActiveSec={ACTIVE_AFTER}"
    yield f"OnUnitInactiveSec={job.every:g}"
    yield ""
    yield "[Install]"
    yield "WantedBy=timers.target"
