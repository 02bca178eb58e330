"""A web shop as a FastAPI team writes it, before it knows of Itemwire; `live.py` adds channels."""
