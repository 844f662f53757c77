# Shorthands. `cargo xtask` does the work.

# Build and mount ./pools at ./mnt
mount:
    cargo run --release -- mount ./pools ./mnt

# All that CI checks
test:
    cargo xtask test

bench *ARGS:
    cargo xtask bench {{ARGS}}

# The command, library, header and pkg-config file in one folder (target/sdk)
[positional-arguments]
sdk *DIR:
    cargo xtask sdk "$@"

# The Python wheel, in target/wheel
wheel:
    cargo xtask wheel

# The Python client's tests against a library just built
bindings-python-test:
    cargo xtask python
