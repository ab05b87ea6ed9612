"""The flow policy: what it sees, its network, its files."""
