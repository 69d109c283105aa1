"""The demo: a warehouse, a CRM and the operator on a real Kubernetes control plane, told in a minute."""
