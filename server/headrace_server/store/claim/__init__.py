"""The choice of the jobs that may be run here and now, with tenants in turn."""
