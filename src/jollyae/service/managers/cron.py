"""A line for cron: ``run --once``, one at a time.

Two workers share a spool safely, so an overlap would lose and repeat nothing. But while a store is slow, or a file of
100 GB is on its way, there would be one more of them each minute; so where flock(1) is, the spool (or the
configuration) is locked for as long as one works. The lock is the kernel's, on what is there anyway: it leaves no file,
and ends with its holder.
"""

import shlex
from collections.abc import Iterable

from ..settings import ConfigurationError
from .job import Job

MINUTE = 60


def text(job: Job, *, flock: str | None, with_user: bool) -> str:
    """The lines of a crontab. ``flock``: where that program is; ``with_user``: for a file in ``/etc/cron.d``, where
    each line says whose it is. Raises :class:`ConfigurationError` for a time that cron does not know, and for what has
    no end."""
    job.refuse_endless("cron's --once", "Use what runs all the time: jollyae service systemd, or launchd")
    environment = dict(job.environment)
    if job.credentials is not None:
        environment["AWS_SHARED_CREDENTIALS_FILE"] = job.credentials
    lines = [f"{name}={value}" for name, value in environment.items()]
    user = f"{job.user} " if with_user else ""
    lines.append(f"{times(job.every)} {user}{line(job, flock=flock)}")
    return "\n".join(lines) + "\n"


def line(job: Job, *, flock: str | None) -> str:
    """The command, for /bin/sh by way of cron, to which a ``%`` is the end of the line."""
    words = [*job.program, *job.run, "--once", "--quiet"]
    if flock is not None:
        words = [flock, "-n", job.config or job.spools[0], *words]
    return _shell(words).replace("%", r"\%")


def _shell(words: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, words))


def times(every: float) -> str:
    """When: every so many seconds, in whole minutes or hours. Raises :class:`ConfigurationError`.

    >>> times(60), times(900), times(3600), times(6 * 3600), times(86400)
    ('* * * * *', '*/15 * * * *', '0 * * * *', '0 */6 * * *', '0 0 * * *')
    """
    minutes, rest = divmod(int(every), MINUTE)
    hours, more = divmod(minutes, 60)
    if rest == 0 and minutes and minutes < 60 and 60 % minutes == 0:
        return "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    if rest == 0 and more == 0 and hours and 24 % hours == 0:
        return {1: "0 * * * *", 24: "0 0 * * *"}.get(hours, f"0 */{hours} * * *")
    raise ConfigurationError(
        f"cron cannot start something every {every:g} s", "Minutes that divide an hour, or hours that divide a day."
    )


def steps(job: Job, *, with_user: bool) -> list[str]:
    """What comes next."""
    return [] if with_user else ["crontab -e     # and put the lines in"]
