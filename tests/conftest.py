"""What every test has: a guard that lets none leave anything behind, PostgreSQL and RabbitMQ for those that ask for them, a way to be heard."""

pytest_plugins = ("support.leaks", "support.databases", "support.brokers", "support.told")
