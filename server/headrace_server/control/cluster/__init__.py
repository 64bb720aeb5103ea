"""The instances that serve one database: which of them live, and what they do about the deaths of others."""
