"""What is remembered: failures, what was tried against them, and how often that helped."""
