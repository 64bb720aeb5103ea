"""What every test has: a guard that lets none leave anything behind, PostgreSQL for those that ask for it, a way to be heard."""

pytest_plugins = ("support.leaks", "support.databases", "support.told")
