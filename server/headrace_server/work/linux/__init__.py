"""Processes, folders and disks as Linux has them. Nothing here knows of jobs."""
