"""What destinations that are tables have in common, whatever server keeps them."""
