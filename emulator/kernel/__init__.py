"""The kernel, thinly: namespaces, netlink, BPF. Knows nothing of labs."""
