"""Programs as shared libraries without Python (docs/design/build.md): what is written, and linked.
"""
