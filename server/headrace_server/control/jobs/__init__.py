"""The use cases of JobService: one job, and all that match a filter."""
