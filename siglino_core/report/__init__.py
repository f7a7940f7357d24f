"""Reports and cards: pages made of plain data."""
