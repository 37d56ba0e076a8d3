"""The published form of every request and answer: what OpenAPI documents and a test holds the real answers to."""
