"""What reading and consuming events can raise, beside what a handler raises itself.

HeadraceError
├── InvalidBroadcast    a message that is no event of Headrace, or cannot be read; a ValueError too
└── BrokerRefused       the broker was reached and refuses: starting again is no help
"""

from headrace.errors import HeadraceError


class InvalidBroadcast(HeadraceError, ValueError):
    """A message that is no event of Headrace, or one that cannot be read. The text says what is wrong with it."""


class BrokerRefused(HeadraceError):
    """The broker was reached and refuses what a consumer needs: a wrong password, a missing right, another queue."""
