"""Captioned films of episodes."""
