"""The Open Inference Protocol, version 2: what its wires share, and the one over HTTP."""
