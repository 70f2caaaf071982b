"""Chapter 2: Feature and relation losses."""
