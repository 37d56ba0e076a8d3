"""softgate: calibrated probabilities, routing decisions and drift metrics for ONNX classifiers."""

__version__ = "0.1.0"
