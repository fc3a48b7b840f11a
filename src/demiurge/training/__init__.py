"""Training: recipes, plans, chips, Lightning modules, validation. Needs the extra ``train``."""
