"""Recognition of the output folders of other tools: what each file is, and what is left out."""
