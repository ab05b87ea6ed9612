"""Robot assets, built on first use from packages on PyPI; nothing is downloaded."""
