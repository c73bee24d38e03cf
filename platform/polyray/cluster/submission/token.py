"""Token that a cluster asks for, read from where Ray reads it."""

import os
from collections.abc import Mapping
from pathlib import Path

from polyray.errors import InputError

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
FILE = ".ray/auth_token"  # in the home folder


def token_headers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Headers of a request that show the user's token; none unless RAY_AUTH_MODE=token: strangers do not get to see it.

    Raises:
        InputError: the mode is on, and there is no token that a header can carry.
    """
    if not is_token_mode(environment):
        return {}
    token = environment.get(TOKEN, "").strip() or _token_of_file(environment)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"The token of {MODE}=token is no single word of ASCII letters. {_remedy()}")
    return {"Authorization": f"Bearer {token}"}


def is_token_mode(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether calls to clusters show the user's token."""
    return environment.get(MODE, "").lower() == "token"


def has_token(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a token, be it shown or not."""
    try:
        return bool(token_headers({**environment, MODE: "token"}))
    except InputError:
        return False


def _token_of_file(environment: Mapping[str, str]) -> str:
    file = Path(environment.get(TOKEN_PATH) or Path(environment.get("HOME", "~")).expanduser() / FILE)
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"{MODE}=token, but no token can be read from {file}: {reason}. {_remedy()}") from None
    if not token:
        raise InputError(f"{MODE}=token, but {file} is empty. {_remedy()}")
    return token


def _remedy() -> str:
    return f"Put the cluster's token into {TOKEN}, into a file that {TOKEN_PATH} names, or into ~/{FILE}."
