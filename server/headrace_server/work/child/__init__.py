"""In a child: the process in which jobs run, one at a time."""
