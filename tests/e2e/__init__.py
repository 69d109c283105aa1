"""A real Kubernetes with real pods: kubelet, containerd, kube-proxy and the project's own images.

Everything runs in one set of Linux namespaces (`sandbox.py`), so that ending its first process ends all of it: no
rule, mount or process of it is the machine's own. Needs root on Debian; `machine.missing()` says what is lacking.
A cluster that somebody names does as well (`given.py`).
"""
