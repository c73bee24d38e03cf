"""Output that may lose its reader: a terminal that was closed, a pipe that ended. The run goes on without it."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


class LosableStream(io.TextIOBase):
    """A text stream that writes to another one for as long as that takes it, and to nobody afterwards.

    lost: whether the other stream has refused something.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.lost = stream, False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the other stream."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """Treatment of letters that the other stream's encoding lacks."""
        return self._stream.errors

    @property
    def buffer(self) -> io.BufferedIOBase:
        """Bytes below the other stream, which are not protected."""
        buffer: io.BufferedIOBase = self._stream.buffer  # type: ignore[assignment]
        return buffer

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """Whether the other stream is a terminal that is still there."""
        return not (self.lost or self._stream.closed) and self._stream.isatty()

    def fileno(self) -> int:
        """The other stream's descriptor."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write `text`, or leave it out where nobody is there to read it."""
        if not self.lost:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written so far."""
        if not self.lost:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def _lose(self, error: OSError | ValueError) -> None:
        """Let the descriptor lead nowhere, so that what is left in the other stream's buffer does no harm at exit.

        Raises:
            ValueError: `error` is one about the text, such as a character that the encoding does not have.
        """
        if isinstance(error, ValueError) and not self._stream.closed:
            raise error
        self.lost = True
        if not self._stream.closed:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def losable_output() -> Iterator[None]:
    """Within the block a reader of stdout or stderr may go away."""
    with redirect_stdout(LosableStream(sys.stdout)), redirect_stderr(LosableStream(sys.stderr)):
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
