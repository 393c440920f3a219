"""The edge of every server of the engine: one HTTP protocol with bounds on whatever a stranger may send.

`intake`, the admin port and the Unix socket run it, each as a `Door` with bounds and a form of answers of its own.
"""
