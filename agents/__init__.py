"""What decides: encoders, the flow policy, failure detection, corrections and steering."""
