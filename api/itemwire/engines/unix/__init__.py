"""The engine that workers share: a process of their server has it, at a Unix socket."""
