"""What tests share: a real server in a process of its own, and waits for facts."""
