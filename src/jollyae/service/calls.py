"""A Python function as the destination: ``--call MODULE:FUNCTION``."""

import importlib
import sys

from .deliveries import Destination
from .settings import ConfigurationError

_HINT = "Write it as MODULE:FUNCTION, e.g. mypackage.jobs:process; MODULE is looked for here too."


def destination(name: str) -> Destination:
    """The function with this name (an attribute of a module, which may have dots too), loaded. It is called as a
    processor of Python is: ``function(item)``. Raises :class:`ConfigurationError`."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise ConfigurationError(f"--call {name}: names no function", _HINT)
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the module does while it is loaded
        raise ConfigurationError(f"--call {name}: {type(error).__name__}: {error}", _HINT) from error
    if not callable(found):
        raise ConfigurationError(f"--call {name}: it is no function", _HINT)
    return Destination(f"call {name}", found, lambda item, mtime: name, doing=f"calling {name} for each item")
