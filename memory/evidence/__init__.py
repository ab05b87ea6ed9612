"""What was done in which situation and whether it worked: successes as well as failures, doing nothing included."""
