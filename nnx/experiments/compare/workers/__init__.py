"""One worker for each framework."""
