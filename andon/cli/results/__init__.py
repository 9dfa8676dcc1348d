"""Commands about results: verdicts, reviews, alerts, KPIs, reports, dead letters and the audit log."""
