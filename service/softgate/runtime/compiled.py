"""Whether the hot path, the modules that pyproject.toml names, runs as machine code; as Python it does the same."""

from importlib.util import find_spec

# One of them, whose package takes no time to import.
_MODULE = "softgate.runtime.batcher"


def is_compiled() -> bool:
    spec = find_spec(_MODULE)
    return spec is not None and not (spec.origin or "").endswith(".py")
