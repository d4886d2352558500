"""Celery's side: tasks that do the same work, acknowledged when they are done. Loaded by the peers' celery; the URL of
the broker, the queue and the store's endpoint come from the environment."""

import os
import subprocess

import urllib3
from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=os.environ["BENCH_QUEUE"],
    broker_connection_retry_on_startup=True,
)
endpoint = os.environ["BENCH_ENDPOINT"]
pool = urllib3.PoolManager(maxsize=4)


@app.task(name="nothing")  # type: ignore[untyped-decorator]
def nothing(bucket: str, key: str, size: int) -> None:
    """Fetches nothing."""


@app.task(name="fetch")  # type: ignore[untyped-decorator]
def fetch(bucket: str, key: str, size: int) -> None:
    """GET of the object, unsigned, connections kept."""
    answer = pool.request("GET", f"{endpoint}/{bucket}/{key}")
    if answer.status != 200 or len(answer.data) != size:
        raise RuntimeError(f"{answer.status}, {len(answer.data)} bytes")


@app.task(name="command")  # type: ignore[untyped-decorator]
def command(bucket: str, key: str, size: int) -> None:
    """The same, and a command."""
    fetch(bucket, key, size)
    subprocess.run(["true"], check=True)
