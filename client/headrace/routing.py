"""Words of a routing key: the server writes them, and a consumer binds its queue with them."""

from typing import Final

__all__ = ["WORD_MAX", "key_word"]

WORD_MAX: Final = 100
"""Bytes of a tenant or a type in a key; of a longer one the key has the beginning, and `~`."""
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def key_word(name: str) -> str:
    """A tenant or a type as one word of a routing key."""
    escaped = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in name.encode())
    return escaped if len(escaped) <= WORD_MAX else f"{escaped[: WORD_MAX - 1]}~"
