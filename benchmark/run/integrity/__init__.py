"""What keeps a run whole: its directory is locked, what decides in it is bound, and all of it can be checked."""
