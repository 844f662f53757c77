"""What a Python program does once in the kill storm: see deed.rs."""

import os
import sys

from plasmite import Client

deed, path = sys.argv[1:]
client = Client(os.path.dirname(path))
if deed == "create":
    client.create_pool(path, 64 << 10)
elif deed == "delete":
    client.delete_pool(path)
else:
    client.open_pool(path)
