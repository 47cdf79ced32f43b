"""Thin layers over the kernel: namespaces, netlink, BPF, offloads. They know nothing of labs."""
