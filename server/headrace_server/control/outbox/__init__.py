"""From the transactional outbox to the broker."""
