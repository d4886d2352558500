"""The options of ``run``: aws-cli's words where it has one."""

from .options import (
    Option,
    address,
    inodes,
    limit,
    most_entries,
    most_items,
    pair,
    processes,
    rate,
    room,
    seconds,
    size,
    target,
    textfile,
)

DESTINATION = (
    Option(("--to",), "deliver to s3://BUCKET[/PREFIX], gs://…, az://… or file:///DIR", "URL"),
    Option(("--exec",), "run COMMAND per item; {} is its path; exit 0 done, 75 again later, else failed", "COMMAND"),
    Option(
        ("--exec-timeout",), "end a command that takes longer (SIGTERM, then SIGKILL); again later", "S", None, seconds
    ),
    Option(("--call",), "call a Python function per item: function(item); see the manual", "MODULE:FUNCTION"),
    Option(("--album",), "take photos into this album: sqlite:///FILE or http(s)://[USER@]HOST/DB", "URL"),
    Option(("--originals",), "with --album: where the originals go, any URL of --to", "URL"),
    Option(("--addedby",), "with --album: who is told to have added the photos; else each file's owner", "NAME"),
)

ORIGIN = (
    Option(
        ("--from",),
        "take objects that messages of this queue name: amqp://[USER@]HOST/QUEUE, sqs://QUEUE",
        "URL",
    ),
    Option(("--workdir",), "with --from: the spool that they are fetched into", "DIR"),
)

SOURCE = (
    *ORIGIN,
    Option(("--from-password-file",), "with --from amqp://: its user's password, one line", "FILE"),
    Option(("--prefetch",), "with --from: most messages at a time (128)", "N", parse=most_items),
    Option(("--prefetch-bytes",), "with --from: most bytes of objects in DIR (1G)", "SIZE", None, size),
    Option(("--from-endpoint-url",), "with --from: the store's URL, if it is not --endpoint-url's", "URL"),
    Option(("--from-region",), "with --from: the region of queue and bucket, if it is not --region's", "NAME"),
    Option(("--from-profile",), "with --from: the profile for queue and bucket, if it is not --profile's", "NAME"),
)

ON_DONE = "what becomes of a delivered file (keep; with --from delete); delete = mv"

WORK = (
    Option(("--once",), "deliver what is there and exit: 0 all, 1 some failed, 75 some wait", parse=None),
    Option(("--dry-run", "-n"), "say what would be delivered where; change nothing", parse=None, hidden=("--dryrun",)),
    Option(
        ("--concurrency",),
        "most items in flight (64; with --exec 32); fewer are used where fewer do",
        "N",
        parse=most_items,
    ),
    Option(
        ("--processes",), "worker processes; --concurrency and --bandwidth are divided among them", "N", 1, processes
    ),
    Option(
        ("--settle",), "seconds a file must rest before it is taken; 1 with the lease test, else 3", "S", None, seconds
    ),
    Option(("--grace",), "seconds for what is in flight at SIGTERM or SIGINT", "S", 30.0, seconds),
    Option(("--on-done",), ON_DONE, "WHAT", choices=("keep", "delete")),
    Option(("--include",), "only names that match GLOB (* matches / too); repeatable", "GLOB", (), many=True),
    Option(("--exclude",), "no names that match GLOB; wins over --include; repeatable", "GLOB", (), many=True),
    Option(
        ("--prune-empty",),
        "remove directories in incoming/ that were empty for AGE (90, 10m, 7d)",
        "AGE",
        None,
        seconds,
    ),
    Option(
        ("--keep-finished",),
        "remove the oldest of finished/ beyond this age or size (30d, 500G, 30d,500G); else all is kept",
        "LIMIT",
        (),
        limit,
        many=True,
    ),
    Option(("--finished-by-date",), "put finished items under finished/YYYY-MM-DD/ (UTC)", parse=None),
    Option(
        ("--min-free",),
        "floor of free space (5%, 10G): below it submit refuses, and --keep-finished keeps less",
        "AMOUNT",
        None,
        room,
    ),
    Option(("--min-free-inodes",), "floor of free inodes (1%, 10000), likewise", "AMOUNT", None, inodes),
    Option(
        ("--receipts-keep",),
        "remove receipts beyond this age or size (1 GiB at most in any case)",
        "LIMIT",
        None,
        limit,
    ),
    Option(("--idle-exit",), "end when nothing was to do for S seconds; see the manual", "S", None, seconds),
    Option(("--copy",), "allow places on different file systems, by copying", parse=None),
    Option(
        ("--shared",),
        "whether several hosts work on the spool: auto (yes on NFS 4), yes, no; see docs/SHARED.md",
        "WHETHER",
        "auto",
        choices=("auto", "yes", "no"),
    ),
    Option(
        ("--bandwidth",),
        "bytes a second on average: 10M, or rclone's timetable '08:00,512k 23:00,off'; "
        "a body up to 1 MiB goes at full speed, a larger one is paced within",
        "RATE",
        None,
        rate,
        hidden=("--bwlimit",),
    ),
)

