"""Areas of a picture: where a frame differs, and what of a station's picture is inspected."""
