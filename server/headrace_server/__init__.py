"""The Headrace server.

The map of the house, from the street inwards:

- `__main__`  argv -> Settings -> App: the commands dev, serve, doctor and db.
- `app`       the composition root: start order, stop order. With `parts`, which makes and wires, it alone knows everyone.
- `doctor`    what would keep a server from working, told before one is started; beside `app`, it knows everyone.
- `config`    Settings, one frozen value, read once; `wiring` turns them into what the rooms are told.
- `rpc`       the edge: protobuf in, one use case, protobuf out. The only room that serves gRPC.
- `amqp`      status events on RabbitMQ, and commands from it. The only room that knows pika.
- `codec`     the contract's messages: to the words of the use cases, and back.
- `control`   the use cases: what an RPC means, without gRPC and without SQL. The hub that feeds the watchers.
- `domain`    what a job is and how it may change. Pure, standard library alone; everyone stands on it.
- `store`     the durable truth: one writer thread that commits groups, claims, the log. The only room that knows SQL.
- `work`      where jobs run: registry and loader, dispatcher, supervisor process, children. The only room that knows processes.

Imports point down (`__main__ -> app -> rpc, amqp -> codec -> control -> domain`; `store -> domain`;
`work -> domain`), and store, rpc, work and amqp never import each other: import-linter fails the
build otherwise.
"""
