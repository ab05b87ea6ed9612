"""Who is told the hazard of each episode: bounds of what could be reached, and no agents."""
