"""What is kept: schema, migrations, every query as a named function. The only folder that speaks SQL."""
