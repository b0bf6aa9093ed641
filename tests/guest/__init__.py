"""A test bed of throw-away Linux guests, each with a machine shape that this host does not have.

`python -m tests.guest --shape 2s2n-smt -- numactl -H` runs a command in one; docs/developing.md tells the rest.
Modules: shape (values) <- firmware, initramfs, scripts (bytes and texts made of them) <- kernel (download, cache)
<- machine (runs QEMU) <- __main__, findings <- conftest. `driver` and the other programs run inside a guest.
"""
