"""Physics presets, the native MuJoCo solver and what is read from it; the rest of the tasks is solver-neutral."""
