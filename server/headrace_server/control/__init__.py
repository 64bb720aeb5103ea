"""The use cases: what an RPC means, without gRPC and without SQL."""
