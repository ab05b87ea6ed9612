"""Networks that find the object in a picture."""
