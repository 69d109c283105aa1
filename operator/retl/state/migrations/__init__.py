"""How the state database's schema came to be: one revision a change, run when the database is opened."""
