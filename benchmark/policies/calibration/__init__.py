"""How sure the memory must be before it speaks, so that it breaks no more than the user allows."""
