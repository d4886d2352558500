"""Where requests to a bucket go."""

from urllib.parse import quote, urlsplit

from .sigv4 import encode_path


class Origin:
    """Where requests go: scheme, host, port, and the path before the key."""

    def __init__(self, url: str, bucket: str, *, path_style: bool) -> None:
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        host = parts.hostname or ""
        self.host = host if path_style else f"{bucket}.{host}"
        self.port = parts.port or (443 if self.tls else 80)
        default = parts.port is None or parts.port == (443 if self.tls else 80)
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = shown if default else f"{shown}:{self.port}"
        base = quote(parts.path.rstrip("/"), safe="/~%")
        self.path = f"{base}/{encode_path(bucket)}/" if path_style else f"{base}/"
