"""The faults that come with the suite; a module here that defines ``FAULTS`` adds its faults."""
