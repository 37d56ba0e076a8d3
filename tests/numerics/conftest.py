from hypothesis import settings

# No deadline: a busy machine is no counterexample. The same cases every run: a failure can be had again.
settings.register_profile("numerics", deadline=None, derandomize=True)
settings.load_profile("numerics")
