"""The Isaac Lab environment of the tasks: built, stepped, sensed and judged."""
