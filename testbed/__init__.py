"""A real single-node Kubernetes in namespaces of its own; `python3 -m testbed --help` says what it
can do.
"""
