"""Real services that the suite starts: Kafka, PostgreSQL, an RTSP camera and an OpenID provider."""
