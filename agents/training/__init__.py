"""Trains the flow policy on recorded demonstrations; see ``agents/training/README.md``.

``cfg`` holds the settings, ``trainer`` one run's weights and what changes them, ``loop`` the order of things, ``state``
what an interrupted run is resumed from.
"""
