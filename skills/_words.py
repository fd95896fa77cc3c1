"""Words that several skills have in common; no skill by itself."""


def span(seconds: float) -> str:
    """Return how long something took: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
