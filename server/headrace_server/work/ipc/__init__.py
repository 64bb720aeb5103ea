"""Define what the processes say to each other, and by which ways."""
