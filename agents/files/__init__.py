"""Files of tensors, and their hashes."""
