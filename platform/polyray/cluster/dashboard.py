"""Ray's dashboard: what it needs, and where it is."""

from importlib import import_module

from polyray.cluster.submission.token import is_token_mode
from polyray.errors import InputError


def check_dashboard() -> None:
    """Look for the packages of Ray's dashboard.

    Raises:
        InputError: one is missing.
    """
    try:
        import_module("ray.dashboard.optional_deps")  # the list that Ray itself goes by
    except ImportError as error:
        raise InputError(
            f"Ray's dashboard needs packages that are not installed ({error.name or error}): pip install "
            "'ray[default]', or leave --dashboard out."
        ) from None


def dashboard_note(url: str) -> str:
    """A line that says where the dashboard is, and where the token is that it asks for.

    Args:
        url: its host and port.
    """
    token = "; it asks for the token that `ray get-auth-token` prints" * is_token_mode()
    return f"Ray's dashboard: http://{url}{token}."
