"""transformers without its reports on tensors that a file lacks: whoever loads one looks at these himself."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_reports() -> Iterator[None]:
    """Let transformers print errors alone in the block; its bars stay."""
    from transformers.utils import logging  # half a second, which only those pay who load a network

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
