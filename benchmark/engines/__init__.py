"""The same scenarios on two engines: does it hang on the engine how an episode ends?"""
