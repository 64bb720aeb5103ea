"""Check what a caller gives, and name every bad field, all of them at once."""
