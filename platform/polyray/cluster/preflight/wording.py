"""Sizes and times as short texts."""

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def bytes_text(size: float) -> str:
    """A size with three digits: 1.23 MB."""
    power = 0
    while size >= 999.5 and power + 1 < len(UNITS):
        size, power = size / 1000, power + 1
    return f"{size:.3g} {UNITS[power]}"


def seconds_text(seconds: float) -> str:
    """A time in its two largest units: 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
