"""The instances of one database: which of them live, and what they do when others die."""
