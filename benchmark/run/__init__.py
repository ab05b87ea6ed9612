"""A benchmark run: settings, plan, directory, units."""
