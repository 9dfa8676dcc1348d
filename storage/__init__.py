"""Tables, migrations, the image store and every query, grouped by subject; what people do is in `actions`."""
