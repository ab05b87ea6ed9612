"""A run's units spread over processes: what they teach, the barriers between rounds, who runs which."""
