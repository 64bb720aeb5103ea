"""The instances in the database: their rows and their heartbeat."""
