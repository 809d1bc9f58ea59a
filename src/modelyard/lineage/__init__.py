"""Where a result comes from: code, data, parameters, and whether it comes out again."""
