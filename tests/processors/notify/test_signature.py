"""Standard Webhooks 1.0.0: the published example, several secrets, and what is no secret."""

import base64

import pytest

from jollyae.processors.notify.signature import SecretError, secrets, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
EXAMPLE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_example() -> None:
    """The vector that the standard's own libraries are tested with."""
    assert sign(secrets(SECRET), *EXAMPLE) == SIGNED


def test_several_secrets_are_several_signatures() -> None:
    """So that a secret can be changed without a gap: the receiver takes any that fits."""
    both = sign(secrets(f"{OTHER}\n{SECRET}\n"), *EXAMPLE).split(" ")
    assert len(both) == 2 and both[1] == SIGNED and both[0].startswith("v1,") and both[0] != SIGNED


@pytest.mark.parametrize(
    "text", ["", "  \n", SECRET.removeprefix("whsec_"), "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", "whsec_" + "A" * 88]
)
def test_what_is_no_secret_is_told_without_telling_it(text: str) -> None:
    """A wrong secret is an error at the start; its text is in no message."""
    with pytest.raises(SecretError) as raised:
        secrets(text)
    assert not text.strip() or text.strip().removeprefix("whsec_") == "" or text.strip() not in str(raised.value)
