"""How long something took, as people read it: in milliseconds, and in microseconds where those would be a fraction."""


def shown(seconds: float) -> str:
    """Three digits or more that mean something: 0.00 ms would say nothing of a graph of microseconds."""
    return f"{seconds * 1000:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"
