"""Chapter 6: Neural tangent kernel and transfer risk."""
