"""What a fault is, and which parameters it may set."""
