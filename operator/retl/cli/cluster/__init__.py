"""The commands that speak to a cluster, as the person whose kubeconfig it is.

What they show is built by pure functions from objects as the API server gives them; the rest is a few requests.
"""
