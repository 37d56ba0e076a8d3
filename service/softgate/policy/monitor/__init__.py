"""What traffic says of a model: counts over fixed edges, windows of them, drift from the reference, the alarm."""
