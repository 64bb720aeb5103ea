"""The edge: protobuf in, one use case, protobuf out. The only room that serves gRPC."""
