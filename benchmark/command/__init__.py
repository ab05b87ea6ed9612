"""What every command shares: arguments, output files, settings, progress, provenance."""
