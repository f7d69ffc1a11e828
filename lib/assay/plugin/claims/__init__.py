"""Claims: findings and their verdicts, and the table, files and catalogue page that show them."""
