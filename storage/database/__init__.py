"""The database engine, its schema, tables and migrations, and the SQL that both databases share."""
