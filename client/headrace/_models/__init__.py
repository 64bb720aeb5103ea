"""What headrace.info shows: the records of a job and its history."""
