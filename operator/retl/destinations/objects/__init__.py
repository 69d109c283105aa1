"""What destinations that are buckets have in common, whatever vendor keeps them."""
