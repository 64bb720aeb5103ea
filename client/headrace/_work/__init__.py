"""How job code is found and run: what headrace.jobs shows. Standard library alone, so that a worker starts fast."""
