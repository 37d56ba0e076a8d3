"""What the commands do, and how their results look in a terminal: one module each, with a `run`."""
