"""What is asked, as messages."""
