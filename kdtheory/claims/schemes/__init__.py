"""Chapter 3: Schemes, architectures, compression."""
