"""What every test has: a guard that lets none leave anything behind, and PostgreSQL for those that ask for it."""

pytest_plugins = ("support.leaks", "support.databases")
