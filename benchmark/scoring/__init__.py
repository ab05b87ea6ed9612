"""From episode records to the summary of a run; needs no simulator."""
