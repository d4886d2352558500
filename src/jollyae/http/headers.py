"""The headers of every answer that keep a browser from doing harm: nothing is loaded from elsewhere, nothing inline is
run, and no other site may frame a page or read it."""

from starlette.datastructures import MutableHeaders

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


def protect(headers: MutableHeaders, *, is_secure: bool) -> None:
    """Add the headers that keep a browser from doing harm."""
    headers.setdefault("Content-Security-Policy", POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if is_secure:  # elsewhere browsers ignore it, and complain
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
