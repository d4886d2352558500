"""Which options mean nothing to which destination: such a one is refused, for who gives it believes that it is done."""

from collections.abc import Iterator, Mapping

_OBJECT = (
    *("storage_class", "acl", "sse", "sse_kms_key_id", "metadata", "tag", "content_type", "no_guess_mime_type"),
    *("content_encoding", "cache_control", "checksum_algorithm", "head_first"),
)
"""What is said of objects."""
_CLOUD = (
    *("acl", "sse", "sse_kms_key_id", "region", "profile", "no_sign_request", "transport", "checksum_algorithm"),
    "exec_timeout",
)
_MEANS_NOTHING: Mapping[str, tuple[str, ...]] = {
    "s3": ("exec_timeout",),
    "gs": (*_CLOUD, "tag"),
    "az": _CLOUD,
    "file": (*_OBJECT, "exec_timeout"),
    "exec": _OBJECT,
    "call": (*_OBJECT, "exec_timeout"),
    "album": ("exec_timeout",),
}
OF_MANIFESTS = ("head_first", "sse", "sse_kms_key_id", "checksum_algorithm")
"""What is said of objects, and so of those that tell of others, wherever these are."""


def without_meaning(kind: str, *, manifests: bool = False) -> Iterator[str]:
    """The options that a destination cannot use, by their names with underscores; none for one that is unknown.
    ``kind``: a URL's scheme, or how else is delivered (``exec``, ``call``, ``album``); ``manifests``: whether there are
    some."""
    for name in _MEANS_NOTHING.get(kind, ()):
        if not (manifests and name in OF_MANIFESTS):
            yield name


def why(option: str, kind: str) -> str:
    """The sentence. ``option`` as the user writes it.

    >>> why("--acl", "gs"), why("acl", "exec")
    ('--acl does not apply to gs:// destinations. Leave it out.', 'acl does not apply to exec. Leave it out.')
    """
    where = kind if kind in ("exec", "call", "album") else f"{kind}:// destinations"
    return f"{option} does not apply to {where}. Leave it out."


def flag(name: str) -> str:
    """The option on a command line.

    >>> flag("exec_timeout")
    '--exec-timeout'
    """
    return f"--{name.replace('_', '-')}"
