"""Make text from others safe for a log line or a terminal, where no character of it acts."""


def printable(text: str) -> str:
    """Return the text with an escape for each character that is not printed.

    Those are ends of lines, control characters, and marks of direction.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
