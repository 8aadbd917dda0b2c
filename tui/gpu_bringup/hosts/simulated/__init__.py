"""A Linux server as a model: state that commands change, behind the same interface as a real one.

``Machine`` (machine.py) holds the state: a file tree, packages and the archives they come from,
kernels, dkms's tree, modules on disk and loaded, keys and shim's MOK list, GPUs, services, jobs,
boot loader, free space, clock. What a kernel shows of itself (/proc, /sys, /dev, EFI variables,
dpkg's status file) is rendered from that state (render.py), so it can't contradict it.

``SimulatedHost`` (host.py) answers as ``hosts.base.Host`` asks. Each command is a generator in
``programs/``: it yields what the real one prints and changes the machine as it goes, so that one
that is stopped halfway leaves half of its work, as in life.
"""
