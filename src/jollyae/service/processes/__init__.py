"""Several workers in processes of their own: the parent, its teams, their siblings, and the companions beside them."""
