"""Learning: recipes, chips, Lightning tasks. Needs the extra ``train``."""
