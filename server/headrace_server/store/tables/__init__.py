"""The tables, their rows, and statements upon them."""
