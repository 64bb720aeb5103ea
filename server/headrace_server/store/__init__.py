"""The durable truth. The only room that knows SQL."""
