"""A child that several runs of one type share: their event loop, their words, their end."""
