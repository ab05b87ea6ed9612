"""Whether what a memory finds is about the hazard at hand: one key against another."""
