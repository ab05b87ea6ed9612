"""What a memory gains and breaks as it grows: finished runs of several sizes beside one another."""
