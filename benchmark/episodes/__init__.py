"""What an episode is, who acts in it, and how it is run and recorded."""
