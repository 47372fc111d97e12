"""How a store came to its present shape, one step a file (Alembic). Steps are frozen: they never import the schema."""
