"""The addresses of queues: what is written is what is meant, or it is told."""

import pytest

from jollyae.processors.amqp import KEEPS_FOR, Address, AddressError

QUEUE = "amqp://me:secret@host:5673/photos/new"


def test_what_is_aiormqs_is_handed_on() -> None:
    """Our options are not, and the password is in nothing that is shown."""
    address = Address(f"{QUEUE}?dead-exchange=dlx&consumer-timeout=100&heartbeat=0&cafile=/a b.pem")
    assert (address.dead_exchange, address.keeps_for) == ("dlx", 80)
    assert address.login == "amqp://me:secret@host:5673/photos?heartbeat=0&cafile=%2Fa+b.pem"
    assert address.name == "amqp://host:5673/photos/new" and "secret" not in repr(address)
    assert Address(QUEUE).keeps_for < KEEPS_FOR


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("dead-exchnage=dlx", "no option 'dead-exchnage'"),
        ("foo=1", "dead-exchange, exchange"),
        ("heartbeat=abc", "heartbeat=abc: it is a number of seconds"),
        ("consumer-timeout=-5", "consumer-timeout=-5"),
        ("consumer-timeout=0", "consumer-timeout=0"),
        ("consumer-timeout=inf", "consumer-timeout=inf"),
        ("consumer-timeout=nan", "consumer-timeout=nan"),
    ],
)
def test_options_that_are_none(options: str, says: str) -> None:
    """Else dead letters would go elsewhere than was meant, and nobody would know."""
    with pytest.raises(AddressError, match=says) as caught:
        Address(f"{QUEUE}?{options}")
    assert "secret" not in str(caught.value)
