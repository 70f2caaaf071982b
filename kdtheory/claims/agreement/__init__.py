"""Chapter 9: Agreement, and what few labels say about a student."""
