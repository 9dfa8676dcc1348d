"""Services inside the long-lived commands: servers, reporters, the alert service, replay and waiting for jobs."""
