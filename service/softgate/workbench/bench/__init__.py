"""What a model folder serves on this machine, measured from outside: `softgate bench`."""
