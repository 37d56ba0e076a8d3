"""The Open Inference Protocol over gRPC; needs the extra `grpc`, and is imported by workers that answer it."""
