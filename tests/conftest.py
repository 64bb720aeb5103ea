"""What every test has: a guard that lets none leave anything behind (support/leaks.py)."""

pytest_plugins = ("support.leaks",)
