"""What may be run here and now, tenants in turn."""
