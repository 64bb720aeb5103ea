"""Where jobs run: the registry of types, the dispatcher, the supervisor process and its children.

    server process                         supervisor process            child processes
    dispatch ── pool ── control socket ──> supervisor ──── fork ───────> child (one job at a time)
                  └──── one SOCK_SEQPACKET pair a child, one shared page a child, two output pipes ──┘

`contract` holds what the two sides of each wall have agreed on.
"""
