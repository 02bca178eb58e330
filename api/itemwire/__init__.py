"""The edge of Itemwire and its core: an application that serves item channels."""
