# Shorthands. `cargo xtask` does the work.

# Build and mount ./pools at ./mnt
mount:
    cargo run --release -- mount ./pools ./mnt

# All that CI checks
test:
    cargo xtask test

bench *ARGS:
    cargo xtask bench {{ARGS}}

# The Python client's tests against a library just built
bindings-python-test:
    cargo build -p plasmite
    test -d target/python-venv || python3 -m venv target/python-venv
    cd bindings/python && PLASMITE_LIB_DIR="$(pwd)/../../target/debug" ../../target/python-venv/bin/python3 -m pip install --quiet -e .
    cd bindings/python && PLASMITE_LIB_DIR="$(pwd)/../../target/debug" PLASMITE_BIN="$(pwd)/../../target/debug/plasmite" ../../target/python-venv/bin/python3 -m unittest discover -s tests
