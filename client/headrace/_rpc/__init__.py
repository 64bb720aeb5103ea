"""How the clients call: one set of requests and answers, with blocking and awaiting ways to make them."""
