"""The methods of the two clients."""
