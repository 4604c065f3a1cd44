"""A prepared scene in the browser, and the way to its first labels."""
