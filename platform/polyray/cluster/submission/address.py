"""Address of a cluster's job server, which is its dashboard."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from polyray.errors import InputError

PORT = 8265  # of Ray's dashboard, unless --dashboard-port says otherwise
DEFAULT = f"http://127.0.0.1:{PORT}"
SCHEMES = ("http", "https")
VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # as Ray's own client reads them


def job_server_address(address: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Address of the job server as http(s)://HOST:PORT, without a slash at its end.

    Args:
        address: as the user wrote it; None: that of the environment (RAY_ADDRESS only where it begins with http), or
            this machine's dashboard.

    Raises:
        InputError: it cannot be the address of a dashboard.
    """
    if address is None:
        named = [environment.get(name, "") for name in VARIABLES]
        address = next(
            (text for text in named if text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))), DEFAULT
        )
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "http", address
    if scheme not in SCHEMES or rest == "auto":
        raise InputError(
            f"--address {address}: jobs are sent to a cluster's dashboard, {_advice(rest)}"
            + (" (ray:// is the address of Ray Client)." if scheme == "ray" else ".")
        )
    parts = urlsplit(f"{scheme}://{rest.rstrip('/')}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.query or parts.fragment:
        raise InputError(f"--address {address!r:.200} is no address; expected {_advice('')}.")
    return parts.geturl() if separator or port else f"http://{rest}:{PORT}"


def _advice(rest: str) -> str:
    """The form of a right address, with the host of a wrong one."""
    host = rest.partition("/")[0].partition(":")[0]
    return f"http://{host if host not in ('', 'auto') else 'HEAD'}:{PORT}"
