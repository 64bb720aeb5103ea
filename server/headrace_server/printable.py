"""Text that others have given, for a line of the log or a terminal: no character of it does anything there."""


def printable(text: str) -> str:
    """The text with an escape for each character that is not printed: ends of lines, control characters, marks of direction."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
