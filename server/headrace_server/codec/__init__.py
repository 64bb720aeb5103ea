"""Domain <-> messages of the contract, without a server: for rpc, for amqp, and for whatever speaks protobuf next."""
