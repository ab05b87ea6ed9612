"""Episodes as data: recorded, and written in other projects' formats."""
