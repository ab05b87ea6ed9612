"""Plain facts that the other rooms share: objects, colours, layouts, rotations, seeds of randomness."""
