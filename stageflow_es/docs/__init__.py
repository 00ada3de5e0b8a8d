"""Documentation made from the code.

- `schemas`   the files in `schemas/`: JSON Schemas of the wire, written from the types
- `asyncapi`  the wire contract as an AsyncAPI document
"""
