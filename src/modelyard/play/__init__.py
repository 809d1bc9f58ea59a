"""The page at `/` of the model server: a gallery of all projects, and for each a page to try it on."""
