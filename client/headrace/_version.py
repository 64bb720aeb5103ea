"""The version of this library."""

from importlib.metadata import PackageNotFoundError, version


def read() -> str:
    """The version that is installed; "0+unknown" in a source tree that is not."""
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "0+unknown"
