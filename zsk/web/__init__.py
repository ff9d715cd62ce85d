"""The page of `zsk web`: photos that were looked at, what the page asks about them, the server."""
