"""What takes several calls: waiting, following, running."""
