"""What was committed, handed to those who watch."""
