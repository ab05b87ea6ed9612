"""What is shown: HTML and Markdown reports; computes nothing."""
