"""Features: schema, Feast objects, point-in-time joins."""