NOTIFY = (
    Option(
        ("--notify",),
        "tell of each delivery: https://…, sqs://QUEUE, sns://ARN, events://BUS, amqp://HOST/QUEUE, exec:COMMAND or "
        "spool:///DIR; repeatable",
        "URL",
        (),
        target,
        many=True,
    ),
    Option(("--notify-secret-file",), "secrets of the webhooks (whsec_…), one a line, the newest first", "FILE"),
    Option(("--notify-internal",), "webhooks may be in this network, or on this machine", parse=None),
    Option(
        ("--event-source",),
        "eventSource in the messages; some programs look for Amazon's",
        "NAME",
        "jollyae:s3",
        choices=("jollyae:s3", "aws:s3"),
    ),
)

MANIFESTS = (
    Option(("--manifest",), "manifests of what was delivered go there: any URL of --to", "URL"),
    Option(
        ("--manifest-format",),
        "for COPY, S3DistCp, SymlinkTextInputFormat, or S3 Batch Operations",
        "FORMAT",
        "redshift",
        choices=("redshift", "emr", "symlink", "batch"),
    ),
    Option(("--manifest-items",), "a manifest has so many deliveries at the most", "N", 1000, most_entries),
    Option(("--manifest-every",), "and is made so many seconds after its first", "S", 300.0, seconds),
    Option(("--manifest-key",), "a manifest's key; {name} is its own", "TEMPLATE", "{date}/{name}"),
)

OBJECT = (
    Option(
        ("--key",), "the object's key: {name} {path} {stem} {ext} {host} {date:%Y/%m/%d} {sha256}", "TEMPLATE", "{path}"
    ),
    Option(
        ("--if-exists",),
        "what to do where other content has the key",
        "WHAT",
        "refuse",
        choices=("refuse", "overwrite", "keep-both"),
    ),
    Option(("--head-first",), "ask before each upload, for stores that ignore If-None-Match (not atomic)", parse=None),
    Option(("--storage-class",), "storage class", "CLASS"),
    Option(("--acl",), "canned ACL; none is sent otherwise", "ACL"),
    Option(("--sse",), "server-side encryption: AES256 or aws:kms", "KIND"),
    Option(("--sse-kms-key-id",), "the KMS key", "ID"),
    Option(("--metadata",), "object metadata; repeatable", "K=V", (), pair, many=True),
    Option(("--tag",), "object tag; repeatable", "K=V", (), pair, many=True),
    Option(("--content-type",), "content type of all objects; guessed from the name otherwise", "TYPE"),
    Option(("--no-guess-mime-type",), "do not guess the content type", parse=None),
    Option(("--content-encoding",), "content encoding of all objects", "CODING"),
    Option(
        ("--compress",),
        "compress on the way, but for what is compressed by its extension (.gz, .jpg, …)",
        "METHOD",
        None,
        choices=("gzip", "zstd"),
    ),
    Option(
        ("--compress-as",),
        "how that is told: encoding: Content-Encoding; suffix: .gz or .zst is added to the key",
        "HOW",
        "encoding",
        choices=("encoding", "suffix"),
    ),
    Option(("--preserve",), "keep the file's user and group too (mode and time are kept anyway)", parse=None),
    Option(("--cache-control",), "cache control of all objects", "TEXT"),
    Option(
        ("--checksum-algorithm",),
        "checksum sent with each object; auto: sha256, and a CRC for parts over TLS",
        "NAME",
        "auto",
        choices=("auto", "sha256", "crc32", "crc32c", "crc64nvme", "md5", "none"),
    ),
)

STORE = (
    Option(("--endpoint-url",), "the store's URL; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, ~/.aws/config", "URL"),
    Option(("--region",), "region", "NAME"),
    Option(("--profile",), "profile in ~/.aws", "NAME"),
    Option(("--no-sign-request",), "send no credentials", parse=None),
    Option(("--ca-bundle",), "certificates to trust", "FILE"),
    Option(
        ("--transport",),
        "auto: by our own fast path where it can (no proxy, no ARN); boto3: all by boto3",
        "",
        "auto",
        choices=("auto", "boto3"),
    ),
    Option(("--no-verify-ssl",), "do not verify certificates", parse=None),
)

METRICS = (
    Option(
        ("--metrics-addr",),
        "answer /metrics, /livez and /readyz there; a port alone is on loopback",
        "HOST:PORT",
        parse=address,
    ),
    Option(
        ("--metrics-file",),
        "write the metrics for the node exporter, every 15 s; ends with .prom",
        "PATH",
        parse=textfile,
    ),
)

SHOW = (Option(("--no-progress",), "no live line on a terminal", parse=None),)

OF_ONE_QUEUE = (*DESTINATION, *ORIGIN)
"""What no command line can say for all queues of a configuration."""

KEYS = (*DESTINATION, *SOURCE, *WORK, *NOTIFY, *MANIFESTS, *OBJECT, *STORE)
"""What may be a key of a queue in a configuration file."""
