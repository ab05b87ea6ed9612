"""The four tasks, and the registry that knows them."""
