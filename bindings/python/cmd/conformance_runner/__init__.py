"""The parts of plasmite_conformance.py."""
