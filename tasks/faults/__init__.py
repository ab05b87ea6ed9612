"""Faults: what goes wrong in the world, as data.  One file in ``library`` adds one."""
