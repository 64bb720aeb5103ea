"""The errors of reading and consuming events, apart from those that a handler raises.

HeadraceError
├── InvalidBroadcast    a message that is no event of Headrace, or cannot be read; a ValueError too
└── BrokerRefused       the broker was reached and refuses: starting again is no help
"""

from headrace.errors import HeadraceError


class InvalidBroadcast(HeadraceError, ValueError):
    """A message that is not an event of Headrace, or cannot be read.

    The text says what is wrong with it.
    """


class BrokerRefused(HeadraceError):
    """The broker was reached and refuses what the consumer needs.

    Examples are a wrong password, a missing right, or a queue that was declared differently.
    """
