"""Shows that contacts are what statics says: what a grip holds, what the hand presses with, how far it opens."""
