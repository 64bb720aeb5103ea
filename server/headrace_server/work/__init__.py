"""Run jobs: the registry of types, the dispatcher, the supervisor process and its children.

    server process                         supervisor process            child processes
    dispatch/ ── pool/ ─ control socket ─> supervisor ──── fork ───────> child/ (one job at a time)
                  └──── one SOCK_SEQPACKET pair a child, one shared page a child, two output pipes ──┘

`ipc/` holds what the two sides of each wall have agreed on, `linux/` what knows nothing of jobs.
`catalog/` is the loader, a process of its own that imports the job modules for the server, and what
the server knows of them by it; `loading` holds that process.
"""
