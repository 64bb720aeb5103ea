"""In the server: slots, each with a child that runs jobs, and the supervisor above the children."""
